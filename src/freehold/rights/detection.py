"""Which licence a model's folder comes under, by its texts first, then by what its card and configuration declare.

A text is taken for a licence only if it is one that was read: by the hash of its bytes, or word for word where the
package holds the text (copyright lines aside). Anything else is shown with the nearest known text and the differences,
for a person to decide: texts that look alike differ in the clause that counts (Llama 3 forbids what 3.1 allows).
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from freehold.domain.errors import NotFound, StoreError
from freehold.rights.clauses import Licence, licences

How = Literal["exact", "near", "metadata", "unknown"]
MAX_TEXT_BYTES = 2_000_000
"""No licence is longer; what is, is not read."""
_END = "end of terms and conditions"
MAX_DIFFERENCES = 40
NEAR_SHARE = 0.5
"""Share of common words from which a text counts as near to a known one."""
_LICENCE_FILE = re.compile(r"^(licen[cs]e|copying|licence|notice|use[_-]?policy)[^/]*$", re.IGNORECASE)
_COPYRIGHT = re.compile(r"^\W*(copyright\b|\(c\)|©|all rights reserved)", re.IGNORECASE)
_SPACE = re.compile(r"\s+")
_SAME = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", "–": "-", "—": "-", "\u00a0": " "})
_FRONT_MATTER = re.compile(r"\A---\s*\n(.*?)\n---\s*(\n|\Z)", re.DOTALL)
_FIELD = re.compile(r"^(license|license_name|license_link|base_model)\s*:\s*[\"']?([^\"'\n#]+)", re.MULTILINE)
# Hugging Face's names of licences (its documentation, "Licenses"), where one name means one text.
_DECLARED = {
    "apache-2.0": "apache-2.0",
    "mit": "mit",
    "llama2": "llama-2",
    "llama3": "llama-3",
    "llama3.1": "llama-3.1",
    "llama3.2": "llama-3.2",
    "llama3.3": "llama-3.3",
    "llama4": "llama-4",
    "bigscience-openrail-m": "bigscience-open-rail-m",
    "bigcode-openrail-m": "bigcode-open-rail-m-v1",
    "cc-by-nc-4.0": "cc-by-nc-4.0",
}


class TextFound(msgspec.Struct, frozen=True):
    """One licence file, and what it was taken for."""

    file: str
    licence: str | None
    how: How
    nearest: str | None = None
    differences: tuple[str, ...] = ()
    """Lines of a unified diff from the nearest known text, or what is known to differ."""


class _Config(msgspec.Struct):
    """What a model's configuration says of its licence."""

    license: str = ""


class Detected(msgspec.Struct, frozen=True, kw_only=True):
    """What a folder's licence is, if that can be said."""

    licence: str | None
    how: How
    nearest: str | None = None
    differences: tuple[str, ...] = ()
    declared: dict[str, str] = {}
    """Where → what is declared there: the model card, the configuration."""
    conflicts: tuple[str, ...] = ()
    """Where two of these disagree; then `licence` is None."""
    texts: tuple[TextFound, ...] = ()


def detect(folder: Path) -> Detected:
    """Which licence the model in `folder` comes under.

    Raises:
        NotFound: there is no such folder.
        StoreError: a file in it cannot be read.
    """
    if not folder.is_dir():
        raise NotFound(f"There is no folder {folder}.", "Give the folder of a model.")
    texts = tuple(found for path in _licence_files(folder) if (found := _look(path)) is not None)
    declared = _declared(folder)
    conflicts = tuple(_conflicts(texts, declared))
    licence, how, doubtful = _conclude(texts, declared, conflicts)
    return Detected(
        licence=licence,
        how=how,
        nearest=(doubtful.nearest or doubtful.licence) if doubtful is not None else None,
        differences=doubtful.differences if doubtful is not None else (),
        declared=declared,
        conflicts=conflicts,
        texts=texts,
    )


def _conclude(
    texts: tuple[TextFound, ...], declared: Mapping[str, str], conflicts: tuple[str, ...]
) -> tuple[str | None, How, TextFound | None]:
    """The licence if it is certain, how it is known, and else the text to look at."""
    known = {text.licence for text in texts if text.licence is not None}
    doubtful = next((text for text in texts if text.how == "near"), None)
    if doubtful is not None:
        return None, "near", doubtful
    if conflicts:
        return None, "unknown", next(iter(texts), None)
    if len(known) == 1 and all(text.licence is not None for text in texts):
        return next(iter(known)), "exact", None
    meant = {_DECLARED.get(name.lower()) for name in declared.values()}
    if len(meant) == 1 and not texts:
        [licence] = meant
        return licence, "metadata" if licence is not None else "unknown", None
    return None, "unknown", next(iter(texts), None)


def detect_text(data: bytes, file: str = "LICENSE") -> TextFound:
    """What one licence text is; `differences` are for a person to read."""
    digest = hashlib.sha256(data).hexdigest()
    known = _by_hash().get(digest)
    if known is not None:
        return TextFound(file, known, "exact")
    text = data.decode("utf-8", errors="replace")
    words = _body(text)
    for licence, kept in _kept_texts().items():
        if words == _body(kept):
            return TextFound(file, licence, "exact")
    return _nearest(file, text)


def _look(path: Path) -> TextFound | None:
    try:
        if path.stat().st_size > MAX_TEXT_BYTES:
            return None
        return detect_text(path.read_bytes(), path.name)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}.", "Check the folder's permissions.") from error


def _licence_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_file() and _LICENCE_FILE.match(path.name) and not path.name.lower().startswith("notice"):
            yield path


