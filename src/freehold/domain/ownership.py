"""How much of a task is the organisation's own: a list of points, each a question with its answer and evidence."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

Question = Literal["weights", "ending", "limits", "outputs", "drill", "data"]
QUESTIONS: tuple[Question, ...] = get_args(Question)
ASKED: dict[Question, str] = {
    "weights": "Are the weights held here, and are they the ones that were certified?",
    "ending": "Can nobody else end the use?",
    "limits": "May you serve, change and pass on what answers?",
    "outputs": "Are the outputs yours?",
    "drill": "Was going without the provider tried lately, and did it hold?",
    "data": "Is the training data there to train it again?",
}
"""Each is worth one point for each task: there are no weights to argue about."""


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One question about one task."""

    question: Question
    got: int
    """Of `possible`."""
    possible: int = 1
    answer: str
    """In a sentence."""
    evidence: tuple[str, ...] = ()
    """What was looked at, in sentences: hashes that were computed, clauses with their dates, the drill."""
    checked_ns: int
    """When."""
    command: str
    """Shows or repeats it."""
    todo: str = ""
    """What to do to get it; empty where it was got."""

    @property
    def asked(self) -> str:
        """The question in words."""
        return ASKED[self.question]


class TaskOwnership(msgspec.Struct, frozen=True, kw_only=True):
    """The points of one task, for what answers it now."""

    task: str
    name: str
    answered_by: tuple[str, ...]
    """Students and models in force; empty: the incumbent answers everything."""
    points: tuple[Point, ...]

    @property
    def got(self) -> int:
        """Points."""
        return sum(point.got for point in self.points)

    @property
    def possible(self) -> int:
        """Most points."""
        return sum(point.possible for point in self.points)


class Ownership(msgspec.Struct, frozen=True, kw_only=True):
    """The points of all tasks that were looked at."""

    tasks: tuple[TaskOwnership, ...]
    checked_ns: int

    @property
    def got(self) -> int:
        """Points of all tasks together."""
        return sum(task.got for task in self.tasks)

    @property
    def possible(self) -> int:
        """Most points."""
        return sum(task.possible for task in self.tasks)

    def of_question(self, question: Question) -> tuple[int, int]:
        """Points got, and most points, of one question over all tasks."""
        points = [point for task in self.tasks for point in task.points if point.question == question]
        return sum(point.got for point in points), sum(point.possible for point in points)
