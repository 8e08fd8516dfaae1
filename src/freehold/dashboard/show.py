"""How things are written on a page. Everything is escaped by the template engine; nothing here makes markup."""

from __future__ import annotations

import functools
import time
from datetime import UTC, datetime
from typing import Any, cast

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined

from freehold.domain.evidence import Verdict

_SECOND = 1_000_000_000
CLIP = 20_000
"""Most characters of one text on a page."""

REASONS = {
    "accepted": "A student answered, or a model of the ladder: as certified, and the request was not novel.",
    "no-rung": "The incumbent answered: the task has no student or ladder in force.",
    "pinned": "The incumbent answered: the caller pinned it.",
    "unrecorded": "The incumbent answered: the caller forbade recording, so an owned answer could not be audited.",
    "unsupported": "The incumbent answered: the request asks for what a student cannot give.",
    "novel": "The incumbent answered: the request is unlike the certified traffic.",
    "uncertain": "What was asked, if anything, was not certain enough to be certified: the incumbent answered.",
    "student-missing": "The incumbent answered: the student's files are missing or changed.",
    "student-failed": "The incumbent answered: the student failed on this request.",
    "policy-stale": "The incumbent answered: the policy in force could not be checked in time.",
    "passthrough": "Passed through: this is not a chat completion.",
    "streaming": "The incumbent answered: the ladder must see whole answers, and a stream was asked for.",
    "rung-failed": "A model of the ladder failed, was too slow or gave no answer: the incumbent answered.",
    "rung-resting": "The incumbent answered: a model of the ladder failed repeatedly and is left alone for a while.",
    "router-failed": "The incumbent answered: the router failed on this request.",
    "shadow": "The incumbent answered: the student that is certified answers unseen beside it for a while.",
    "canary": "The incumbent answered: the student answers only a share of the requests for a while.",
    "ladder-unusable": "The incumbent answered: the ladder's files are damaged, or one of its models cannot be asked.",
    "fallback": "The upstream failed: the model that it falls back to answered in place of the one asked for.",
    "sampled": "A model of the ladder was asked once more, to see whether it agrees with itself.",
}
STATES = {
    "observing": "Too few answers yet to say what they are.",
    "learning": "Closed answers; no certificate yet.",
    "owned": "A student with a certificate is in force.",
    "rolled_back": "The last student was withdrawn; the incumbent answers.",
    "unscorable": "Nothing can score these answers, so they never move.",
    "blocked": "Rights forbid it, or something must be done or decided first.",
}


def render(template: str, **context: Any) -> str:
    """The page `templates/{template}`."""
    return _environment().get_template(template).render(now_ns=time.time_ns(), **context)


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("freehold.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    tools = cast(Any, environment)  # Jinja's own types allow only its own filters
    tools.filters |= {
        "dollars": dollars,
        "percent": percent,
        "count": count,
        "clock": clock,
        "iso": iso,
        "ago": ago,
        "span": span,
        "clip": clip,
        "pretty": pretty,
        "plain": plain,
        "in_words": in_words,
    }
    tools.globals |= {"REASONS": REASONS, "STATES": STATES}
    return environment


def in_words(verdict: Verdict) -> str:
    """See `freehold.rights.words.in_words`; imported late, since an error page needs no tables."""
    from freehold.rights.words import in_words

    return in_words(verdict)


def dollars(nano: int) -> str:
    """See `freehold.ledger.dollars`; imported late, since the ledger loads polars and an error page needs none."""
    from freehold.ledger import dollars

    return dollars(nano)


def percent(share: float | None) -> str:
    """A share in [0, 1]: `62%`, `3.1%`, `0.42%`, `<0.01%`; a dash for None."""
    if share is None:
        return "–"
    hundredths = share * 100
    if 0 < hundredths < 0.01:
        return "<0.01%"
    if 99.9 < hundredths < 100:
        return ">99.9%"
    digits = 0 if hundredths >= 10 or hundredths == 0 else 1 if hundredths >= 1 else 2
    text = f"{hundredths:.{digits}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text}%"


def count(number: float) -> str:
    """With separators: `12,345`."""
    return f"{number:,.0f}"


def clock(at_ns: int) -> str:
    """`2 Mar 2026, 08:00:12 UTC`."""
    at = datetime.fromtimestamp(at_ns / _SECOND, UTC)
    return f"{at.day} {at:%b %Y, %H:%M:%S} UTC"


def iso(at_ns: int) -> str:
    """ISO 8601, for machines."""
    return datetime.fromtimestamp(at_ns / _SECOND, UTC).isoformat(timespec="milliseconds")


def ago(at_ns: int, now_ns: int) -> str:
    """`12 s ago`, `3 min ago`, `5 h ago`; the date when it is longer ago."""
    seconds = max(0, (now_ns - at_ns) // _SECOND)
    if seconds < 60:
        return f"{seconds} s ago"
    if seconds < 3600:
        return f"{seconds // 60} min ago"
    if seconds < 86_400:
        return f"{seconds // 3600} h ago"
    at = datetime.fromtimestamp(at_ns / _SECOND, UTC)
    return f"{at.day} {at:%b %Y}"


def span(microseconds: int) -> str:
    """`0.4 ms`, `120 ms`, `3.2 s`."""
    milliseconds = microseconds / 1000
    if milliseconds < 10:
        return f"{milliseconds:.1f} ms"
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def clip(text: str, length: int = CLIP) -> str:
    """At most `length` characters, and says so when some are left out."""
    return text if len(text) <= length else f"{text[:length]}… ({len(text) - length:,} more characters)"


def pretty(value: object) -> str:
    """JSON over several lines, clipped."""
    return clip(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def plain(text: str) -> str:
    """A kind or state as words: `rolled-back`, `rolled_back` → `rolled back`."""
    return text.replace("-", " ").replace("_", " ")
