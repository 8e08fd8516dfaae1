"""What the parts of a release are made of: files, and what is told of them; and the wishes of whoever has it built."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from freehold.domain.evidence import Verdict
from freehold.domain.rights import Ruling
from freehold.release.inventory import Item, ManifestFile, Role, State
from freehold.release.layout import Content

ASSUMED_WATTS = 15.0
"""Per busy core, with memory and supply: an assumption, to be replaced by who knows better."""
ASSUMED_DOLLARS = 0.05
"""Per core and hour: an assumption, about what a rented core costs."""
_MEDIA_TYPES = {
    "": "text/plain",
    ".jinja": "text/plain",
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".md": "text/markdown",
    ".parquet": "application/vnd.apache.parquet",
    ".pdf": "application/pdf",
    ".safetensors": "application/vnd.safetensors",
    ".txt": "text/plain",
    ".zip": "application/zip",
    ".zst": "application/zstd",
}
_FACT = re.compile(r"\[organisation[^\]]*\][^;)|\n]*")
_COUNSEL = re.compile(r"\b(allowed|denied) by [^;)|\n]*?, until [^\s;)]+")


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What shall be built."""

    student: str
    out: Path
    name: str
    description: str = ""
    supplier: str = ""
    licence: str = ""
    """SPDX id; empty: none."""
    data_licence: str = ""
    with_data: bool = False
    reviewed_by: str = ""
    """Who looked at the rows and says that they may be given to others."""
    texts: Mapping[str, Path] = {}
    """Licence in lower case → its text, where the package has none."""
    report: Path | None = None
    """A technical report."""
    paper: Path | None = None
    watts: float = ASSUMED_WATTS
    dollars: float = ASSUMED_DOLLARS


class Part(NamedTuple):
    """Some of a release."""

    files: dict[str, Content]
    items: tuple[Item, ...]
    """Without hashes: `filled` adds them once the files are written."""


def item(path: str, role: Role, state: State, licence: str, note: str = "") -> Item:
    """An item that lies in a file; its media type follows from the file's name."""
    media_type = _MEDIA_TYPES.get(Path(path).suffix, "application/octet-stream")
    return Item(path=path, role=role, state=state, licence=licence, media_type=media_type, note=note)


def told(role: Role, note: str) -> Item:
    """An item that is only told of."""
    return Item(role=role, state="declared", note=note)


def joined(*parts: Part) -> Part:
    """All of them."""
    files = {path: content for part in parts for path, content in part.files.items()}
    return Part(files, tuple(item for part in parts for item in part.items))


def filled(items: tuple[Item, ...], written: Mapping[str, ManifestFile]) -> tuple[Item, ...]:
    """The items with the length and hash of their files, as far as these were written."""
    return tuple(
        msgspec.structs.replace(item, sha256=written[item.path].sha256, bytes=written[item.path].bytes)
        if item.path in written
        else item
        for item in items
    )


def public(text: str) -> str:
    """A reason without the organisation's figures, and without the name of who decided."""
    return _COUNSEL.sub(r"\1 by counsel", _FACT.sub("by the organisation's facts", text))


def public_ruling(ruling: Ruling) -> Ruling:
    """A ruling that may be given to others."""
    found = tuple(msgspec.structs.replace(finding, why=public(finding.why)) for finding in ruling.findings)
    return msgspec.structs.replace(ruling, findings=found)


def public_verdicts(verdicts: tuple[Verdict, ...]) -> tuple[Verdict, ...]:
    """Verdicts that may be given to others."""
    return tuple(msgspec.structs.replace(verdict, reason=public(verdict.reason)) for verdict in verdicts)
