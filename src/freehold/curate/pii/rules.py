"""What a rule is: a pattern, and a look at what it matched. Rules of all detectors have this one shape."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator

from freehold.curate.pii.spans import Span

Look = Callable[[re.Match[str]], Span | None]
"""The finding that a match amounts to, if it is one; it may look at the text around the match, and be shorter."""

LEAST = 0.5
"""Confidence from which a finding counts."""


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """Every place where `pattern` matches is looked at. Patterns match no more than some hundred characters, from a
    boundary that they name themselves, so that time grows in proportion to the text."""

    pattern: re.Pattern[str]
    look: Look

    def apply(self, text: str, start: int, end: int) -> Iterator[Span]:
        """Findings in `text[start:end]`; what lies outside is context."""
        at = start
        while (match := self.pattern.search(text, at, end)) is not None:
            span = self.look(match)
            if span is not None and span.confidence >= LEAST:
                yield span
                at = max(span.end, match.start() + 1)
            else:
                at = match.start() + 1

    def apply_from(self, text: str, first: int, last: int, end: int) -> Iterator[Span]:
        """Findings that begin in `text[first:last]` and end before `end`."""
        at = first
        while at < last:
            match = self.pattern.match(text, at, end)
            span = None if match is None else self.look(match)
            at += 1
            if span is not None and span.confidence >= LEAST:
                yield span
                at = max(at, span.end)


def rule(kind: str, pattern: str, sure: Callable[[re.Match[str]], float] | float, flags: int = 0) -> Rule:
    """A rule that finds the group `v` of each match, or all of it; `sure`: how sure it is (0: it is none)."""
    compiled = re.compile(pattern, flags)
    group = "v" if "v" in compiled.groupindex else 0

    def look(match: re.Match[str]) -> Span | None:
        confidence = sure(match) if callable(sure) else sure
        return Span(*match.span(group), kind, confidence) if confidence > 0 else None

    return Rule(compiled, look)


def digits_of(text: str) -> str:
    """The ASCII digits of a text."""
    return "".join(character for character in text if "0" <= character <= "9")
