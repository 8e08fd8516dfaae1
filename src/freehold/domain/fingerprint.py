"""Which recurring call a request belongs to: its instructions, tools and response format, variable parts masked.

A fingerprint is a pure function of one request, so every worker and every restart agrees on it. Parts that no mask
knows (a customer's name, say) give each request a fingerprint of its own; those are gathered later into a `Template`,
which is data in the policy and matches requests not seen before.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

import msgspec

from freehold.domain.answers import canonical
from freehold.domain.chat import ChatRequest, instructions, text_of

MAX_CHARACTERS = 20_000
"""Instructions beyond this many characters do not tell calls apart."""

_MASKS: tuple[tuple[str, str], ...] = (
    (r"```.*?```", "<code>"),
    (r"https?://\S+", "<url>"),
    (r"[\w.+-]+@[\w-]+\.[\w.-]+", "<email>"),
    (r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b", "<id>"),
    (r"\b(?=[A-Za-z_-]*\d)(?=\d*[A-Za-z_-])[\w-]{6,}\b", "<id>"),
    (r"\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b", "<day>"),
    (
        r"\b(?:january|february|march|april|june|july|august|september|october|november|december"
        r"|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\b",
        "<month>",
    ),
    (r"\b\d+(?:st|nd|rd|th)\b", "<n>"),
    (r"[+-]?\d+(?:[.,:/\-]\d+)*(?:\s?[ap]\.?m\b\.?)?%?", "<n>"),
)
_MASK = re.compile("|".join(f"({pattern})" for pattern, _ in _MASKS), re.I | re.S)
_BLOCK = re.compile(r"<(\w+)>.*?</\1>", re.S)
_NAMES = [name for _, name in _MASKS]
_LEAD = re.compile(r"^(.{8,300}?)(?:\n\s*\n|:\s*\n|:\s+(?=\S)|\n)", re.S)


def mask(text: str) -> str:
    """`text` with its variable parts (numbers, dates, ids, addresses, quotations, blocks) replaced by their kind."""
    text = _BLOCK.sub("<block>", text[:MAX_CHARACTERS])
    masked = _MASK.sub(lambda match: _NAMES[(match.lastindex or 1) - 1], text)
    return " ".join(masked.split())


class Shape(msgspec.Struct, frozen=True):
    """What identifies a recurring call."""

    context: str
    """Hash of the model, tools and response format."""
    masked: str
    """Masked instructions, white space folded."""

    @property
    def fingerprint(self) -> str:
        """24 hex digits."""
        return hashlib.sha256(f"{self.context}\n{self.masked}".encode()).hexdigest()[:24]


def shape_of(request: ChatRequest) -> Shape:
    """The shape of a request; without instructions, the lead of its first message stands in for them."""
    text = instructions(request)
    if text:
        masked = mask(text)
    else:
        first = text_of(request.messages[0]) or ""
        lead = _LEAD.match(first)
        masked = "(lead) " + mask(lead.group(1)) if lead else "(no instructions)"
    return Shape(context=_context(request), masked=masked)


def _context(request: ChatRequest) -> str:
    digest = hashlib.sha256(request.model.encode())
    for raw in (request.tools, request.functions, request.response_format):
        digest.update(b"\0" if raw is None else mask(canonical(raw)).encode())
    return digest.hexdigest()[:24]


class Template(msgspec.Struct, frozen=True):
    """Instructions with open slots, gathered from many fingerprints; None is a slot of one to eight words."""

    task: str
    context: str
    words: tuple[str | None, ...]

    @property
    def fingerprint(self) -> str:
        """The fingerprint given to every request that matches."""
        folded = " ".join("<*>" if word is None else word for word in self.words)
        return Shape(context=self.context, masked=folded).fingerprint


class TemplateIndex:
    """Finds the template a shape matches. Compiled once per policy."""

    def __init__(self, templates: Iterable[Template]) -> None:
        self._by_context: dict[str, list[tuple[re.Pattern[str], Template]]] = {}
        for template in templates:
            parts = [r"\S+(?: \S+){0,7}?" if word is None else re.escape(word) for word in template.words]
            entry = (re.compile(" ".join(parts)), template)
            self._by_context.setdefault(template.context, []).append(entry)

    def match(self, shape: Shape) -> Template | None:
        """The first template that matches all of the shape's words, or None."""
        for pattern, template in self._by_context.get(shape.context, ()):
            if pattern.fullmatch(shape.masked):
                return template
        return None


def task_id_of_name(name: str) -> str:
    """The task id of a name given by callers."""
    return "task_" + hashlib.sha256(f"named:{name}".encode()).hexdigest()[:24]


def task_id_of_fingerprint(fingerprint: str) -> str:
    """The task id of a discovered call."""
    return f"task_{fingerprint}"
