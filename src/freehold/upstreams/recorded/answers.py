"""Recorded answers, read from a JSONL or Parquet file and found by what was asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import msgspec

from freehold.domain.errors import ConfigError

BYTES_PER_TOKEN = 4
"""Where the file does not say how many tokens a text had: a common rule of thumb for English."""
DEFAULT_MODEL = "recorded"


class RecordedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One row: what was asked and what the model answered. Columns of the file have the same names."""

    prompt: str
    """Text of the last user message."""
    response: str
    model: str | None = None
    instructions: str | None = None
    """System and developer text; None: the answer holds whatever the instructions were."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    latency_ms: float | None = None
    """Time before the first byte of this answer; None: the server's own."""
    logprob: float | None = None
    """Mean log-probability of the answer's tokens, given where a request asks for them; None: not recorded."""


class RecordedAnswers:
    """Answers by (model, instructions, prompt); where one question has several, they are given in turn."""

    def __init__(self, rows: Iterable[RecordedAnswer], *, model: str | None = None) -> None:
        """Index `rows`.

        `model`: where the rows are of several models, only this one's are served; otherwise the name they all get.
        """
        kept = list(rows)
        named = {row.model for row in kept if row.model is not None}
        select = model if len(named) > 1 else None
        if select is not None and select not in named:
            raise ConfigError(
                f"None of the recorded answers is of model {select!r}.", f"Recorded models: {', '.join(sorted(named))}."
            )
        self._found: dict[tuple[str, str | None, str], RecordedAnswer | Iterator[RecordedAnswer]] = {}
        groups: dict[tuple[str, str | None, str], list[RecordedAnswer]] = {}
        for row in kept:
            if select is None or row.model == select:
                name = (model if len(named) <= 1 else None) or row.model or DEFAULT_MODEL
                groups.setdefault((name, row.instructions, row.prompt), []).append(row)
        for key, group in groups.items():
            self._found[key] = group[0] if len(group) == 1 else cycle(group)
        self.models = tuple(sorted({key[0] for key in groups}))

    def __len__(self) -> int:
        return len(self._found)

    def find(self, model: str, instructions: str, prompt: str) -> RecordedAnswer | None:
        """The answer to this question, or None."""
        found = self._found.get((model, instructions, prompt)) or self._found.get((model, None, prompt))
        return found if found is None or isinstance(found, RecordedAnswer) else next(found)


def load_answers(path: Path, *, model: str | None = None) -> RecordedAnswers:
    """Read `path` (`.jsonl`, or `.parquet`); rows whose response is null are left out.

    Raises:
        ConfigError: the file cannot be read, or lacks `prompt` or `response`.
    """
    try:
        records = _parquet(path) if path.suffix == ".parquet" else _jsonl(path)
        rows = [_answer(record) for record in records if record.get("response") is not None]
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.", "Check the path and its permissions.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} does not hold recorded answers: {error}.",
            "Give JSONL or Parquet with the columns prompt and response.",
        ) from error
    if not rows:
        raise ConfigError(f"{path} holds no answers.", "Give a file with at least one row whose response is not null.")
    return RecordedAnswers(rows, model=model)


def _answer(record: dict[str, Any]) -> RecordedAnswer:
    return msgspec.convert(record, RecordedAnswer, strict=False)


def _jsonl(path: Path) -> list[dict[str, Any]]:
    return msgspec.json.Decoder(dict[str, Any]).decode_lines(path.read_bytes())


def _parquet(path: Path) -> list[dict[str, Any]]:
    import polars  # heavy, and only this format needs it

    try:
        names = polars.read_parquet_schema(path)
        columns = [name for name in RecordedAnswer.__struct_fields__ if name in names]
        return polars.read_parquet(path, columns=columns).to_dicts()
    except polars.exceptions.PolarsError as error:
        raise ConfigError(f"{path} cannot be read as Parquet: {error}.", "Check that the file is whole.") from error
