"""What an asset was made of, as rights look at it: an upstream's answers, a dataset, a student, a licence, a folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from freehold.config import Settings, UpstreamSettings
from freehold.domain.errors import NotFound
from freehold.domain.evidence import Student
from freehold.domain.rights import UNKNOWN, Asset, Parent
from freehold.rights import OWN, detect, licences, terms_of_upstream
from freehold.rights import lineage as rights_lineage
from freehold.rights.lineage import dataset_asset

if TYPE_CHECKING:
    from freehold.store import Store


def find_asset(store: Store, settings: Settings, wanted: str, bases: Mapping[str, str] | None = None) -> Asset:
    """The asset that `wanted` names: a student, dataset, upstream (or `upstream/model`), licence or terms, or folder.

    `bases`: of a folder's model, the licences of models that it is made of, by name.

    Raises:
        NotFound: nothing is called so.
        StoreError: a dataset or folder cannot be read.
    """
    student = store.control.students.get(wanted)
    if student is not None:
        return student_asset(store, student)
    dataset = store.control.datasets.get(wanted)
    if dataset is not None:
        return dataset_asset(dataset)
    upstream = settings.upstreams.get(wanted.partition("/")[0])
    if upstream is not None:
        return upstream_asset(wanted, upstream)
    if wanted == OWN or wanted in licences():
        return Asset(asset_id=wanted, licence=wanted)
    folder = Path(wanted)
    if folder.is_dir():
        return folder_asset(folder, bases or {})
    raise NotFound(
        f"There is nothing called {wanted!r} to judge.",
        "Give a student, a dataset, an upstream, a licence that `freehold rights list` shows, or a folder.",
    )


def all_assets(store: Store, settings: Settings) -> Iterator[Asset]:
    """Upstreams, then every dataset and student, oldest first."""
    for name, upstream in settings.upstreams.items():
        yield upstream_asset(name, upstream)
    for dataset in store.control.datasets.list():
        yield dataset_asset(dataset)
    for student in store.control.students.list():
        yield student_asset(store, student)


def upstream_asset(name: str, upstream: UpstreamSettings) -> Asset:
    """An upstream's answers, under the terms that are configured for it or known of its host."""
    return Asset(asset_id=name, licence=terms_of_upstream(upstream))


def student_asset(store: Store, student: Student) -> Asset:
    """A student with its lineage; one whose dataset is gone was trained on nobody knows what."""
    return rights_lineage.student_asset(student, store.control.datasets.get(student.dataset_id))


def folder_asset(folder: Path, bases: Mapping[str, str]) -> Asset:
    """A model in a folder, under the licence that its texts and card show; unknown where that is not certain.

    What its card or configuration says it is made of is in its lineage: under the licence that `bases` gives, else
    under one that nothing is known of, which permits nothing.
    """
    found = detect(folder)
    parents = tuple(Parent("base", Asset(asset_id=name, licence=bases.get(name, name))) for name in found.bases)
    return Asset(asset_id=str(folder), licence=found.licence or UNKNOWN, parents=parents)


def licences_of(asset: Asset) -> set[str]:
    """Every licence and all terms in the asset's lineage, its own among them."""
    return {asset.licence}.union(*(licences_of(parent.asset) for parent in asset.parents))
