"""A task: one recurring kind of request, its form of answer, and the state of its move to an owned model."""

from __future__ import annotations

from typing import Literal

import msgspec

from freehold.domain.scoring import Scorer

TaskState = Literal["observing", "learning", "owned", "rolled_back", "unscorable", "blocked"]
"""observing: too few answers to say what they are. learning: a student can learn it, no certificate yet. owned: a rung
with a certificate is in force. rolled_back: the last rung was withdrawn. unscorable: nothing can score the answers, so
they never move. blocked: rights forbid training, or keep a promotion back."""


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One closed field of an answer: where it is and the values it takes (canonical JSON of each)."""

    path: tuple[str, ...]
    """Keys from the answer's root; empty for a bare label."""
    values: tuple[str, ...]


class AnswerForm(msgspec.Struct, frozen=True, kw_only=True):
    """What the answers of a task look like."""

    kind: Literal["label", "json", "open"]
    fields: tuple[Field, ...] = ()
    reason: str = ""
    """Why the answers were taken for this form, with the figures."""

    @property
    def closed(self) -> bool:
        """Whether an answer is one of those seen before."""
        return self.kind != "open"


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A task and where it stands."""

    task_id: str
    name: str
    """What people call it: the caller's name, or a title made from the system prompt."""
    named: bool = False
    """Named by the caller (`metadata.task` or `x-freehold-task`), not discovered."""
    state: TaskState = "observing"
    fingerprints: tuple[str, ...] = ()
    """The calls that belong to it."""
    form: AnswerForm | None = None
    scorer: Scorer | None = None
    """How good an answer is; None: closed answers that agree or not."""
    epsilon: float = 0.02
    delta: float = 0.05
    attempts: int = 0
    """Certification attempts so far: attempt i may spend δ·6/(π²i²)."""
    rows_at_attempt: int = 0
    """How many certify rows the last attempt had; 0 before the first and after a rollback."""
    evidence_since_ns: int = 0
    """Evidence older than this is not used: set by a rollback, because the traffic has changed since."""
    samples_at_look: int = 0
    """How many answers there were when the task was last looked at, so that the next look waits for enough more."""
    shadow_rows_at_attempt: int = 0
    """The same of ladders of several models, whose rows are requests that candidates were asked about."""
    shadows_at_look: int = 0
    """How many such requests there were when a ladder was last looked for."""
    note: str = ""
    """What stands in the way now, in a sentence, for people."""
    created_ns: int = 0
    updated_ns: int = 0
