"""What a student must be able to do; students themselves are in `freehold.upstreams.student`."""

from __future__ import annotations

from typing import NamedTuple, Protocol


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


class Gate(Protocol):
    """What is known of a generative student without asking it; see `freehold.serving.gate`."""

    @property
    def answer_schema(self) -> str:
        """The JSON Schema that its answers are kept to; empty: none."""
        ...

    def novelty(self, prompt: str) -> float:
        """How unlike its training traffic a prompt is, in [0, 1]: compared with the rung's limit."""
        ...

    def input_tokens(self, prompt: str) -> int:
        """Estimated tokens of a request with this prompt, as the incumbent would count them."""
        ...

    def output_tokens(self, text: str) -> int:
        """Estimated tokens of an answer, likewise."""
        ...


class Student(Protocol):
    """A loaded student that answers here."""

    def input_tokens(self, prompt: str) -> int:
        """Estimated tokens of a request with this prompt, as the incumbent would count them."""
        ...

    def output_tokens(self, text: str) -> int:
        """Estimated tokens of an answer, likewise."""
        ...

    def answer(self, prompt: str) -> Answered:
        """Answer the student's input text (see `freehold.domain.chat.student_input`); at most 0.5 ms."""
        ...
