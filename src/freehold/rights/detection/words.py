"""A text as the words that count, and where two texts differ in them. Pure.

What is ignored follows the SPDX License List's matching guidelines, and only so far: white space and line ends, upper
and lower case, kinds of quotation marks, dashes and brackets, marks of comments at the ends of lines, `http` for
`https`, copyright notices and the title of the MIT licence above the terms. Nothing within the terms is ignored: a
line there that begins with `Copyright` or `(c)` is a line of the terms.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

MAX_DIFFERENCES = 40
MAX_WORDS = 8_000
"""Of a text that are compared one by one; licences have fewer."""
_CONTEXT_WORDS = 6
_SHOWN_WORDS = 60
_SPACE = re.compile(r"\s+")
_END = re.compile(r"end\s+of\s+terms\s+and\s+conditions", re.IGNORECASE)
_MIT_BEGINS = "permission is hereby granted"
_TITLE = re.compile(r"\(?(the )?(mit|expat) licen[cs]e\)?( \((mit|expat)\))?[.:]?", re.IGNORECASE)
_SAME = str.maketrans(
    dict.fromkeys('“”„‘’`´"', "'") | dict.fromkeys("–—\u2010\u2011", "-") | {"\u00a0": " ", "{": "[", "}": "]"}
)
_COPYRIGHT = re.compile(r"^(copyright\b|\(c\)|©)", re.IGNORECASE)
_RESERVED = re.compile(r"\W*all rights reserved\W*$", re.IGNORECASE)
_BLANKS = re.compile(
    r"\[[^\]]*\]|<[^>]*>|\([^)]*@[^)]*\)|\S+@\S+|https?://\S+|[\w-]+\.(com|org|net|io|ai|dev)\b"
    r"|\b[\w-]+ (contributors|developers|authors|team)\b"
)
"""Of a copyright line, what names somebody."""
_SMALL = (
    "and by the of et al de van von der den la le du c contributors contributor authors author other others present "
    "developers team project inc ltd llc to individual its his her community group foundation"
)
_SMALL_WORDS = frozenset(_SMALL.split(" "))
_RULING = (
    "use uses used using usage may must shall not no non never only except unless commercial noncommercial purpose "
    "purposes licence license licensed licenses permission permitted prohibited forbidden restricted provided subject "
    "terms conditions condition policy agree limited allowed granted revenue for"
)
_RULING_WORDS = frozenset(_RULING.split(" "))
_WORD = re.compile(r"(?<!\w)[^\W\d][\w']*")


@cache
def kept_texts() -> dict[str, str]:
    """Texts that the package may hold, by licence."""
    folder = files("freehold.rights") / "texts"
    return {
        path.name.removesuffix(".txt"): path.read_text(encoding="utf-8")
        for path in sorted(folder.iterdir(), key=lambda path: path.name)
        if path.name.endswith(".txt")
    }


@cache
def kept_bodies() -> dict[str, str]:
    """The same, as the words that count."""
    return {licence: body(text) for licence, text in kept_texts().items()}


def body(text: str) -> str:
    """The words that count, in lower case, one space between them.

    What follows `END OF TERMS AND CONDITIONS` is left out only where it is nothing, or how the Apache License says to
    apply it.
    """
    found = _END.search(text)
    if found is None:
        return _terms(text)
    terms, after = _terms(text[: found.start()]), _after_end(text[found.end() :])
    return terms if after in ("", _appendix()) else _joined([terms, "end of terms and conditions", after])


def kept_as(licence: str, found: str) -> str:
    """A kept text's words, with what follows its terms where the found words have such too."""
    terms = kept_bodies()[licence]
    if licence == "apache-2.0" and "end of terms and conditions" in found:
        return _joined([terms, "end of terms and conditions", _appendix()])
    return terms


@cache
def _appendix() -> str:
    return _after_end(_END.split(kept_texts()["apache-2.0"], maxsplit=1)[1])


def _after_end(text: str) -> str:
    return _joined(line for line in _lines(text) if not is_copyright(line))


