"""What the demo measures of itself: the callers' side, with the grammar's truth that the loop never sees."""

from __future__ import annotations

from collections import Counter, deque
from statistics import median
from typing import TYPE_CHECKING, Any

import msgspec

from freehold.demo.truth import is_right

if TYPE_CHECKING:
    from freehold.demo.grammar import Message
    from freehold.domain.evidence import Certificate
    from freehold.store import Store


LATELY = 100
"""As many requests of a task say how it is answered now."""


class TaskFigures(msgspec.Struct, frozen=True):
    """One task of the demo."""

    task: str
    requests: int
    owned_share: float
    state: str
    epsilon: float | None
    loss_upper: float | None
    """Of its last certificate; None if it never had one."""
    true_loss: float | None
    """Share of owned answers that the grammar says are wrong; None if nothing was owned."""
    owned_lately: float
    """Of the last `LATELY` requests."""
    right_lately: float
    """Share of the last `LATELY` answers, whoever gave them, that are right by the grammar."""
    student_ms: float | None
    """Median wait for the last `LATELY` owned answers; None if nothing was owned."""


class Figures(msgspec.Struct, frozen=True):
    """The whole demo."""

    requests: int
    owned_share: float
    saved_usd: float
    seconds: float
    tasks: list[TaskFigures]


class Tally:
    """Counts answers as they come."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.owned: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()
        self.failed = 0
        self._lately: dict[str, deque[bool]] = {}
        self._right: dict[str, deque[bool]] = {}
        self._seconds: dict[str, deque[float]] = {}
        self.drift_at: int | None = None
        """The request from which on the traffic of one task was another; None while it is as it was."""
        self.task_ids: dict[str, str] = {}

    def add(self, message: Message, answer: str, *, owned: bool, task_id: str, seconds: float = 0.0) -> None:
        """One answer to `message`, and how long it was waited for."""
        right = is_right(message, answer)
        self.requests[message.task] += 1
        self.task_ids[message.task] = task_id
        self._lately.setdefault(message.task, deque(maxlen=LATELY)).append(owned)
        self._right.setdefault(message.task, deque(maxlen=LATELY)).append(right)
        if owned:
            self.owned[message.task] += 1
            self.wrong[message.task] += not right
            self._seconds.setdefault(message.task, deque(maxlen=LATELY)).append(seconds)

    def owned_lately(self, task: str) -> float:
        """Share of the last `LATELY` requests of a task that students answered."""
        lately = self._lately.get(task, ())
        return sum(lately) / max(1, len(lately))

    def right_lately(self, task: str) -> float:
        """Share of the last `LATELY` answers to a task that are right, whoever gave them."""
        lately = self._right.get(task, ())
        return sum(lately) / max(1, len(lately))

    def student_ms(self, task: str) -> float | None:
        """Median wait for the last `LATELY` answers that students gave, in milliseconds; None of none."""
        lately = self._seconds.get(task)
        return 1e3 * median(lately) if lately else None

    @property
    def owned_share(self) -> float:
        """Share of all requests answered by students."""
        return self.owned.total() / max(1, self.requests.total())


def figures(tally: Tally, store: Store, saved_nanousd: int, seconds: float) -> Figures:
    """Put the callers' counts beside what the store says of each task."""
    return Figures(
        requests=tally.requests.total(),
        owned_share=round(tally.owned_share, 4),
        saved_usd=round(saved_nanousd / 1e9, 4),
        seconds=round(seconds, 1),
        tasks=[_task(tally, store, name) for name in tally.requests],
    )


def _task(tally: Tally, store: Store, name: str) -> TaskFigures:
    owned, requests = tally.owned[name], tally.requests[name]
    task = store.control.tasks.get(tally.task_ids[name])
    certificate = _last_certificate(store, tally.task_ids[name])
    return TaskFigures(
        task=name,
        requests=requests,
        owned_share=round(owned / requests, 4),
        state=task.state if task else "observing",
        epsilon=task.epsilon if task else None,
        loss_upper=round(certificate.loss_upper, 4) if certificate else None,
        true_loss=round(tally.wrong[name] / owned, 4) if owned else None,
        owned_lately=round(tally.owned_lately(name), 4),
        right_lately=round(tally.right_lately(name), 4),
        student_ms=None if (wait := tally.student_ms(name)) is None else round(wait, 2),
    )


def _last_certificate(store: Store, task_id: str) -> Certificate | None:
    found = store.control.certificates.list(task=task_id, newest_first=True, limit=1)
    return found[0] if found else None


def as_document(result: Figures) -> dict[str, Any]:
    """The figures as plain data."""
    return msgspec.to_builtins(result)
