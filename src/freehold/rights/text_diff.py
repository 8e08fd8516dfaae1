"""What changed between two versions of a licence's text: paragraphs, and the licences that the two are. Pure but for
reading the two files."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from freehold.domain.errors import RightsError
from freehold.rights.clauses import licences
from freehold.rights.detection import detect_text
from freehold.rights.detection.texts import decoded
from freehold.rights.table_diff import ClauseChange

_SPACE = re.compile(r"\s+")
_SECTION = re.compile(r"^(\d+(?:\.\d+)*[.)]?|[a-z][.)]|section \d+)\s", re.IGNORECASE)


def compare_texts(old: Path, new: Path) -> tuple[tuple[ClauseChange, ...], set[str]]:
    """Paragraphs that were added, removed or changed, and the ids of licences that either text is or looks like.

    Raises:
        RightsError: a file cannot be read, or is no text.
    """
    concerned = {name for path in (old, new) for name in _licences(path)}
    first, second = (_paragraphs(_text(path)) for path in (old, new))
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


def _licences(path: Path) -> tuple[str, ...]:
    """What a file is or looks like; or, as nobody can tell a provider's terms by their words, what it is called."""
    found = detect_text(_read(path))
    named = re.split(r"[@\s]", path.stem)[0].lower()
    names = (found.licence, found.nearest, named if named in licences() else None)
    return tuple(name for name in names if name is not None)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RightsError(f"{path} cannot be read: {error.strerror}.", "Give two texts, or two .toml files.") from error


def _text(path: Path) -> str:
    text = decoded(_read(path))
    if text is None:
        raise RightsError(f"{path} is no text.", "Give plain texts: save a web page or a PDF as text first.")
    return text


def _paragraphs(text: str) -> list[str]:
    parts = (_SPACE.sub(" ", part).strip() for part in re.split(r"\n\s*\n", text))
    return [part for part in parts if part]


def _name(paragraph: str, at: int) -> str:
    """Its section's number if it begins with one, else its place."""
    found = _SECTION.match(paragraph)
    return found[1].rstrip(".)") if found else f"paragraph {at + 1}"
