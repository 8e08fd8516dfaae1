"""What a scorer may take from a chat request."""

from __future__ import annotations

from freehold.domain.chat import ChatRequest, instructions, schema_of, student_input
from freehold.scorers.base import Context


def context_of(
    request: ChatRequest, feedback: tuple[float, ...] = (), reference_feedback: tuple[float, ...] = ()
) -> Context:
    """The prompt and the JSON Schema of a request, and what people said of its two answers."""
    parts = (instructions(request), student_input(request) or "")
    return Context(
        prompt="\n\n".join(part for part in parts if part),
        schema=schema_of(request),
        feedback=feedback,
        reference_feedback=reference_feedback,
    )
