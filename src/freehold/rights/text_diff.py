"""What changed between two versions of a licence's text: paragraphs, and the licences that the two are. Pure but for
reading the two files."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from freehold.domain.errors import RightsError
from freehold.rights.detection import detect_text
from freehold.rights.table_diff import ClauseChange

_SPACE = re.compile(r"\s+")
_SECTION = re.compile(r"^(\d+(?:\.\d+)*[.)]?|[a-z][.)]|section \d+)\s", re.IGNORECASE)


def compare_texts(old: Path, new: Path) -> tuple[tuple[ClauseChange, ...], set[str]]:
    """Paragraphs that were added, removed or changed, and the ids of licences that either text is or looks like.

    Raises:
        RightsError: a file cannot be read.
    """
    before, after = _read(old), _read(new)
    concerned = {found for text in (before, after) for found in _licences(text)}
    first, second = _paragraphs(before), _paragraphs(after)
    changes: list[ClauseChange] = []
    for tag, i, j, k, m in difflib.SequenceMatcher(a=first, b=second, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        gone, come = first[i:j], second[k:m]
        for at in range(max(len(gone), len(come))):
            was, now = (part[at] if at < len(part) else "" for part in (gone, come))
            change = "changed" if was and now else "removed" if was else "added"
            changes.append(ClauseChange(_name(now or was, k + at), change, before=was, after=now))
    return tuple(changes), concerned


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise RightsError(f"{path} cannot be read: {error.strerror}.", "Give two texts, or two .toml files.") from error


def _licences(text: str) -> tuple[str, ...]:
    found = detect_text(text.encode())
    return tuple(name for name in (found.licence, found.nearest) if name is not None)


def _paragraphs(text: str) -> list[str]:
    parts = (_SPACE.sub(" ", part).strip() for part in re.split(r"\n\s*\n", text))
    return [part for part in parts if part]


def _name(paragraph: str, at: int) -> str:
    """Its section's number if it begins with one, else its place."""
    found = _SECTION.match(paragraph)
    return found[1].rstrip(".)") if found else f"paragraph {at + 1}"
