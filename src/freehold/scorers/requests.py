"""What a scorer may take from a chat request."""

from __future__ import annotations

from typing import Any, cast

from freehold.domain.chat import ChatRequest, instructions, student_input
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


def schema_of(request: ChatRequest) -> dict[str, Any] | None:
    """The JSON Schema in `response_format`; None if the request asks for none, or for any JSON object."""
    found: Any = request.response_format
    for name in ("json_schema", "schema"):
        found = cast("dict[str, Any]", found).get(name) if isinstance(found, dict) else None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None
