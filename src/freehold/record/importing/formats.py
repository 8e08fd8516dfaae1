"""All formats there are, and which one a file is of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from freehold.domain.errors import RequestError
from freehold.record.importing import (
    anthropic_batch,
    huggingface,
    kiln,
    langfuse,
    litellm,
    openai_batch,
    openai_chat,
    openinference,
    opentracy,
    otel,
    tensorzero,
    tracer,
)
from freehold.record.importing.files import Line, lines_of
from freehold.record.importing.format import Format
from freehold.record.importing.values import Row

FORMATS: dict[str, Format] = {
    module.FORMAT.name: module.FORMAT
    for module in (
        openai_batch,
        anthropic_batch,
        litellm,
        tensorzero,
        langfuse,
        openinference,
        otel,
        kiln,
        opentracy,
        tracer,
        openai_chat,
        huggingface,
    )
}
"""By name, in the order in which they are looked for: what has fields that no other has comes first."""
LOOKED_AT = 20
"""So many rows of a file's beginning tell what it is."""


class Found(NamedTuple):
    """What a file is: the format, and the kind of its rows."""

    format: Format
    role: str


def format_named(name: str) -> Format:
    """The format of this name.

    Raises:
        RequestError: there is none.
    """
    found = FORMATS.get(name)
    if found is None:
        raise RequestError(f"There is no format {name!r}.", f"There are: {', '.join(FORMATS)}.")
    return found


def detect(path: Path) -> Found | None:
    """What the file's first rows look like; None if like nothing that is known.

    Raises:
        StoreError: the file cannot be read.
    """
    for candidate in FORMATS.values():
        if path.suffix.lower() in candidate.suffixes:
            role = role_of(path, candidate)
            if role is not None:
                return Found(candidate, role)
    rows = [line.row for line in islice(lines_of(path), LOOKED_AT) if line.row is not None]
    for candidate in FORMATS.values():
        for row in rows:
            role = candidate.role(row)
            if role is not None:
                return Found(candidate, role)
    return None


def role_of(path: Path, wanted: Format) -> str | None:
    """The kind of rows that a file of the format begins with; None if the file looks like none of it.

    Raises:
        StoreError: the file cannot be read.
    """
    lines = islice(read_lines(path, wanted), LOOKED_AT)
    roles = (wanted.role(line.row) for line in lines if line.row is not None)
    return next((role for role in roles if role is not None), None)


def read_lines(path: Path, wanted: Format) -> Iterator[Line]:
    """The rows of a file from its beginning, as the format reads files of its name."""
    return lines_of(path, whole=whole_of(path, wanted))


def whole_of(path: Path, wanted: Format) -> Callable[[bytes], Row] | None:
    """What reads the file's bytes as one row, where the format has such files; else None."""
    return wanted.protobuf if path.suffix.lower() in wanted.suffixes else None
