"""What one licence text is: one that was read, by its bytes or word for word, or nothing that is certain.

By its bytes: SHA-256 against the hashes in the table, of the bytes as they are and as they would be with other line
ends, with or without a mark of byte order or a last line end. Word for word: against the texts that the package holds,
see `freehold.rights.detection.words`. Else it is shown with the nearest known text and the differences, for a person to
decide: texts that look alike differ in the clause that counts (Llama 3 forbids what 3.1 allows).
"""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Literal

import msgspec

from freehold.rights.clauses import Licence, licences
from freehold.rights.detection.words import body, differences, kept_as, kept_bodies, likeness

How = Literal["exact", "near", "metadata", "unknown"]
NEAR_SHARE = 0.5
"""Likeness from which a text counts as near to a known one."""
_HINT_SHARE = 0.2
_BYTE_ORDER = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


class TextFound(msgspec.Struct, frozen=True):
    """One licence file, and what it was taken for."""

    file: str
    licence: str | None
    how: How
    nearest: str | None = None
    differences: tuple[str, ...] = ()
    """What differs from the nearest known text, or why the file was not read."""


def detect_text(data: bytes, file: str = "LICENSE") -> TextFound:
    """What one licence text is; `differences` are for a person to read."""
    for digest in _digests(data):
        known = hashes().get(digest)
        if known is not None:
            return TextFound(file, known, "exact")
    text = decoded(data)
    if text is None:
        return TextFound(file, None, "unknown", differences=("It is no text: read it yourself.",))
    words = body(text)
    for licence, kept in kept_bodies().items():
        if words == kept:
            return TextFound(file, licence, "exact")
    return _nearest(file, text, words)


def decoded(data: bytes) -> str | None:
    """Text in UTF-8, or in UTF-16 that says so; None for anything else, whose words could hide behind bad bytes."""
    mark, encoding = next(((mark, name) for mark, name in _BYTE_ORDER if data.startswith(mark)), (b"", "utf-8"))
    try:
        text = data[len(mark) :].decode(encoding)
    except UnicodeDecodeError:
        # Older files are in Latin 1, which any bytes are: only those without control characters are taken for text.
        text = data.decode("latin-1")
    return None if any(letter < " " and letter not in "\t\n\r\f" for letter in text) else text


def _digests(data: bytes) -> Iterator[str]:
    plain = data.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n")
    forms = (data, plain, plain.rstrip(b"\n"), plain.rstrip(b"\n") + b"\n", plain.replace(b"\n", b"\r\n"))
    for form in dict.fromkeys(forms):
        yield hashlib.sha256(form).hexdigest()


@cache
def hashes() -> Mapping[str, str]:
    """SHA-256 of a licence text that was read → the licence."""
    found: dict[str, str] = {}
    for licence in licences().values():
        for text in licence.texts:
            if text.sha256 and _is_licence_text(text.source):
                found[text.sha256] = licence.id
    return found


def _is_licence_text(source: str) -> bool:
    name = source.rsplit("/", 1)[-1].lower()
    return "policy" not in name and "readme" not in name


def _nearest(file: str, text: str, words: str) -> TextFound:
    lowered = " ".join(text.lower().split()).replace("“", '"').replace("”", '"')
    marked = [entry for entry in licences().values() if entry.marks and all(mark in lowered for mark in entry.marks)]
    if marked:
        entry = max(marked, key=lambda entry: sum(map(len, entry.marks)))
        return TextFound(file, None, "near", entry.id, _not_the_text(entry, text, words))
    alike = {licence: likeness(kept, words) for licence, kept in kept_bodies().items()}
    nearest = max(alike, key=alike.__getitem__)
    if alike[nearest] >= NEAR_SHARE:
        return TextFound(file, None, "near", nearest, differences(kept_as(nearest, words), words))
    return TextFound(file, None, "unknown", nearest if alike[nearest] > _HINT_SHARE else None)


def _not_the_text(entry: Licence, text: str, words: str) -> tuple[str, ...]:
    """The names and dates are those of a licence that was read, the bytes are not."""
    if entry.id in kept_bodies():
        return differences(kept_as(entry.id, words), words)
    read = [known for known in entry.texts if known.sha256]
    where = " at ".join(filter(None, (read[0].source, read[0].commit[:12]))) if read else "any text that was read"
    digest = hashlib.sha256(text.encode()).hexdigest()
    return (
        f"It names itself {entry.name}, but its bytes ({digest[:16]}…) are not those of {where}.",
        "Any clause may differ: compare the two before you rely on it.",
    )
