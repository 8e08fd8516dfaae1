"""Rows of files, one after another, in bounded memory: JSON lines, JSON arrays, CSV, Parquet, Arrow; gzip and zstd.

A place in a file is the number of rows before it, and for JSON lines the offset after them too, so that a plain file
of lines is taken up at once where it was left; of all others the rows before are passed over.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import zstandard

from freehold.domain.errors import RequestError, RowError, StoreError
from freehold.record.importing.json_array import elements
from freehold.record.importing.values import Row, loads

MAX_ROW_BYTES = 64 * 1024 * 1024
"""A longer row is rejected; of files that are one JSON document, a larger file."""
PREFIX_BYTES = 64 * 1024
"""So much of a file's beginning tells whether it is still the same one."""
_PARQUET_ROWS = 1_000
_COMPRESSED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_TABLES = frozenset((".parquet", ".arrow", ".csv", ".tsv"))
_READABLE = frozenset((".jsonl", ".ndjson", ".json", ".parquet", ".arrow", ".csv", ".tsv", ".kiln", ".gz", ".zst"))
_NOT_ROWS = frozenset(("dataset_info.json", "dataset_dict.json", "state.json", "dataset_infos.json"))


class Place(NamedTuple):
    """Where reading goes on."""

    rows: int = 0
    offset: int = 0
    """Bytes before it, decompressed; 0 for files that are no JSON lines."""


START = Place()


class Line(NamedTuple):
    """One row, or why there is none."""

    number: int
    """From 1; of JSON lines the line."""
    row: Row | None
    error: RowError | None
    after: Place
    raw: bytes = b""
    """The line itself, where it could not be read."""


class Prefix(NamedTuple):
    """What tells a file from another at the same path."""

    length: int
    digest: str

    def holds(self, path: Path) -> bool:
        """Whether the file still begins so."""
        return prefix_of(path, self.length) == self

    @property
    def empty(self) -> bool:
        """Nothing is known of it."""
        return self.length == 0


def prefix_of(path: Path, length: int = PREFIX_BYTES) -> Prefix:
    """The beginning of a file as it is on disk.

    Raises:
        StoreError: it cannot be read.
    """
    with _opened(path) as file:
        head = file.read(length)
    return Prefix(len(head), hashlib.blake2b(head, digest_size=16).hexdigest())