def _words(text: str) -> str:
    lines = [line for line in text.translate(_SAME).splitlines() if not _COPYRIGHT.match(line)]
    return _SPACE.sub(" ", " ".join(line.strip().strip("#*=") for line in lines)).strip().lower()


@cache
def _appendix() -> str:
    """How the Apache License says to apply it: it follows the terms, and is none of them."""
    return _words(_kept_texts()["apache-2.0"]).partition(_END)[2].strip()


@cache
def _by_hash() -> Mapping[str, str]:
    found: dict[str, str] = {}
    for licence in licences().values():
        for text in licence.texts:
            if text.sha256 and _is_licence_text(text.source):
                found[text.sha256] = licence.id
    return found


def _is_licence_text(source: str) -> bool:
    name = source.rsplit("/", 1)[-1].lower()
    return "policy" not in name and "readme" not in name


@cache
def _kept_texts() -> Mapping[str, str]:
    """Texts that the package may hold, by licence."""
    folder = files("freehold.rights") / "texts"
    return {
        path.name.removesuffix(".txt"): path.read_text(encoding="utf-8")
        for path in sorted(folder.iterdir(), key=lambda path: path.name)
        if path.name.endswith(".txt")
    }


def _body(text: str) -> str:
    """The words that count: without copyright lines, titles of the MIT licence's kind, case and white space."""
    words = _words(text)
    for title in ("the mit license (mit)", "mit license (mit)", "the mit license", "mit license"):
        words = words.removeprefix(title).strip()
    terms, end, after = words.replace("https://", "http://").replace("{", "[").replace("}", "]").partition(_END)
    return terms.strip() if not end or after.strip() in ("", _appendix()) else words


class _Near(NamedTuple):
    share: float
    licence: str


def _nearest(file: str, text: str) -> TextFound:
    lowered = _SPACE.sub(" ", text.translate(_SAME)).lower()
    marked = [entry for entry in licences().values() if entry.marks and all(mark in lowered for mark in entry.marks)]
    kept = max((_Near(_alike(text, known), licence) for licence, known in _kept_texts().items()), default=None)
    if marked:
        entry = max(marked, key=lambda entry: sum(map(len, entry.marks)))
        return TextFound(file, None, "near", entry.id, _not_the_text(entry, text))
    if kept is not None and kept.share >= NEAR_SHARE:
        return TextFound(file, None, "near", kept.licence, _diff(_kept_texts()[kept.licence], text))
    return TextFound(file, None, "unknown", kept.licence if kept is not None and kept.share > 0.2 else None)


def _alike(one: str, other: str) -> float:
    """Share of three-word runs that two texts have in common (Jaccard)."""
    first, second = _runs(one), _runs(other)
    return len(first & second) / max(1, len(first | second))


def _runs(text: str) -> set[tuple[str, ...]]:
    words = _body(text).split(" ")
    return set(zip(words, words[1:], words[2:], strict=False))


def _diff(known: str, text: str) -> tuple[str, ...]:
    lines = difflib.unified_diff(known.splitlines(), text.splitlines(), "known", "found", lineterm="", n=0)
    return _bounded(line for line in lines if line[1:].strip())


def _bounded(lines: Iterator[str]) -> tuple[str, ...]:
    found = list(lines)
    more = len(found) - MAX_DIFFERENCES
    return (*found[:MAX_DIFFERENCES], *([f"… and {more} lines more"] if more > 0 else []))


def _not_the_text(entry: Licence, text: str) -> tuple[str, ...]:
    """The names and dates are those of a licence that was read, the bytes are not."""
    kept = _kept_texts().get(entry.id)
    if kept is not None:
        return _diff(kept, text)
    read = [known for known in entry.texts if known.sha256]
    where = f"{read[0].source} at {read[0].commit[:12]}" if read else "no text that was read"
    digest = hashlib.sha256(text.encode()).hexdigest()
    return (
        f"It names itself {entry.name}, but its bytes ({digest[:16]}…) are not those of {where}.",
        "Any clause may differ: compare the two before you rely on it.",
    )


def _declared(folder: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in ("README.md", "MODEL_CARD.md"):
        text = _short_text(folder / name)
        front = _FRONT_MATTER.match(text) if text else None
        if front is None:
            continue
        fields = dict(_FIELD.findall(front.group(1)))
        value = fields.get("license", "").strip()
        if value == "other":
            value = fields.get("license_name", "other").strip()
        if value:
            found[name] = value
    try:
        config = msgspec.json.decode(_short_text(folder / "config.json") or "{}", type=_Config)
    except (msgspec.DecodeError, RecursionError):
        config = _Config()
    if config.license:
        found["config.json"] = config.license
    return found


def _short_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_TEXT_BYTES).decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}.", "Check the folder's permissions.") from error


def _conflicts(texts: tuple[TextFound, ...], declared: Mapping[str, str]) -> Iterator[str]:
    licensed = sorted({text.licence for text in texts if text.licence is not None})
    if len(licensed) > 1:
        yield f"The folder has the texts of several licences: {', '.join(licensed)}."
    for where, name in declared.items():
        meant = _DECLARED.get(name.lower())
        for text in texts:
            is_other = text.licence is not None and text.licence != (meant or text.licence)
            looks_other = text.licence is None and text.nearest is not None and meant not in (None, text.nearest)
            if is_other or looks_other:
                yield f"{where} declares {name}, {text.file} is {text.licence or 'nearest to ' + str(text.nearest)}."
    meanings = {_DECLARED.get(name.lower(), name) for name in declared.values()}
    if len(meanings) > 1:
        yield "What is declared differs: " + ", ".join(f"{where} says {name}" for where, name in declared.items()) + "."
