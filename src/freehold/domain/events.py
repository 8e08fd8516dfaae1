"""What happened, with its evidence; and the jobs that did it."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from freehold.domain.evidence import LossName, RiskName

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
    "stage-passed",
    "rolled-back",
    "drift-suspected",
    "audits-missing",
    "audits-stopped",
    "audits-resumed",
    "rights-blocked",
    "student-damaged",
    "ladder-unusable",
    "journal-damaged",
    "job-failed",
    "drill-started",
    "drill-ended",
    "key-created",
    "key-changed",
    "key-rotated",
    "key-revoked",
    "team-created",
    "team-changed",
    "team-removed",
    "forgotten",
    "retention-enforced",
    "quarantined",
    "quarantine-lifted",
    "canaries-learned",
    "counsel-decided",
    "counsel-withdrawn",
    "duty-fulfilled",
    "recalled",
    "recall-ended",
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
    state: Literal["running", "waiting", "done", "failed"]
    """waiting: for a duty to be fulfilled, or for counsel: carried on once something of that has changed."""
    params: dict[str, Any] = {}
    steps: tuple[Step, ...] = ()
    error: str = ""
    created_ns: int
    updated_ns: int


class Monitor(msgspec.Struct, frozen=True, kw_only=True):
    """What audits say of a certificate in force: a betting confidence sequence of its risk, valid at any time."""

    certificate: str
    task: str
    epsilon: float
    delta: float
    loss: LossName = "disagreement"
    risk: RiskName = "served"
    audits: int = 0
    """Audits whose loss is known."""
    losses: float = 0.0
    """The sum of these losses, unweighted."""
    estimate: float | None = None
    """Of the risk; None without audits."""
    lower: float = 0.0
    upper: float = 1.0
    """Each bound is ever wrong with probability δ at most."""
    weighted: bool = False
    """The audit rate has varied, or the risk is over all traffic: each audit counts for 1/propensity requests."""
    requests: int = 0
    """The requests that the bounds speak of, audited or not."""
    unscored: int = 0
    """Audits whose answer could not be scored: they are among `audits`, at the largest loss, as in the certificate."""
    missing: int = 0
    """Audits drawn that told nothing (dropped, failed, cut off, or their scorer could not be carried out)."""
    pending: int = 0
    """Audits drawn that are still to be answered or scored."""
    trouble: str = ""
    """Why audits cannot be scored at present."""
    disbelieved: str = ""
    """Why the judge that scores cannot hold the certificate up; empty if it can, or nobody judges."""
    drift_at: int | None = None
    """The audit (over all traffic: the sampled request) at which the change detector raised its alarm."""
    last_trace_ns: int = 0
    updated_ns: int = 0
