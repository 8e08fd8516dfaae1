"""What datasets, students and routers were made of, as rights look at it. Pure."""

from __future__ import annotations

from freehold.domain.evidence import Dataset, Student
from freehold.domain.rights import UNKNOWN, Asset, Parent
from freehold.rights.engine import OWN


def dataset_asset(dataset: Dataset) -> Asset:
    """A dataset: the organisation's collection of answers, each under its own terms."""
    parents = tuple(Parent("rows", Asset(asset_id=name, licence=name)) for name in terms_in(dataset))
    return Asset(asset_id=dataset.dataset_id, licence=OWN, parents=parents)


def student_asset(student: Student, dataset: Dataset | None) -> Asset:
    """A student: the organisation's own, trained on the answers of its dataset, and from its base model if it has one.

    One whose dataset is gone (None) was trained on nobody knows what.
    """
    kind = "classifier" if student.kind == "classifier" else "generative"
    base = Parent("base", Asset(asset_id=student.base, licence=student.base_licence or UNKNOWN, kind="generative"))
    parents = (*_teachers(dataset), *((base,) if student.base else ()))
    return Asset(asset_id=student.student_id, licence=OWN, kind=kind, parents=parents)


def router_asset(router: str, dataset: Dataset | None) -> Asset:
    """A router: it chooses between models, and was fitted to the answers of a dataset."""
    return Asset(asset_id=router, licence=OWN, kind="classifier", parents=_teachers(dataset))


def terms_in(dataset: Dataset) -> tuple[str, ...]:
    """The terms of the answers that are in a dataset: those that a verdict permitted."""
    permitted = (verdict.subject for verdict in dataset.verdicts if verdict.permits)
    return tuple(dict.fromkeys(permitted)) or (UNKNOWN,)


def _teachers(dataset: Dataset | None) -> tuple[Parent, ...]:
    names = terms_in(dataset) if dataset is not None else (UNKNOWN,)
    return tuple(Parent("teacher", Asset(asset_id=name, licence=name)) for name in names)
