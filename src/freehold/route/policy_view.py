"""The policy in force as the gateway sees it at one moment: with its students loaded. Never changed, only replaced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from freehold.domain.fingerprint import TemplateIndex
from freehold.domain.policy import Policy, Rung


class Answered(Protocol):
    """What a student returns; see `freehold.upstreams.student`."""

    @property
    def text(self) -> str:
        """The answer, in the incumbent's form."""
        ...

    @property
    def signal(self) -> float:
        """How sure the student is: compared with the rung's threshold."""
        ...

    @property
    def novelty(self) -> float:
        """How unlike its training traffic the prompt is: compared with the rung's limit."""
        ...


class StudentAnswer(NamedTuple):
    """The plainest `Answered`."""

    text: str
    signal: float
    novelty: float


class Student(Protocol):
    """A loaded student."""

    def input_tokens(self, prompt: str) -> int:
        """Estimated tokens of a request with this prompt, as the incumbent would count them."""
        ...

    def output_tokens(self, text: str) -> int:
        """Estimated tokens of an answer, likewise."""
        ...

    def answer(self, prompt: str) -> Answered:
        """Answer the student's input text (see `freehold.domain.chat.student_input`); at most 0.5 ms."""
        ...


StudentKey = tuple[str, str]
"""A student's id and the hash of its manifest."""


def key_of(rung: Rung) -> StudentKey:
    """Which student a rung means."""
    return (rung.student, rung.sha256)


class PolicyView:
    """A policy, its compiled templates, its loaded students, and those that cannot be loaded."""

    __slots__ = ("damaged", "index", "policy", "students", "version")

    def __init__(
        self,
        policy: Policy,
        index: TemplateIndex,
        students: Mapping[StudentKey, Student],
        damaged: frozenset[StudentKey] = frozenset(),
    ) -> None:
        self.policy = policy
        self.version = str(policy.version).encode()
        self.index = index
        self.students = students
        self.damaged = damaged
