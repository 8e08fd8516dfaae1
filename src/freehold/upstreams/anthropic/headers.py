"""Headers of answers: what each provider says of limits and of the request's number, in the other's words.

Source: the providers' published references of rate-limit headers, as of November 2026. OpenAI says how long until a
limit is whole again (`6m0s`), Anthropic when (RFC 3339).
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

from freehold.upstreams.base import Headers

_KINDS = (b"requests", b"tokens")
_OF_BODY = frozenset((b"content-type", b"content-length", b"content-encoding", b"content-md5", b"digest", b"etag"))
"""Speak of the body's bytes, which change."""
_SAME = {
    b"request-id": b"x-request-id",
    **{
        b"anthropic-ratelimit-%s-%s" % (kind, what): b"x-ratelimit-%s-%s" % (what, kind)
        for kind in _KINDS
        for what in (b"limit", b"remaining")
    },
}
_RESET = {b"anthropic-ratelimit-%s-reset" % kind: b"x-ratelimit-reset-%s" % kind for kind in _KINDS}
_SAME_BACK = {theirs: ours for ours, theirs in _SAME.items()}
_RESET_BACK = {theirs: ours for ours, theirs in _RESET.items()}
_DURATION = re.compile(rb"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
_SECONDS = (86_400.0, 3600.0, 60.0, 1.0, 0.001)


def headers_to_openai(headers: Headers, now: float) -> Headers:
    """Anthropic's as OpenAI's, without those of the body; `now` in seconds since 1970. Others travel as they are."""
    found: Headers = []
    for name, value in headers:
        if name in _RESET:
            left = _seconds_until(value, now)
            if left is not None:
                found.append((_RESET[name], _as_duration(left)))
        elif name not in _OF_BODY:
            found.append((_SAME.get(name, name), value))
    return found


def headers_to_anthropic(headers: Headers, now: float) -> Headers:
    """OpenAI's as Anthropic's, without those of the body; `now` in seconds since 1970. Others travel as they are."""
    found: Headers = []
    for name, value in headers:
        if name in _RESET_BACK:
            left = _seconds_of(value)
            if left is not None:
                found.append((_RESET_BACK[name], _as_time(now + left)))
        elif name not in _OF_BODY:
            found.append((_SAME_BACK.get(name, name), value))
    return found


def _seconds_until(time: bytes, now: float) -> float | None:
    try:
        at = datetime.fromisoformat(time.decode())
    except ValueError:  # a decoding error is one, too
        return None
    return max(0.0, (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now)


def _as_duration(seconds: float) -> bytes:
    """As Go writes it, in whole seconds."""
    whole = math.ceil(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    if hours:
        return b"%dh%dm%ds" % (hours, minutes, whole % 60)
    return b"%dm%ds" % (minutes, whole % 60) if minutes else b"%ds" % whole


def _seconds_of(duration: bytes) -> float | None:
    found = _DURATION.fullmatch(duration)
    if found is None or not duration:
        return None
    return sum(float(part) * unit for part, unit in zip(found.groups(), _SECONDS, strict=True) if part)


def _as_time(seconds: float) -> bytes:
    try:
        at = datetime.fromtimestamp(math.ceil(seconds), UTC)
    except (OverflowError, ValueError):
        at = datetime.max.replace(tzinfo=UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ").encode()
