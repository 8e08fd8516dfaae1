"""Where the tables of traces, feedback and messages lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class TablePlace:
    """A folder that holds the tables, on this machine or in an object store."""

    uri: str = ""
    """Such as `s3://bucket/prefix`; empty: the data folder."""
    options: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """Of the object store, as deltalake and polars take them; credentials among them, so they are never shown."""


IN_DATA_FOLDER = TablePlace()
