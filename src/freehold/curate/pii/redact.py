"""Redact: what was found gives way to pseudonyms or masks, and all else stays as it was, to the character.

Text that is JSON stays JSON: its strings are redacted as what they mean, not as they are written (an escape next to an
address is part of neither), JSON within strings included; a number that must go becomes a string, unless its pseudonym
is all digits. The name of a field counts as the words before its value.

Redacting again changes nothing: pseudonyms are never found, and a text is redacted until nothing is.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Literal

import msgspec

from freehold.curate.pii.engines import BuiltIn, Engine
from freehold.curate.pii.kinds import KINDS
from freehold.curate.pii.pseudonyms import Pseudonyms, mask
from freehold.curate.pii.spans import Span

Mode = Literal["pseudonym", "mask"]

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?', re.ASCII)
_IS_KEY = re.compile(r"\s*:")
_NOTHING = re.compile(r"[^\W\d_ -]{0,12}")
"""Words in which nothing can be found."""


class Redacted(msgspec.Struct, frozen=True):
    """A text after redaction, and how many values of each kind were replaced in it."""

    text: str
    counts: dict[str, int]


class Redactor:
    """Replaces personal data and secrets in texts.

    Args:
        secret: what pseudonyms are drawn with, at least 16 bytes; the same for all data of an installation.
        mode: `pseudonym`: the same value gets the same replacement; `mask`: its kind in brackets.
        kinds: which kinds the detectors built in look for; all by default.
        engine: who looks instead of them; see `freehold.curate.pii.make_engine`.
    """

    def __init__(
        self,
        secret: bytes,
        mode: Mode = "pseudonym",
        kinds: Collection[str] = KINDS,
        engine: Engine | None = None,
    ) -> None:
        self._pseudonyms = Pseudonyms(secret)
        self._mode = mode
        self._engine = engine or BuiltIn(kinds)

    def redact(self, text: str) -> Redacted:
        """One text; for many, `redact_many` is far quicker."""
        return self.redact_many((text,))[0]

    def redact_many(self, texts: Sequence[str]) -> list[Redacted]:
        """Each text, in order."""
        done: list[Redacted] = []
        for text, spans in zip(texts, self._engine.find_many(texts), strict=True):
            counts: Counter[str] = Counter()
            if (spans or "\\" in text) and _is_json(text):
                changed = self._json(text, counts)
            else:
                changed = self._plain(text, spans, counts)
            done.append(Redacted(changed, dict(counts)))
        return done

    def _plain(self, text: str, spans: list[Span], counts: Counter[str], skip: int = 0) -> str:
        """The text from `skip` on with its findings replaced; what stands before is context."""
        while spans := [span for span in spans if span.end > skip]:
            for span in reversed(spans):
                start = max(span.start, skip)
                counts[span.kind] += 1
                text = text[:start] + self._replacement(span.kind, text[start : span.end]) + text[span.end :]
            spans = self._engine.find(text)
        return text[skip:]

    def _replacement(self, kind: str, value: str) -> str:
        return mask(kind) if self._mode == "mask" else self._pseudonyms.of(kind, value)

    def _json(self, text: str, counts: Counter[str]) -> str:
        key = ""

        def replaced(match: re.Match[str]) -> str:
            nonlocal key
            written = match.group()
            value = msgspec.json.decode(written) if written.startswith('"') else written
            if _IS_KEY.match(text, match.end()) and written.startswith('"'):
                key = value
                return _same_or_quoted(written, value, self._value("", value, counts))
            return _same_or_quoted(written, value, self._value(key, value, counts))

        return _TOKEN.sub(replaced, text)

    def _value(self, key: str, value: str, counts: Counter[str]) -> str:
        if _NOTHING.fullmatch(value):
            return value
        if _is_json(value):
            return self._json(value, counts)
        context = f"{key}: " if key else ""
        return self._plain(context + value, self._engine.find(context + value), counts, len(context))


def _same_or_quoted(written: str, before: str, after: str) -> str:
    if after == before:
        return written
    if not written.startswith('"') and after.isdigit() and not after.startswith("0"):
        return after
    return json.dumps(after, ensure_ascii=written.isascii())


def _is_json(text: str) -> bool:
    """Whether the text is a JSON object or array."""
    stripped = text.strip()
    if not stripped or stripped[0] + stripped[-1] not in ("{}", "[]"):
        return False
    try:
        msgspec.json.decode(stripped)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return False
    return True
