"""Whether an answer has the form its request asks for, as a router is told."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from freehold.domain.chat import parse_chat
from freehold.scorers.validity import has_form

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
ENDLESS = {"type": "object", "properties": {"n": {"type": "string", "pattern": "^(a+)+$"}}}


@pytest.mark.parametrize(
    ("wanted", "text", "valid"),
    [
        (None, "anything", None),
        ({"type": "text"}, "anything", None),
        ({"type": "json_object"}, '{"n": 1}', True),
        ({"type": "json_object"}, "[1]", False),
        ({"type": "json_object"}, "Here you are: {}", False),
        ({"type": "json_schema", "json_schema": {"schema": SCHEMA}}, '{"n": 1}', True),
        ({"type": "json_schema", "json_schema": {"schema": SCHEMA}}, '{"n": "1"}', False),
        ({"type": "json_schema", "json_schema": {"schema": SCHEMA}}, '{"n": 1', False),
        ({"type": "json_schema", "json_schema": {"schema": {"$ref": "http://x.test/"}}}, '{"n": 1}', False),
        ({"type": "json_schema", "json_schema": {"schema": ENDLESS}}, '{"n": "' + "a" * 40 + '!"}', False),
        ({"type": "json_schema"}, '{"n": 1}', False),
    ],
)
def test_validity(wanted: dict[str, Any] | None, text: str, valid: bool | None) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "response_format": wanted}
    assert has_form(parse_chat(msgspec.json.encode(body)), text) is valid
