"""What happened, with its evidence; and the jobs that did it."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

EventKind = Literal[
    "task-discovered",
    "task-merged",
    "form-recognised",
    "dataset-built",
    "student-trained",
    "evaluated",
    "certified",
    "not-certified",
    "promoted",
    "rolled-back",
    "drift-suspected",
    "rights-blocked",
    "student-damaged",
    "ladder-unusable",
    "journal-damaged",
    "job-failed",
]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One state change. `evidence` holds the figures it rests on."""

    event_id: str
    at_ns: int
    kind: EventKind
    task: str
    message: str
    evidence: dict[str, Any] = {}


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One finished step of a job and its result, from which the job resumes."""

    name: str
    result: Any
    at_ns: int
    seconds: float


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A resumable piece of work: its finished steps are never done again."""

    job_id: str
    kind: str
    task: str
    state: Literal["running", "done", "failed"]
    params: dict[str, Any] = {}
    steps: tuple[Step, ...] = ()
    error: str = ""
    created_ns: int
    updated_ns: int


class Monitor(msgspec.Struct, frozen=True, kw_only=True):
    """What audits say of a rung in force: a betting confidence sequence of its loss, valid at any time."""

    certificate: str
    task: str
    epsilon: float
    delta: float
    audits: int = 0
    losses: float = 0.0
    lower: float = 0.0
    upper: float = 1.0
    drift_at: int | None = None
    """The audit at which the change detector raised its alarm."""
    last_trace_ns: int = 0
    updated_ns: int = 0
