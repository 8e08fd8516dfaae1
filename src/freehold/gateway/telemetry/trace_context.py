"""W3C Trace Context (the recommendation "Trace Context", its sections on the `traceparent` and `tracestate` headers).

Without spans the gateway does not take part: both headers pass untouched. With them, its span becomes the parent of
what the upstream does; a valid `tracestate` is passed on as it is; an invalid one, or one beside an invalid
`traceparent`, is not.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import NamedTuple

from freehold.upstreams.base import Headers

MAX_STATE_BYTES = 4096
_MAX_MEMBERS = 32
_HEX = b"0123456789abcdef"
_VERSION_00_BYTES = 55
_MEMBER = re.compile(rb"([a-z0-9][a-z0-9_\-*/@]{0,255})=[ -+\--<>-~]{0,255}[!-+\--<>-~]")

_random = random.Random()


class SpanContext(NamedTuple):
    """Our span in its trace: what is told to the upstream, and what the span is made of."""

    trace_id: str
    """32 hex digits."""
    span_id: str
    """16 hex digits."""
    parent_id: str
    """The caller's span; empty if the trace begins here."""
    sampled: bool
    state: bytes
    """The `tracestate` to pass on; may be empty."""

    def child(self) -> SpanContext:
        """A span below this one."""
        return self._replace(span_id=_new_span_id(), parent_id=self.span_id)

    @property
    def parent_header(self) -> bytes:
        """The `traceparent` for the upstream, version 00."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}".encode()


def begin_span(headers: Headers, trace_id: str, sample: float) -> SpanContext:
    """A span for a request with these headers (lower-case names).

    A trace that begins here has the digits of the exchange's own `trace_id` (`tr_` and 28 hex digits) after four zeros,
    so that one follows from the other; a share `sample` of such traces is recorded. Others follow the caller's flag.
    """
    parents: list[bytes] = []
    states: list[bytes] = []
    for name, value in headers:
        if name == b"traceparent":
            parents.append(value)
        elif name == b"tracestate":
            states.append(value)
    parent = _parse_parent(parents[0].strip()) if len(parents) == 1 else None
    if parent is None:
        digits = trace_id.partition("_")[2].rjust(32, "0")[-32:]
        return SpanContext(digits, _new_span_id(), "", sample >= 1.0 or _random.random() < sample, b"")
    known, span, sampled = parent
    return SpanContext(known, _new_span_id(), span, sampled, _valid_state(states) if states else b"")


def said_parent(headers: Headers) -> tuple[str, str] | None:
    """Trace id and span id of the one valid `traceparent` among headers; None if there is none, or more."""
    parents = [value for name, value in headers if name == b"traceparent"]
    parent = _parse_parent(parents[0].strip()) if len(parents) == 1 else None
    return parent and parent[:2]


def replace_headers(headers: Headers, span: SpanContext) -> Headers:
    """`headers` with `span` as the parent."""
    kept = [header for header in headers if header[0] != b"traceparent" and header[0] != b"tracestate"]
    kept.append((b"traceparent", span.parent_header))
    if span.state:
        kept.append((b"tracestate", span.state))
    return kept


def _parse_parent(value: bytes) -> tuple[str, str, bool] | None:
    """Trace id, span id and the sampled flag; None if they cannot be used. Versions above 00 may go on after a dash."""
    if len(value) < _VERSION_00_BYTES or value[2:3] + value[35:36] + value[52:53] != b"---":
        return None
    version, trace, span, flags = value[:2], value[3:35], value[36:52], value[53:55]
    if (version + trace + span + flags).strip(_HEX) or version == b"ff":
        return None
    if len(value) > _VERSION_00_BYTES and (version == b"00" or value[55:56] != b"-"):
        return None
    if not trace.strip(b"0") or not span.strip(b"0"):
        return None
    return trace.decode(), span.decode(), bool(int(flags, 16) & 1)


def _valid_state(values: Sequence[bytes]) -> bytes:
    """The combined list; empty if any member of it is malformed, there are too many, or one key is there twice."""
    combined = b",".join(values)
    if len(combined) > MAX_STATE_BYTES:
        return b""
    keys: list[bytes] = []
    members = [member.strip(b" \t") for member in combined.split(b",")]
    for member in members:
        found = _MEMBER.fullmatch(member)
        if found is not None:
            keys.append(found[1])
        elif member:  # empty members are allowed
            return b""
    if not keys or len(members) > _MAX_MEMBERS or len(set(keys)) < len(keys):
        return b""
    return b",".join(member for member in members if member)


def _new_span_id() -> str:
    return f"{_random.getrandbits(64) or 1:016x}"
