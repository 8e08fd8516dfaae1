"""A dataset for other programs: JSON Lines of chats, Parquet, or a folder that Hugging Face's `datasets` loads.

Rows that certify stay here unless they are asked for: whoever trains on them makes every certificate void. And they
hold the texts as they came, so of a dataset that was redacted they are not given at all.
"""

from __future__ import annotations

import datetime
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from freehold.curate.card import CARD
from freehold.curate.diff import dataset_of
from freehold.domain.counsel import Decision
from freehold.domain.errors import RequestError, RightsError, StoreError
from freehold.domain.evidence import Dataset, Part, Sample, Verdict
from freehold.domain.rights import NO_FACTS, Organisation
from freehold.rights import judge_training
from freehold.rights.words import in_words, what_to_do
from freehold.store.artifacts import read_dataset, write_folder
from freehold.store.counsel import decisions
from freehold.store.recalls import check_not_recalled

if TYPE_CHECKING:
    from pathlib import Path

    from freehold.store import Store

Format = Literal["openai", "sharegpt", "parquet", "hf"]
Purpose = Literal["train_classifier", "distil"]
SPLITS: dict[Part, str] = {"fit": "train", "tune": "validation", "certify": "test"}
"""A part's name among those who call parts splits."""
MANIFEST = "export.json"
_IN_WORDS: dict[Purpose, str] = {
    "train_classifier": "train a classifier",
    "distil": "train a generative model",
}
_CHANGERS = frozenset(("redact", "secrets"))


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """What was written."""

    dataset: str
    format: Format
    purpose: Purpose
    rows: dict[str, int]
    """Part → rows."""
    left_out: dict[str, int]
    """Why rows were not written → how many."""
    verdicts: tuple[Verdict, ...]
    """On this purpose, which need not be what the dataset was made for."""


def export_dataset(
    store: Store,
    wanted: str,
    out: Path,
    form: Format,
    purpose: Purpose,
    parts: Sequence[Part],
    now_ns: int,
    organisation: Organisation = NO_FACTS,
) -> Exported:
    """Write a dataset into the new folder `out`, whole or not at all.

    Args:
        store: where the dataset is.
        wanted: its id, or how that begins.
        out: is made; nothing may be there.
        form: `openai` and `sharegpt`: JSON Lines, a file for each part; `parquet`: with every column, the same; `hf`:
            Parquet as Hugging Face's `datasets` expects it, with the card.
        purpose: what it shall be used for: rights are judged anew.
        parts: which to write.
        now_ns: the time verdicts are given for.
        organisation: the facts that terms ask about.

    Raises:
        NotFound: there is no such dataset.
        RequestError: certify rows of a redacted dataset were asked for.
        RightsError: no row may be used so, or the dataset was recalled.
        Conflict: `out` exists and holds something else.
        StoreError: it cannot be read or written.
    """
    dataset = dataset_of(store, wanted)
    check_not_recalled(store, "dataset", dataset.dataset_id)
    changed = sorted({step.step for step in dataset.steps} & _CHANGERS)
    if "certify" in parts and changed:
        raise RequestError(
            f"The certify rows of {dataset.dataset_id} hold what {' and '.join(changed)} took out of the others.",
            "Export fit and tune.",
        )
    folder = store.data / dataset.path
    samples = [sample for sample in read_dataset(folder, dataset.sha256) if sample.part in parts]
    kept, left_out, verdicts = _permitted(
        samples, purpose, decisions(store, dataset.task, dataset.dataset_id), now_ns, organisation
    )
    exported = Exported(
        dataset=dataset.dataset_id,
        format=form,
        purpose=purpose,
        rows={part: sum(sample.part == part for sample in kept) for part in parts},
        left_out=left_out,
        verdicts=verdicts,
    )
    files = _files(form, kept, parts)
    files |= _beside(folder, dataset, form, parts)
    write_folder(out, {**files, MANIFEST: msgspec.json.format(msgspec.json.encode(exported))}, MANIFEST)
    return exported


def _permitted(
    samples: Sequence[Sample],
    purpose: Purpose,
    counsel: tuple[Decision, ...],
    now_ns: int,
    organisation: Organisation,
) -> tuple[list[Sample], dict[str, int], tuple[Verdict, ...]]:
    today = datetime.datetime.fromtimestamp(now_ns / 1e9, datetime.UTC).date()
    terms = sorted({sample.terms for sample in samples})
    verdicts = {name: judge_training(purpose, name, counsel, today, organisation) for name in terms}
    kept = [sample for sample in samples if verdicts[sample.terms].permits]
    if samples and not kept:
        first = verdicts[terms[0]]
        raise RightsError(
            f"None of these rows may {_IN_WORDS[purpose]}: {in_words(first)}",
            f"Choose another purpose. {what_to_do(first)}",
        )
    denied = {
        f"rights: {verdict.outcome} ({name})": sum(sample.terms == name for sample in samples)
        for name, verdict in verdicts.items()
        if not verdict.permits
    }
    return kept, denied, tuple(verdicts.values())


def _files(form: Format, samples: Sequence[Sample], parts: Sequence[Part]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in parts:
        rows = [sample for sample in samples if sample.part == part]
        match form:
            case "openai":
                found[f"{part}.jsonl"] = _lines([_openai(row) for row in rows])
            case "sharegpt":
                found[f"{part}.jsonl"] = _lines([_sharegpt(row) for row in rows])
            case "parquet":
                found[f"{part}.parquet"] = _parquet(rows)
            case "hf":
                found[f"data/{SPLITS[part]}-00000-of-00001.parquet"] = _parquet(rows)
    return found


def _lines(rows: Sequence[dict[str, Any]]) -> bytes:
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


def _openai(sample: Sample) -> dict[str, Any]:
    """As OpenAI's fine-tuning takes it."""
    return {
        "messages": [
            {"role": "user", "content": sample.prompt},
            {"role": "assistant", "content": sample.answer},
        ]
    }


def _sharegpt(sample: Sample) -> dict[str, Any]:
    turns = [{"from": "human", "value": sample.prompt}, {"from": "gpt", "value": sample.answer}]
    return {"id": sample.trace_id, "conversations": turns}


def _parquet(samples: Sequence[Sample]) -> bytes:
    import polars as pl

    known: dict[Any, Any] = {int: pl.Int64, bool: pl.Boolean}
    types = {field.name: known.get(field.type, pl.String) for field in msgspec.structs.fields(Sample)}
    columns = {name: [getattr(sample, name) for sample in samples] for name in types}
    buffer = io.BytesIO()
    pl.DataFrame(columns, schema=types).write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def _beside(folder: Path, dataset: Dataset, form: Format, parts: Sequence[Part]) -> dict[str, bytes]:
    """The card; for Hugging Face as README.md with the front matter that names the splits."""
    try:
        card = (folder / CARD).read_bytes() if (folder / CARD).exists() else f"# {dataset.dataset_id}\n".encode()
    except OSError as error:
        raise StoreError(f"{folder / CARD} cannot be read: {error.strerror}.", "Check its permissions.") from error
    if form != "hf":
        return {CARD: card}
    splits = "".join(f"  - split: {SPLITS[part]}\n    path: data/{SPLITS[part]}-*\n" for part in parts)
    front = f"---\nconfigs:\n- config_name: default\n  data_files:\n{splits}---\n\n"
    return {"README.md": front.encode() + card}