def files_in(paths: tuple[Path, ...]) -> list[Path]:
    """The files meant by these paths; of a folder all that may hold rows, by name.

    Raises:
        RequestError: a path is not there, or a folder holds no such file.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(item for item in path.rglob("*") if item.is_file() and _may_hold_rows(item))
            if not inside:
                raise RequestError(
                    f"The folder {path} holds no file that can be imported.",
                    f"Give a folder with files of these kinds: {', '.join(sorted(_READABLE))}.",
                )
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise RequestError(f"There is no file {path}.", "Check the path.")
    return list(dict.fromkeys(path.resolve() for path in found))


def _may_hold_rows(path: Path) -> bool:
    return path.suffix.lower() in _READABLE and path.name not in _NOT_ROWS and not path.name.startswith(".")


def lines_of(path: Path, place: Place = START, whole: Callable[[bytes], Row] | None = None) -> Iterator[Line]:
    """The rows of a file from a place on.

    Args:
        path: the file; its kind is told by its name and its first bytes.
        place: where to begin.
        whole: reads the file's bytes as one row, whatever its name.

    Raises (while iterating):
        StoreError: the file cannot be read, or is damaged.
    """
    try:
        if whole is not None:
            return _document(path, place, whole)
        match _kind(path):
            case ".parquet":
                return _parquet(path, place)
            case ".arrow":
                return _arrow(path, place)
            case ".csv" | ".tsv" as kind:
                return _csv(path, place, "\t" if kind == ".tsv" else ",")
            case "array":
                return _array(path, place)
            case "document":
                return _document(path, place, _object)
            case _:
                return _json_lines(path, place)
    except OSError as error:
        raise _damaged(path, error) from error


def _kind(path: Path) -> str:
    name = path.with_suffix("") if path.suffix.lower() in (".gz", ".zst", ".zstd") else path
    if name.suffix.lower() in _TABLES:
        return name.suffix.lower()
    with _opened(path) as raw:
        if raw.read(4) == b"PAR1":
            return ".parquet"
    with _decompressed(path) as file:
        head = file.read(1)
        while head.isspace() or head in (b"\xef", b"\xbb", b"\xbf"):
            head = file.read(1)
        if head == b"[":
            return "array"
        if head != b"{":
            return "lines"
        line = head + file.readline(MAX_ROW_BYTES)
    try:
        loads(line)
    except RowError:
        return "document"
    return "lines"


def _json_lines(path: Path, place: Place) -> Iterator[Line]:
    number, offset = place
    with _decompressed(path, offset) as file:
        while True:
            line = _read(path, lambda: file.readline(MAX_ROW_BYTES))
            if not line:
                return
            number += 1
            offset += len(line)
            too_long = len(line) == MAX_ROW_BYTES and not line.endswith(b"\n")
            while too_long and not line.endswith(b"\n"):
                line = _read(path, lambda: file.readline(MAX_ROW_BYTES))
                offset += len(line)
                if not line:
                    break
            after = Place(number, offset)
            if too_long:
                yield Line(number, None, _too_long(), after)
            elif line.strip():
                yield _line(number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line, after)


def _line(number: int, line: bytes, after: Place) -> Line:
    try:
        return Line(number, _object(line), None, after)
    except RowError as error:
        return Line(number, None, error, after, line)


def _object(line: bytes) -> Row:
    found = loads(line)
    if not isinstance(found, dict):
        raise RowError("It is JSON, but no object.", "Give one JSON object per row.")
    return cast("Row", found)


def _too_long() -> RowError:
    return RowError(f"It is longer than {MAX_ROW_BYTES >> 20} MiB.", "Split it.")


def _array(path: Path, place: Place) -> Iterator[Line]:
    with _decompressed(path) as file:
        for number, element in enumerate(elements(lambda size: _read(path, lambda: file.read(size)), MAX_ROW_BYTES), 1):
            if number <= place.rows:
                continue
            if element is None:
                yield Line(number, None, _too_long(), Place(number))
            else:
                yield _line(number, element, Place(number))


def _document(path: Path, place: Place, read: Callable[[bytes], Row]) -> Iterator[Line]:
    if place.rows:
        return
    with _decompressed(path) as file:
        whole = _read(path, lambda: file.read(MAX_ROW_BYTES + 1))
    if len(whole) > MAX_ROW_BYTES:
        yield Line(1, None, _too_long(), Place(1))
        return
    try:
        yield Line(1, read(whole), None, Place(1))
    except RowError as error:
        yield Line(1, None, error, Place(1), whole)


def _csv(path: Path, place: Place, delimiter: str) -> Iterator[Line]:
    csv.field_size_limit(MAX_ROW_BYTES)
    with _decompressed(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace", newline="")
        reader = csv.DictReader(text, delimiter=delimiter)
        number = 0
        while True:
            try:
                row = _read(path, lambda: next(reader, None))
                error = None
            except csv.Error:
                row, error = None, RowError("It is not CSV.", "Quote fields that hold commas, quotes or new lines.")
            if row is None and error is None:
                return
            number += 1
            if number > place.rows:
                fields = cast("Row", row or {})
                fields.pop(cast("Any", None), None)  # what a line has beyond the columns
                yield Line(number, None if error else {n: v for n, v in fields.items() if v}, error, Place(number))


def _parquet(path: Path, place: Place) -> Iterator[Line]:
    import polars as pl
    from polars.exceptions import PanicException, PolarsError

    number = place.rows
    try:
        rows = pl.scan_parquet(path, glob=False)
        height = int(rows.select(pl.len()).collect().item())
        while number < height:
            for row in rows.slice(number, _PARQUET_ROWS).collect().iter_rows(named=True):
                number += 1
                yield Line(number, row, None, Place(number))
    except (PolarsError, PanicException, OSError) as error:
        raise _damaged(path, error) from error


def _arrow(path: Path, place: Place) -> Iterator[Line]:
    """A shard that Hugging Face's `datasets` saved: an Arrow stream, or an Arrow file. It is read whole."""
    import polars as pl
    from polars.exceptions import PanicException, PolarsError

    try:
        rows = pl.read_ipc(path) if _opened(path).read(6) == b"ARROW1" else pl.read_ipc_stream(path)
        for number, row in enumerate(rows.slice(place.rows).iter_rows(named=True), place.rows + 1):
            yield Line(number, row, None, Place(number))
    except (PolarsError, PanicException, OSError) as error:
        raise _damaged(path, error) from error


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise _damaged(path, error) from error


def _decompressed(path: Path, offset: int = 0) -> IO[bytes]:
    """The file's bytes, decompressed if need be, from an offset on."""
    raw = _opened(path)
    magic = raw.read(4)
    packed = next((kind for start, kind in _COMPRESSED.items() if magic.startswith(start)), "")
    raw.seek(0 if packed else offset)
    if not packed:
        return raw
    if packed == "gzip":
        opened = cast("IO[bytes]", gzip.GzipFile(fileobj=raw))
    else:
        reader = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True, closefd=True)
        opened = cast("IO[bytes]", io.BufferedReader(cast("Any", reader), 1 << 20))
    _pass_over(path, opened, offset)
    return opened


def _pass_over(path: Path, file: IO[bytes], left: int) -> None:
    def some() -> bytes:
        return file.read(min(left, 1 << 20))

    while left > 0 and (passed := _read(path, some)):
        left -= len(passed)


def _read(path: Path, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except (OSError, EOFError, zstandard.ZstdError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: BaseException) -> StoreError:
    reason = getattr(error, "strerror", None) or type(error).__name__
    return StoreError(
        f"{path} cannot be read: {reason}.",
        "What was read before is kept. Mend the file (a download cut short?) and import it again.",
    )
