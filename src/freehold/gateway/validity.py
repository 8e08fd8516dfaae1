"""Whether an answer has the form that its request's `response_format` asks for."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import msgspec

from freehold.domain.chat import ChatRequest
from freehold.domain.errors import ScorerError
from freehold.domain.scoring import SchemaScorer

SECONDS = 0.5
"""A schema is a caller's, and checking an answer by it could take for ever."""


async def is_valid(request: ChatRequest, text: str) -> bool | None:
    """None where the request asks for no form; a schema that cannot be used, or takes too long, is met by no answer."""
    wanted: Any = request.response_format
    kind = cast("dict[str, Any]", wanted).get("type") if isinstance(wanted, dict) else None
    if kind not in ("json_object", "json_schema"):
        return None
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    if kind == "json_object":
        return isinstance(found, dict)
    return await asyncio.to_thread(_meets_schema, request, text)


def _meets_schema(request: ChatRequest, text: str) -> bool:
    from freehold.scorers.base import Context, Unusable
    from freehold.scorers.requests import schema_of
    from freehold.scorers.schema import score_schema

    try:
        return score_schema(SchemaScorer(seconds=SECONDS), text, Context(schema=schema_of(request))).value == 1.0
    except (ScorerError, Unusable):
        return False
