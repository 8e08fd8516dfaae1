"""A file of recorded outcomes as one lazy table, whatever its format; nothing is read before it is asked for.

Columns: `prompt`, `model` and `score` must be there; `prompt_id, task, is_open_weight, response, input_tokens,
output_tokens, cost_usd` may be. One row is one answer of one model to one prompt. JSON lines may have other forms too:
see `freehold.curate.outcome_logs`.
"""

from __future__ import annotations

import difflib
import tempfile
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import polars as pl

from freehold.curate.outcome_logs import Row, rows_of_line
from freehold.domain.errors import NotFound, RequestError

TEXTS = ("prompt_id", "task", "prompt", "model", "is_open_weight", "response")
NUMBERS = ("score", "input_tokens", "output_tokens", "cost_usd")
NEEDED = ("prompt", "model", "score")
_WRITTEN: dict[str, pl.DataType] = {
    "row": pl.Int64(),
    **{name: pl.String() for name in TEXTS},
    **{name: pl.Float64() for name in NUMBERS},
}
_BATCH_BYTES = 32 << 20
"""So much of a file of JSON lines is held at a time."""
_MAX_LINE = 64 << 20
_PACKED = {b"\x1f\x8b": "gzip", b"PK": "zip", b"\x28\xb5\x2f\xfd": "zstd"}
_TABLE = "Give Parquet, CSV or JSON lines with the columns `prompt`, `model` and `score`."


@contextmanager
def open_rows(path: Path) -> Generator[pl.LazyFrame]:
    """The file as rows `(row, *TEXTS, *NUMBERS)`, `row` counted from 1 (of JSON: the line). Absent columns are null.

    JSON lines are first written as a temporary Parquet table, batch by batch: they are read more than once.

    Raises:
        NotFound: there is no such file.
        RequestError: it is empty, not a table, or lacks a column; the message names the columns there are.
    """
    kind = _kind(path)
    try:
        if kind == "json":
            with tempfile.TemporaryDirectory(prefix="freehold-outcomes-") as folder:
                _write_lines(path, Path(folder))
                yield pl.scan_parquet(Path(folder) / "*.parquet")
        else:
            yield _scan_table(path, kind)
    except pl.exceptions.PolarsError as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise RequestError(f"{path} cannot be read as {kind.upper()}: {reason}.", _TABLE) from error


def nearest_first(wanted: str, names: Iterable[str]) -> list[str]:
    """`names`, those that look most like `wanted` first."""
    folded = wanted.casefold()
    ratios = {name: difflib.SequenceMatcher(None, folded, name.casefold()).ratio() for name in names}
    return sorted(ratios, key=lambda name: (-ratios[name], name))


def _kind(path: Path) -> Literal["parquet", "csv", "json"]:
    if path.is_dir():
        raise RequestError(f"{path} is a folder.", "Give one file.")
    try:
        with path.open("rb") as file:
            head = file.read(1 << 16)
    except FileNotFoundError as error:
        raise NotFound(f"There is no file {path}.", "Give a file of recorded outcomes.") from error
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror}.", "Make it readable.") from error
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not start:
        raise RequestError(f"{path} is empty.", _TABLE)
    packed = next((name for magic, name in _PACKED.items() if head.startswith(magic)), None)
    if packed:
        raise RequestError(f"{path} is packed with {packed}.", "Unpack it first.")
    if head.startswith(b"PAR1"):
        return "parquet"
    if start.startswith(b"{"):
        return "json"
    if start.startswith(b"["):
        raise RequestError(f"{path} is one JSON array.", f"Make it JSON lines: `jq -c '.[]' {path}`.")
    if b"\0" in head:
        raise RequestError(f"{path} is not a table.", _TABLE)
    return "csv"


def _scan_table(path: Path, kind: Literal["parquet", "csv"]) -> pl.LazyFrame:
    if kind == "parquet":
        table = pl.scan_parquet(path, row_index_name="row")
    else:
        table = pl.scan_csv(path, separator=_separator(path), infer_schema=False, row_index_name="row")
    schema = table.collect_schema()
    names = [name for name in schema.names() if name != "row"]
    missing = [name for name in NEEDED if name not in names]
    if missing:
        there = nearest_first(missing[0], names)[:20]
        raise RequestError(
            f"{path} has no column `{missing[0]}`. Its columns: {', '.join(f'`{name}`' for name in there)}.",
            f"Rename one of them to `{missing[0]}`. {_TABLE}",
        )
    nested = [name for name in (*TEXTS, *NUMBERS) if name in names and schema[name].is_nested()]
    if nested:
        raise RequestError(
            f"The column `{nested[0]}` of {path} holds {schema[nested[0]]}, not one value per row.",
            "Give the text of the conversation as `prompt`, or JSON lines with `messages`.",
        )
    texts = [_text(name, schema) for name in TEXTS]
    numbers = [
        (pl.col(name).cast(pl.Float64, strict=False) if name in names else pl.lit(None, pl.Float64)).alias(name)
        for name in NUMBERS
    ]
    return table.select((pl.col("row").cast(pl.Int64) + 1).alias("row"), *texts, *numbers)


def _text(name: str, schema: pl.Schema) -> pl.Expr:
    if name not in schema:
        return pl.lit(None, pl.String).alias(name)
    if schema[name] == pl.Binary:
        return pl.col(name).cast(pl.String)
    return pl.col(name).cast(pl.String, strict=False)


def _separator(path: Path) -> str:
    """The one that the first line has most of."""
    with path.open("rb") as file:
        first = file.readline(1 << 16)
    return max(",;\t", key=lambda mark: first.count(mark.encode()))


def _write_lines(path: Path, folder: Path) -> None:
    rows: list[Row] = []
    held, parts = 0, 0
    for number, line in _lines(path):
        try:
            rows += [{"row": number, **row} for row in rows_of_line(line)]
        except RequestError as error:
            raise RequestError(f"Line {number} of {path} cannot be used: {error.message}", error.hint) from error
        held += len(line)
        if held >= _BATCH_BYTES:
            _write_part(rows, folder, parts)
            rows, held, parts = [], 0, parts + 1
    if rows or not parts:
        _write_part(rows, folder, parts)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(_MAX_LINE):
            number += 1
            if len(line) == _MAX_LINE:
                raise RequestError(
                    f"Line {number} of {path} is longer than {_MAX_LINE >> 20} MiB.", "Give one JSON object per line."
                )
            if line := line.removeprefix(b"\xef\xbb\xbf").strip():
                yield number, line


def _write_part(rows: list[Row], folder: Path, part: int) -> None:
    columns = {name: [row[name] for row in rows] for name in _WRITTEN}
    made = pl.DataFrame(columns, schema=_WRITTEN)
    made.write_parquet(folder / f"{part:06}.parquet", compression="lz4", row_group_size=16_384)
