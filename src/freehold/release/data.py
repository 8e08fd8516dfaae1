"""The data part of a release: always the hash of every row, and the rows where rights and privacy allow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from freehold.config.curate_settings import CurateStep
from freehold.domain.evidence import Dataset, Sample
from freehold.domain.rights import Ruling
from freehold.release.inventory import (
    DATA_CARD,
    DATASET,
    PIPELINE,
    ROW_HASHES,
    ROWS,
    DataSection,
    Item,
    Role,
    canonical_json,
)
from freehold.release.layout import Content
from freehold.release.parts import Part, Wanted, item, public, public_verdicts, told
from freehold.store.artifacts import row_sha256s, sha256_of

_LEVEL = 10
_REDACTING = frozenset(("redact", "secrets"))


def data_part(
    dataset: Dataset,
    samples: list[Sample],
    *,
    folder: Path,
    wanted: Wanted,
    steps: Sequence[CurateStep],
    ruling: Ruling,
    unmet: Sequence[str],
) -> tuple[DataSection, Part]:
    """Section and files.

    Args:
        dataset: its record.
        samples: its rows, checked against its hash.
        folder: of the dataset, where its card is.
        wanted: whether rows shall be shipped, and who looked at them.
        steps: of the pipeline as it is set now.
        ruling: on distributing the rows.
        unmet: its duties that are not met, in words.
    """
    why_not = _why_withheld(dataset, wanted, ruling, unmet)
    hashes = "".join(f"{digest}\n" for digest in row_sha256s(samples)).encode()
    section = _section(dataset, samples, wanted, sha256_of(hashes), why_not)
    record = msgspec.structs.replace(dataset, verdicts=public_verdicts(dataset.verdicts))
    files: dict[str, Content] = {DATASET: canonical_json(record), ROW_HASHES: hashes}
    licence = wanted.licence
    items = [
        item(DATASET, "dataset-record", "present", licence, "As stored; without private reasons."),
        item(ROW_HASHES, "row-hashes", "verified", licence, "Of the rows with the certified hash."),
    ]
    rows = _rows(section, wanted, why_not)
    if section.shipped:
        files[ROWS] = _compressed(samples)
    card, pipeline = folder / Path(DATA_CARD).name, _pipeline(dataset, steps)
    if card.is_file():
        files[DATA_CARD] = public(card.read_text(encoding="utf-8")).encode()
        items.append(item(DATA_CARD, "data-card", "present", licence))
    if pipeline is not None:
        files[PIPELINE] = pipeline
        note = "Its hash is the one that the dataset's record names."
        items.append(item(PIPELINE, "pipeline", "verified", licence, note))
    else:
        note = (
            f"The settings with the hash {dataset.pipeline_sha256 or '(none was kept)'} are no longer those in force."
        )
        items.append(told("pipeline", note))
    return section, Part(files, (*items, *rows))


def whole_steps(steps: Sequence[CurateStep]) -> list[dict[str, object]]:
    """The steps' settings, defaults included: their canonical JSON has the hash `Dataset.pipeline_sha256`."""
    tags = [msgspec.to_builtins(step)["step"] for step in steps]
    return [
        {"step": tag, **{name: getattr(step, name) for name in step.__struct_fields__}}
        for tag, step in zip(tags, steps, strict=True)
    ]


def _why_withheld(dataset: Dataset, wanted: Wanted, ruling: Ruling, unmet: Sequence[str]) -> str:
    """Why the rows are not shipped; empty: they are."""
    if not wanted.with_data:
        return "Nobody asked for them (--with-data)."
    if not ruling.permits:
        first = ruling.findings[0]
        return (
            f"Rights: {ruling.outcome} by {first.licence}/{first.clause}: {first.says} ({first.source}, {first.date}; "
            "not legal advice)"
        )
    if unmet:
        return f"Rights: {unmet[0]}"
    if wanted.reviewed_by:
        return ""
    treated = ", ".join(step.step for step in dataset.steps if step.step in _REDACTING)
    if treated:
        return (
            f"Privacy: the pipeline's {treated} leaves the rows to certify on as they came, so somebody has to look at "
            "them: --data-reviewed-by NAME."
        )
    return (
        "Privacy: no step of the pipeline treats personal data: put `redact` and `secrets` under [[curate.steps]], or "
        "look at the rows and say so with --data-reviewed-by NAME."
    )


def _section(dataset: Dataset, samples: list[Sample], wanted: Wanted, root: str, why_not: str) -> DataSection:
    treated = (f"step {step.step}: {step.changed} rows changed" for step in dataset.steps if step.step in _REDACTING)
    return DataSection(
        dataset_id=dataset.dataset_id,
        sha256=dataset.sha256,
        rows_root=root,
        rows=dataset.rows,
        parts=dataset.parts,
        since_ns=dataset.since_ns,
        until_ns=dataset.until_ns,
        form=dataset.form.kind,
        terms=_counts(sample.terms for sample in samples),
        answered_by=_counts(sample.answered_by or "unknown" for sample in samples),
        origins=_counts(sample.origin for sample in samples),
        left_out=dataset.left_out,
        steps=dataset.steps,
        pipeline_sha256=dataset.pipeline_sha256,
        verdicts=public_verdicts(dataset.verdicts),
        shipped=not why_not,
        why_not_shipped=why_not,
        treated=tuple(treated),
        reviewed_by="" if why_not else wanted.reviewed_by,
        licence="" if why_not else wanted.data_licence,
    )


def _rows(section: DataSection, wanted: Wanted, why_not: str) -> list[Item]:
    roles: tuple[Role, ...] = ("dataset", "evaluation-data")
    if not section.shipped:
        return [told(role, f"Only its hashes: {why_not}") for role in roles]
    note = "Gives the hashes of data/rows.txt and the certified one."
    return [item(ROWS, role, "verified", wanted.data_licence, note) for role in roles]


def _pipeline(dataset: Dataset, steps: Sequence[CurateStep]) -> bytes | None:
    body = canonical_json(whole_steps(steps))
    return body if sha256_of(body) == dataset.pipeline_sha256 else None


def _compressed(samples: Sequence[Sample]) -> bytes:
    import zstandard

    lines = b"".join(canonical_json(sample) + b"\n" for sample in samples)
    return zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(lines)


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))
