"""A log line for each request, or for those that failed. It names what happened, never what was said."""

from __future__ import annotations

from typing import Any

import structlog

from freehold.domain.traces import Trace

MOST_PROBLEMS = 50
"""Lines about failed requests in one batch (about a second); an outage must not fill the disk. The rest are counted."""

_log = structlog.get_logger()


def is_problem(status: int, error: str | None) -> bool:
    """Whether a request failed, and not by the caller's own mistake or leaving."""
    if error is None:
        return status >= 500
    return not (400 <= status < 500 or error.startswith("client_closed"))


def write_lines(traces: list[Trace], *, everything: bool) -> None:
    """Log `traces`; without `everything`, the problems among them and how many more there were."""
    problems = 0
    for trace in traces:
        if is_problem(trace.status, trace.error):
            problems += 1
            if everything or problems <= MOST_PROBLEMS:
                _log.warning("request", **fields(trace))
        elif everything:
            _log.info("request", **fields(trace))
    if problems > MOST_PROBLEMS and not everything:
        _log.warning("requests-failed", more=problems - MOST_PROBLEMS)


def fields(trace: Trace) -> dict[str, Any]:
    """What the line says."""
    found: dict[str, Any] = {
        "trace_id": trace.trace_id,
        "kind": trace.kind,
        "api": trace.api,
        "model": trace.model[:200],
        "status": trace.status,
        "ms": trace.duration_us / 1000,
        "bytes_in": len(trace.request),
        "bytes_out": len(trace.response),
    }
    optional = {
        "answered_by": trace.answered_by[:200],
        "reason": trace.reason,
        "error": (trace.error or "").partition(":")[0],  # a message may name what the caller sent
        "attempts": list(trace.attempts),
        "first_byte_ms": trace.first_byte_us / 1000,
        "stream": trace.stream,
        "owned": trace.owned,
        "cached": trace.cached,
        "task": trace.task,
        "key": trace.key,
        "traceparent": trace.traceparent,
    }
    found.update((name, value) for name, value in optional.items() if value)
    return found