def _terms(text: str) -> str:
    lines = _lines(text)
    titles: list[str] = []
    at = 0
    while at < len(lines) and (not lines[at] or _TITLE.fullmatch(lines[at]) or is_copyright(lines[at])):
        titles += [lines[at]] if _TITLE.fullmatch(lines[at]) else []
        at += 1
    words = _joined(lines[at:])
    return words if words.startswith(_MIT_BEGINS) else _joined([*titles, words])


def _lines(text: str) -> list[str]:
    stripped = (line.strip().strip("#*=").strip() for line in text.translate(_SAME).splitlines())
    return [_SPACE.sub(" ", line) for line in stripped]


def _joined(lines: Iterable[str]) -> str:
    return _SPACE.sub(" ", " ".join(lines)).strip().lower().replace("https://", "http://")


def is_copyright(line: str) -> bool:
    """Whether a line says whose it is and since when, and nothing else: no word that could rule anything."""
    if _RESERVED.fullmatch(line):
        return True
    if not _COPYRIGHT.match(line) or len(line) > 300:
        return False
    words = _WORD.findall(_BLANKS.sub(" ", _RESERVED.sub("", _COPYRIGHT.sub("", line))))
    names = [word for word in words if word.lower() not in _SMALL_WORDS]
    written_as_names = len(names) == 1 or not any(word.islower() for word in names)
    return written_as_names and _RULING_WORDS.isdisjoint(word.lower() for word in words)


def likeness(one: str, other: str) -> float:
    """Of two bodies: the larger of the share of runs of three words that they have in common, and the share of the
    first one's runs that the other has."""
    first, second = _runs(one), _runs(other)
    common = len(first & second)
    return max(common / max(1, len(first | second)), common / max(1, len(first)))


@cache
def _kept_runs(words: str) -> frozenset[tuple[str, ...]]:
    return _split_runs(words)


def _runs(words: str) -> frozenset[tuple[str, ...]]:
    return _kept_runs(words) if words in kept_bodies().values() else _split_runs(words)


def _split_runs(words: str) -> frozenset[tuple[str, ...]]:
    split = words.split(" ")
    return frozenset(zip(split, split[1:], split[2:], strict=False))


def differences(known: str, found: str) -> tuple[str, ...]:
    """What was added, taken away or changed from one body to another, each with the words before it."""
    before, after = known.split(" "), found.split(" ")
    start = _common(before, after)
    before_rest, after_rest = before[start:], after[start:]
    end = _common(before_rest[::-1], after_rest[::-1])
    before_rest, after_rest = before_rest[: len(before_rest) - end], after_rest[: len(after_rest) - end]
    matcher = difflib.SequenceMatcher(None, before_rest[:MAX_WORDS], after_rest[:MAX_WORDS], autojunk=False)
    told: list[str] = []
    for tag, i, j, k, m in matcher.get_opcodes():
        if tag != "equal":
            place = " ".join(before[max(0, start + i - _CONTEXT_WORDS) : start + i])
            where = f"after “{place}”" if place else "at the beginning"
            told.append(f"{where}: {_change(before_rest[i:j], after_rest[k:m])}")
    more = len(after_rest) - MAX_WORDS
    if more > 0:
        told.append(f"… and {more:,} words that were not compared")
    left = len(told) - MAX_DIFFERENCES
    return (*told[:MAX_DIFFERENCES], *([f"… and {left} differences more"] if left > 0 else []))


def _common(one: list[str], other: list[str]) -> int:
    """How many words two lists begin with in common."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (first, second) in pairs if first != second), min(len(one), len(other)))


def _change(gone: list[str], come: list[str]) -> str:
    if not gone:
        return f"added {_quoted(come)}"
    return f"{_quoted(gone)} is gone" if not come else f"{_quoted(gone)} became {_quoted(come)}"


def _quoted(words: list[str]) -> str:
    more = f" … ({len(words) - _SHOWN_WORDS:,} words more)" if len(words) > _SHOWN_WORDS else ""
    return f"“{' '.join(words[:_SHOWN_WORDS])}{more}”"
