"""Counters of one worker, as Prometheus text. Plain integers: counting must cost next to nothing."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client.core import Metric

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
"""Upper bounds of the latency histogram, in seconds."""


class Metrics:
    """What one worker has done since it started."""

    def __init__(self, worker: str) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        """(reason, status) → requests; reason `accepted` is a rung's answer."""
        self.owned = 0
        """Requests answered by owned models."""
        self.errors: Counter[str] = Counter()
        """Code of what went wrong → exchanges."""
        self.student_failures = 0
        self.audits: Counter[str] = Counter()
        """queued, dropped, done, failed."""
        self.shadows: Counter[str] = Counter()
        """The same of candidates asked about the incumbent's answers; and `unaffordable`: not asked, to save money."""
        self.rungs: Counter[tuple[str, str]] = Counter()
        """(model, accepted, refused, failed or resting) → times a ladder came to it."""
        self._worker = worker
        self._latency = [0] * (len(BUCKETS) + 1)
        self._seconds = 0.0

    def request(self, reason: str, status: int, error: str | None, seconds: float, *, owned: bool = False) -> None:
        """Count one caller's request. `error` begins with its code and a colon."""
        self.requests[reason, status] += 1
        self.owned += owned
        self._latency[bisect_left(BUCKETS, seconds)] += 1
        self._seconds += seconds
        if error is not None:
            self.errors[error.partition(":")[0]] += 1

    def text(self, *, shed: int, stale: bool, policy: int) -> str:
        """The Prometheus exposition (text format 0.0.4). The worker is a label: a scrape reaches one of several."""
        # Only a scrape needs the library: a worker starts without it.
        from prometheus_client import CollectorRegistry, generate_latest

        registry = CollectorRegistry()
        registry.register(_Snapshot(list(self._families(shed, stale, policy))))
        return generate_latest(registry).decode()

    def _families(self, shed: int, stale: bool, policy: int) -> Iterator[Metric]:
        by_reason = {(reason or "none", str(status)): count for (reason, status), count in self.requests.items()}
        outcomes = ("queued", "dropped", "done", "failed")
        audits = {(outcome,): self.audits[outcome] for outcome in outcomes}
        shadows = {(outcome,): self.shadows[outcome] for outcome in (*outcomes, "unaffordable")}
        errors = {(code,): count for code, count in self.errors.items()}
        counter, gauge = self._counter, self._gauge
        yield counter("requests", "Requests by why this rung answered, and by status.", by_reason, "reason", "status")
        yield counter("owned_requests", "Requests answered by owned models.", {(): self.owned})
        yield counter("errors", "Exchanges that went wrong, by code.", errors, "code")
        yield counter("records_shed", "Records that could not be written.", {(): shed})
        yield counter("audits", "Background questions to the incumbent.", audits, "outcome")
        yield counter("shadows", "Background questions to candidates.", shadows, "outcome")
        yield counter("rungs", "Models of ladders, by what came of asking them.", self.rungs, "model", "outcome")
        yield counter("student_failures", "Students that raised while answering.", {(): self.student_failures})
        yield gauge("policy_version", "The policy in force.", policy)
        yield gauge("policy_stale", "1 while the control store is out of reach.", int(stale))
        yield self._histogram()

    def _counter(self, name: str, about: str, counts: Mapping[tuple[str, ...], int], *labels: str) -> Metric:
        from prometheus_client.core import CounterMetricFamily

        family = CounterMetricFamily(f"freehold_{name}", about, labels=["worker", *labels])
        for values, count in counts.items():
            family.add_metric([self._worker, *values], count)
        return family

    def _gauge(self, name: str, about: str, value: int) -> Metric:
        from prometheus_client.core import GaugeMetricFamily

        family = GaugeMetricFamily(f"freehold_{name}", about, labels=["worker"])
        family.add_metric([self._worker], value)
        return family

    def _histogram(self) -> Metric:
        from prometheus_client.core import HistogramMetricFamily

        about = "Time from request read to answer recorded."
        family = HistogramMetricFamily("freehold_request_seconds", about, labels=["worker"])
        bounds = (*map(str, BUCKETS), "+Inf")
        buckets = list(zip(bounds, accumulate(self._latency), strict=True))
        family.add_metric([self._worker], buckets, self._seconds)
        return family


class _Snapshot:
    """What the library's registry collects from."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families
