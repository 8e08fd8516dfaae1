"""Level 2: the rows are there and are those that were certified, in the same order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from freehold.domain.errors import FreeholdError, ReleaseError
from freehold.domain.evidence import Check, Sample
from freehold.release.inventory import DATASET, PIPELINE, ROW_HASHES, ROWS
from freehold.release.verify.released import Released
from freehold.release.verify.report import Missing, checked
from freehold.release.verify.tree import GET_ANOTHER
from freehold.release.verify.workshop import Workshop
from freehold.store.artifacts import dataset_sha256, row_sha256s

_ASK = "Ask whoever signed the release; do not train on these rows in its name."
_CHANGED = "Its traces, settings or quarantine may have changed since: see `freehold events` and forgotten rows."


def dataset_checks(released: Released, workshop: Workshop) -> Iterator[Check]:
    """The checks of level 2, each done when it is asked for."""
    yield checked("record", lambda: _record(released))
    if released.shipped is not None:
        yield checked("rows", lambda: _shipped(released))
    if PIPELINE in released.sealed.files:
        yield checked("pipeline", lambda: _pipeline(released))
    if released.shipped is None or workshop.stored(released.dataset) is not None:
        yield checked("traffic", lambda: _traffic(released, workshop))


def rows_of(released: Released, workshop: Workshop) -> list[Sample]:
    """The rows that level 2 found to be right.

    Raises:
        Missing: there are none.
    """
    samples = released.shipped if released.shipped is not None else workshop.stored(released.dataset)
    if samples is None:
        raise Missing("there are no rows.", "Name the installation that has them: --config FILE.")
    _same_rows(released, samples, row_sha256s(samples), "rows")
    return samples


def _record(released: Released) -> str:
    """That dataset record, inventory, certificate and row hashes tell of one dataset."""
    dataset, data = released.dataset, released.inventory.data
    hashes = {dataset.sha256, data.sha256, released.certificate.dataset_sha256}
    if len(hashes) != 1 or dataset.dataset_id != data.dataset_id or dataset.pipeline_sha256 != data.pipeline_sha256:
        raise ReleaseError(f"{DATASET}, inventory and certificate tell of different datasets.", _ASK)
    if released.sealed.files[ROW_HASHES].sha256 != data.rows_root:
        raise ReleaseError(f"The inventory tells of another {ROW_HASHES}.", GET_ANOTHER)
    if not len(released.row_hashes) == dataset.rows == data.rows:
        raise ReleaseError(
            f"{ROW_HASHES} has {len(released.row_hashes)} rows, the dataset's record {dataset.rows}, the inventory "
            f"{data.rows}.",
            _ASK,
        )
    return f"{dataset.rows} row hashes, of dataset {dataset.dataset_id}."


def _shipped(released: Released) -> str:
    samples = released.shipped or []
    _same_rows(released, samples, released.shipped_hashes, ROWS)
    return f"{ROWS} gives the {len(samples)} hashes of {ROW_HASHES} in order, and together the certified one."


def _pipeline(released: Released) -> str:
    if released.sealed.files[PIPELINE].sha256 != released.dataset.pipeline_sha256:
        raise ReleaseError(f"{PIPELINE} does not hold the settings that made the dataset.", _ASK)
    return f"{PIPELINE} holds the settings that the dataset's record names by hash."


def _traffic(released: Released, workshop: Workshop) -> str:
    """Whether the installation's own traces give the same rows through the same steps."""
    try:
        samples = workshop.rebuilt(released.dataset)
    except FreeholdError as error:
        raise Missing(f"the installation cannot curate it again: {error.message}", error.hint) from error
    if samples is None:
        raise Missing(
            f"the rows are not in the release ({released.inventory.data.why_not_shipped or 'it says no reason'}).",
            "Name the installation whose traffic it was made of: --config FILE.",
        )
    try:
        _same_rows(released, samples, row_sha256s(samples), "the installation's traffic")
    except ReleaseError as error:
        raise ReleaseError(error.message, _CHANGED) from error
    return f"Curated again from the installation's traffic: the same {len(samples)} rows in the same order."


def _same_rows(released: Released, samples: list[Sample], found: list[str], whence: str) -> None:
    """Raise ReleaseError unless these are the dataset's rows in order."""
    wanted = released.row_hashes
    if found != wanted:
        missing, more = Counter(wanted) - Counter(found), Counter(found) - Counter(wanted)
        pairs = enumerate(zip(wanted, found, strict=False))
        first = next((place for place, (one, other) in pairs if one != other), min(len(wanted), len(found)))
        what = f"{missing.total()} rows are missing and {more.total()} are others" if missing or more else "reordered"
        raise ReleaseError(
            f"{whence}: not the {len(wanted)} rows of {ROW_HASHES}, but {len(found)} ({what}); the first is row "
            f"{first}.",
            _ASK,
        )
    if dataset_sha256(samples) != released.certificate.dataset_sha256:
        raise ReleaseError(f"{whence}: together the rows have not the hash that was certified.", _ASK)
    if dict(Counter(sample.part for sample in samples)) != released.dataset.parts:
        raise ReleaseError(f"{whence}: the rows' parts are not as the dataset's record counts them.", _ASK)
