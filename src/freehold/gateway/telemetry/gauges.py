"""What a worker shows of its state, read twice a second so that other workers' pages have it too."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

from freehold.gateway.telemetry.metrics import Metrics, UpstreamState

if TYPE_CHECKING:
    from freehold.gateway.runtime import Runtime

TICK_SECONDS = 0.5
_STATES = {"closed": 0, "half-open": 1, "open": 2, "limited": 3}


def show_state(metrics: Metrics, runtime: Runtime) -> None:
    """Let `metrics` show the state of `runtime`."""
    metrics.gauge("policy_version", lambda: runtime.watch.view.policy.version)
    metrics.gauge("policy_stale", lambda: runtime.watch.stale)
    metrics.gauge("keys_stale", lambda: runtime.access.trouble() is not None)
    metrics.upstream_states(lambda: _upstreams(runtime))


def _upstreams(runtime: Runtime) -> Iterator[UpstreamState]:
    for health in runtime.upstreams.health():
        yield UpstreamState(health.upstream, health.deployment, _STATES[health.state], health.in_flight)


class Tick:
    """Refreshes gauges while the event loop runs."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Refresh now, and from now on."""
        self._metrics.refresh()
        self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self.start)

    def stop(self) -> None:
        """No more."""
        if self._timer is not None:
            self._timer.cancel()
