"""How a place where a model is served does: for `/readyz`, metrics and the dashboard."""

from __future__ import annotations

import msgspec


class Health(msgspec.Struct, frozen=True):
    """Of one deployment of an upstream, as one worker sees it."""

    upstream: str
    deployment: str
    """Scheme, host and port."""
    state: str
    """closed: it is asked; open: it rests; half-open: one request tries it; limited: it said 429, others go first."""
    in_flight: int
    connections: int
    failures: int
    """In a row."""
    last_error: str
    """What it failed with last; empty: nothing yet."""
    rests_for: float
    """Seconds for which it is still left alone."""
