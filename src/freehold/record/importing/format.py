"""What a format is: how its rows are told from others', and what they are read into."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import msgspec

from freehold.record.importing.exchange import Exchange, Judgement
from freehold.record.importing.values import Row

MISREAD = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError, msgspec.MsgspecError)
"""What reading a row may raise whose fields are not what its program writes."""
Read: TypeAlias = Exchange | Judgement


class Shelf(Protocol):
    """Rows put aside until the rows that belong to them come; on disk, and kept across restarts."""

    def put(self, kind: str, key: str, row: Row) -> None:
        """Keep a row; one of the same kind and key is replaced."""
        ...

    def get(self, kind: str, key: str) -> Row | None:
        """The row kept under this kind and key."""
        ...


@dataclass(frozen=True)
class Format:
    """One program's way to write down exchanges."""

    name: str
    title: str
    """For people."""
    roles: tuple[str, ...]
    """The kinds of rows it has, in the order in which their files are to be read."""
    role: Callable[[Row], str | None]
    """Which kind a row is; None: not of this format."""
    read: Callable[[str, Row, Shelf], Iterator[Read]]
    """What a row of a kind says.

    Raises:
        RowError: the row cannot be used.
    """
    protobuf: Callable[[bytes], Row] | None = None
    """Reads a file of bytes as one row, where the format has such files."""
    suffixes: tuple[str, ...] = ()
    """Of such files."""
