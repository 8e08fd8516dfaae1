"""Whether an answer has the form that its request's `response_format` asks for."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from freehold.domain.chat import ChatRequest, schema_of
from freehold.domain.errors import ScorerError
from freehold.domain.scoring import SchemaScorer
from freehold.scorers.base import Context, Unusable
from freehold.scorers.schema import score_schema

SECONDS = 0.5
"""A schema is a caller's, and checking an answer by it could take for ever."""
FORMS = frozenset(("json_object", "json_schema"))


def has_form(request: ChatRequest, text: str) -> bool | None:
    """None where the request asks for no form; a schema that cannot be used, or takes too long, is met by no answer."""
    wanted: Any = request.response_format
    kind = cast("dict[str, Any]", wanted).get("type") if isinstance(wanted, dict) else None
    if kind not in FORMS:
        return None
    try:
        found = msgspec.json.decode(text)
        if kind == "json_object":
            return isinstance(found, dict)
        return score_schema(SchemaScorer(seconds=SECONDS), text, Context(schema=schema_of(request))).value == 1.0
    except (msgspec.DecodeError, RecursionError, ScorerError, Unusable):
        return False
