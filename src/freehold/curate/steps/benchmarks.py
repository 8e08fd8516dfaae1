"""The texts of a benchmark's file: JSON Lines, Parquet, or plain text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
from polars.exceptions import PolarsError

from freehold.domain.errors import ConfigError

_AT_ONCE = 5_000
_HINT = "Name a file of JSON Lines (.jsonl), Parquet (.parquet) or plain text, by its absolute path."


def benchmark_texts(path: Path) -> Iterator[pl.Series]:
    """All strings of a file, some at a time: every string of a JSON line or of a Parquet row; a text file as one.

    Raises:
        ConfigError: it cannot be read, is not what its name says, or holds no string.
    """
    empty = True
    try:
        for texts in _read(path):
            empty = empty and not texts
            yield pl.Series(texts, dtype=pl.String).unique(maintain_order=True)
    except OSError as error:
        raise ConfigError(f"The benchmark {path} cannot be read: {error.strerror}.", _HINT) from error
    except (PolarsError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"The benchmark {path} cannot be understood: {error}.", _HINT) from error
    if empty:
        raise ConfigError(f"The benchmark {path} holds no text.", _HINT)


def _read(path: Path) -> Iterator[list[str]]:
    match path.suffix:
        case ".jsonl" | ".ndjson":
            with path.open("rb") as file:
                texts: list[str] = []
                for line in file:
                    texts += _strings(msgspec.json.decode(line)) if line.strip() else []
                    if len(texts) >= _AT_ONCE:
                        yield texts
                        texts = []
                yield texts
        case ".parquet":
            rows = pl.scan_parquet(path).select(pl.len()).collect().item()
            for start in range(0, rows, _AT_ONCE):
                some = pl.scan_parquet(path).slice(start, _AT_ONCE).collect()
                yield [text for row in some.iter_rows() for text in _strings(row)]
        case _:
            yield [text] if (text := path.read_text(encoding="utf-8")).strip() else []


def _strings(value: Any) -> list[str]:
    """Every string in a value, however deep."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for item in value.values() for text in _strings(item)]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list | tuple):
        return [text for item in value for text in _strings(item)]  # pyright: ignore[reportUnknownVariableType]
    return []
