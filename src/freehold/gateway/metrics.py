"""Counters of one worker, as Prometheus text. Plain integers: counting must cost next to nothing."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
"""Upper bounds of the latency histogram, in seconds."""


class Metrics:
    """What one worker has done since it started."""

    def __init__(self, worker: str) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        """(reason, status) → requests; reason `accepted` is an owned answer."""
        self.errors: Counter[str] = Counter()
        """Code of what went wrong → exchanges."""
        self.student_failures = 0
        self.audits: Counter[str] = Counter()
        """queued, dropped, done, failed."""
        self._worker = worker
        self._latency = [0] * (len(BUCKETS) + 1)
        self._seconds = 0.0

    def request(self, reason: str, status: int, error: str | None, seconds: float) -> None:
        """Count one caller's request. `error` begins with its code and a colon."""
        self.requests[reason, status] += 1
        self._latency[bisect_left(BUCKETS, seconds)] += 1
        self._seconds += seconds
        if error is not None:
            self.errors[error.partition(":")[0]] += 1

    def text(self, *, shed: int, stale: bool, policy: int) -> str:
        """The Prometheus exposition (text format 0.0.4). The worker is a label: a scrape reaches one of several."""
        lines: list[str] = []
        family = self._family
        rows = [
            ({"reason": reason or "none", "status": str(status)}, n) for (reason, status), n in self.requests.items()
        ]
        family(lines, "freehold_requests_total", "counter", "Requests by why this rung answered, and by status.", rows)
        owned = sum(n for (reason, _), n in self.requests.items() if reason == "accepted")
        family(lines, "freehold_owned_requests_total", "counter", "Requests answered by owned models.", [({}, owned)])
        failed = [({"code": code}, n) for code, n in self.errors.items()]
        family(lines, "freehold_errors_total", "counter", "Exchanges that went wrong, by code.", failed)
        family(lines, "freehold_records_shed_total", "counter", "Records that could not be written.", [({}, shed)])
        audits = [({"outcome": outcome}, self.audits[outcome]) for outcome in ("queued", "dropped", "done", "failed")]
        family(lines, "freehold_audits_total", "counter", "Background questions to the incumbent.", audits)
        raised = self.student_failures
        family(
            lines, "freehold_student_failures_total", "counter", "Students that raised while answering.", [({}, raised)]
        )
        family(lines, "freehold_policy_version", "gauge", "The policy in force.", [({}, policy)])
        family(
            lines, "freehold_policy_stale", "gauge", "1 while the control store is out of reach.", [({}, int(stale))]
        )
        self._histogram(lines)
        return "\n".join(lines) + "\n"

    def _family(
        self, lines: list[str], name: str, kind: str, about: str, rows: list[tuple[dict[str, str], int]]
    ) -> None:
        lines += (f"# HELP {name} {about}", f"# TYPE {name} {kind}")
        lines.extend(f"{name}{self._labels(labels)} {value}" for labels, value in rows)

    def _histogram(self, lines: list[str]) -> None:
        name = "freehold_request_seconds"
        lines += (f"# HELP {name} Time from request read to answer recorded.", f"# TYPE {name} histogram")
        total = 0
        for bound, count in zip((*map(str, BUCKETS), "+Inf"), self._latency, strict=True):
            total += count
            lines.append(f"{name}_bucket{self._labels({'le': bound})} {total}")
        lines += (f"{name}_sum{self._labels({})} {self._seconds:.6f}", f"{name}_count{self._labels({})} {total}")

    def _labels(self, labels: dict[str, str]) -> str:
        return "{" + ",".join(f'{key}="{value}"' for key, value in {"worker": self._worker, **labels}.items()) + "}"
