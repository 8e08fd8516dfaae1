"""Which licence a model's folder comes under, by its texts first, then by what it declares; never a silent guess.

A licence is named only where all texts in the folder are that one, word for word, and nothing declared says otherwise;
or where there is no text at all and all that is declared means the same (`how` is then `metadata`). Anything that
differs, contradicts or could not be read leaves the decision to a person.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from freehold.domain.errors import NotFound
from freehold.rights.clauses import licences
from freehold.rights.detection.declared import Declared, agrees, declared, meaning
from freehold.rights.detection.files import (
    MAX_LICENCE_FILES,
    MAX_TEXT_BYTES,
    Entry,
    is_licence,
    is_policy,
    read_start,
    walk,
)
from freehold.rights.detection.texts import How, TextFound, detect_text


class Detected(msgspec.Struct, frozen=True, kw_only=True):
    """What a folder's licence is, if that can be said."""

    licence: str | None
    how: How
    nearest: str | None = None
    differences: tuple[str, ...] = ()
    declared: dict[str, str] = {}
    """Where → what is declared there: the model card, a configuration, a header of weights."""
    conflicts: tuple[str, ...] = ()
    """Where two of these disagree, or one could not be read; then `licence` is None."""
    texts: tuple[TextFound, ...] = ()
    bases: tuple[str, ...] = ()
    """Models that this one is made of: their licences bind it too, and are not looked up here."""


def detect(folder: Path) -> Detected:
    """Which licence the model in `folder` comes under.

    Raises:
        NotFound: there is no such folder.
        StoreError: a file in it cannot be read.
    """
    if not folder.is_dir():
        raise NotFound(f"There is no folder {folder}.", "Give the folder of a model.")
    entries = list(walk(folder))
    said = declared(entries)
    texts = tuple(_texts(entries, said.links))
    conflicts = (*_conflicts(texts, said), *said.unread)
    licence, how, doubtful = _conclude(texts, said, conflicts)
    return Detected(
        licence=licence,
        how=how,
        nearest=(doubtful.nearest or doubtful.licence) if doubtful is not None else None,
        differences=doubtful.differences if doubtful is not None else (),
        declared=said.names,
        conflicts=conflicts,
        texts=texts,
        bases=said.bases,
    )


def _texts(entries: Sequence[Entry], links: tuple[str, ...]) -> Iterator[TextFound]:
    linked = {link.removeprefix("./") for link in links}
    chosen = [
        entry
        for entry in entries
        if (entry.problem and entry.name == ".") or is_licence(entry.name) or entry.name in linked
    ]
    for entry in chosen[:MAX_LICENCE_FILES]:
        yield _look(entry)
    if len(chosen) > MAX_LICENCE_FILES:
        yield TextFound(".", None, "unknown", differences=(f"There are {len(chosen):,} licence files.",))


def _look(entry: Entry) -> TextFound:
    if entry.problem:
        return TextFound(entry.name, None, "unknown", differences=(entry.problem,))
    data = read_start(entry.path, MAX_TEXT_BYTES + 1)
    if len(data) > MAX_TEXT_BYTES:
        told = f"It is larger than {MAX_TEXT_BYTES:,} bytes, and was not read."
        return TextFound(entry.name, None, "unknown", differences=(told,))
    return detect_text(data, entry.name)


def _conclude(
    texts: tuple[TextFound, ...], said: Declared, conflicts: tuple[str, ...]
) -> tuple[str | None, How, TextFound | None]:
    """The licence if it is certain, how it is known, and else the text to look at."""
    known = {text.licence for text in texts if text.licence is not None}
    doubtful = next((text for text in texts if text.how == "near"), None)
    if doubtful is not None:
        return None, "near", doubtful
    certain = next(iter(known)) if len(known) == 1 else None
    unknown = next((text for text in texts if text.licence is None and not _expected(text, certain)), None)
    if conflicts or len(known) > 1 or unknown is not None:
        return None, "unknown", unknown or next(iter(texts), None)
    if certain is not None:
        return certain, "exact", None
    meant = {meaning(name) for name in said.names.values()}
    licence = next(iter(meant)) if len(meant) == 1 else None
    if licence is not None and not texts:
        return licence, "metadata", None
    return None, "unknown", next(iter(texts), None)


def _expected(text: TextFound, licence: str | None) -> bool:
    """Whether a text is the rules of use that a licence brings along: beside any other, they add to it."""
    if licence is None or not is_policy(text.file):
        return False
    clauses = licences()[licence].clauses
    return any(duty.kind == "use-policy" for clause in clauses for duty in clause.duties)


def _conflicts(texts: tuple[TextFound, ...], said: Declared) -> Iterator[str]:
    licensed = sorted({text.licence for text in texts if text.licence is not None})
    if len(licensed) > 1:
        yield f"The folder has the texts of several licences: {', '.join(licensed)}."
    for where, name in said.names.items():
        for text in texts:
            if text.licence is not None and not agrees(name, text.licence):
                yield f"{where} declares {name}, {text.file} is {text.licence}."
            elif text.licence is None and text.nearest is not None and not agrees(name, text.nearest):
                yield f"{where} declares {name}, {text.file} is nearest to {text.nearest}."
    meanings = {meaning(name) or name.lower() for name in said.names.values()}
    if len(meanings) > 1:
        yield (
            "What is declared differs: " + ", ".join(f"{where} says {name}" for where, name in said.names.items()) + "."
        )
