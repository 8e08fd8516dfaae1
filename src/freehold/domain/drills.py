"""An exit drill: for a while, what a provider answers goes to owned models instead, to see what breaks. And its report.

A drill is outside of the loop: its answers count neither as certified traffic nor as evidence, whoever gives them.
"""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

DrillState = Literal["running", "ended", "stopped"]
"""running: in force until its time is over, whoever started it; ended: its time was over; stopped: by somebody."""
Outcome = Literal["certified", "uncertified", "stand-in", "failed", "spared", "pinned", "outside"]
"""What became of a request that the provider would have answered. certified: a rung in force accepted it;
uncertified: the task's owned model answered although it would not have been asked; stand-in: the configured owned
model answered; failed: nothing owned could, or what was asked failed; spared: nothing owned could, and the drill lets
such requests through to the incumbent; pinned: the caller insisted on the incumbent; outside: not in the drill's
share, or its worker did not know of the drill yet."""
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


class DrillLine(msgspec.Struct, frozen=True, kw_only=True):
    """One task or one kind of call."""

    key: str
    """Task id, or kind of call (`chat`, `embeddings` …); empty where a request has no task."""
    name: str
    requests: int
    outcomes: dict[Outcome, int]


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """How long answers took, milliseconds."""

    answers: int
    p50: float
    p95: float
    first_byte_p50: float


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """Answers given in the drill beside the incumbent's to the same requests."""

    key: str
    """Task id; empty where requests have no task."""
    name: str
    pairs: int
    same: int
    """Equal texts, JSON compared as values."""
    likeness: float
    """Mean chrF of the texts, in [0, 1]: likeness, not truth."""
    examples: tuple[str, ...] = ()
    """Trace ids of answers that differ most."""


class DrillReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a drill showed: of requests that the cut upstreams would have answered, recorded ones only."""

    seconds: float
    """How long the drill was in force."""
    requests: int
    outcomes: dict[Outcome, int]
    tasks: tuple[DrillLine, ...] = ()
    apis: tuple[DrillLine, ...] = ()
    before: Latency | None = None
    """Of the cut upstreams' answers in as long a time before; None: there were none."""
    during: Latency | None = None
    """Of answers given in their place."""
    errors: dict[str, int] = {}
    """What went wrong → requests, the most frequent first."""
    unable: dict[str, int] = {}
    """What requests that failed or were spared asked for → how many; one may ask for several things."""
    compared: tuple[Compared, ...] = ()
    not_compared: int = 0
    """Questions to the incumbent that brought no answer to compare with."""
    notes: tuple[str, ...] = ()
    """What the figures do not say, in sentences."""
    next_steps: tuple[str, ...] = ()

    @property
    def kept(self) -> int:
        """Requests in the drill that something owned answered."""
        return sum(self.outcomes.get(name, 0) for name in ("certified", "uncertified", "stand-in"))

    @property
    def drilled(self) -> int:
        """Requests that the drill took from the provider, or would have."""
        return self.kept + self.outcomes.get("failed", 0) + self.outcomes.get("spared", 0)


class Drill(msgspec.Struct, frozen=True, kw_only=True):
    """A drill and where it stands. Only one runs at a time."""

    drill_id: str
    without: tuple[str, ...]
    """What was asked for: upstreams, hosts or terms."""
    upstreams: tuple[str, ...]
    """The upstreams that are cut."""
    task: str = ""
    """Of this task only; empty: of all requests."""
    share: float = 1.0
    """Share of the requests that are rerouted, drawn at random."""
    compare: float = 0.0
    """Share of the answers given in the incumbent's place that it is asked about too, in the background."""
    spare: bool = False
    """Requests that nothing owned can answer go to the incumbent, and are counted, instead of failing."""
    started_by: str = ""
    state: DrillState = "running"
    since_ns: int
    until_ns: int
    """When it ends by itself; once it is over, when it did."""
    wanted_seconds: float
    """How long it was to last."""
    report: DrillReport | None = None
    created_ns: int
    updated_ns: int

    def in_force(self, now_ns: int) -> bool:
        """Whether requests are rerouted at this time: read off the clock, so that a drill ends whatever dies."""
        return self.state == "running" and self.since_ns <= now_ns < self.until_ns
