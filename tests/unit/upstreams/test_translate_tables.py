"""Walks over every row of every table: what it says is what happens."""

from __future__ import annotations

import copy
import json

import pytest
from translate_documents import Json, anthropic, encode, openai
from translate_examples import EXAMPLES, STREAMED, TYPES
from translate_normal import normal_anthropic, normal_openai

from freehold.domain.errors import AnswerNotTranslatable, TranslationError
from freehold.upstreams.translate import (
    Options,
    Translated,
    answer_to_anthropic,
    answer_to_openai,
    request_to_anthropic,
    request_to_openai,
)
from freehold.upstreams.translate.rules import Rule
from freehold.upstreams.translate.tables import tables

TABLES = tables()
ROWS = [(key, rule.field) for key, found in TABLES.items() if key not in STREAMED for rule in found.rules.values()]
LENIENT = Options(extensions=True)


def _is_request(document: Json) -> bool:
    return "messages" in document


def _forward(document: Json, protocol: str) -> Translated:
    body = encode(document)
    if _is_request(document):
        return request_to_anthropic(body) if protocol == "openai" else request_to_openai(body, LENIENT)
    return answer_to_anthropic(body) if protocol == "openai" else answer_to_openai(body, created=7)


def _back(body: bytes, protocol: str) -> Json:
    request = b'"messages"' in body
    if protocol == "openai":
        found = request_to_openai(body, LENIENT) if request else answer_to_openai(body, created=7)
    else:
        found = request_to_anthropic(body) if request else answer_to_anthropic(body)
    return json.loads(found.body)


def _normal(document: Json, protocol: str) -> Json:
    document = copy.deepcopy(document)
    if not _is_request(document):
        for block in document.get("choices", [{}])[0].get("message", {}).get("thinking_blocks", ()):
            block.pop("index", None)
        return document
    return normal_openai(document) if protocol == "openai" else normal_anthropic(document)


def _row(key: str, field: str) -> tuple[Rule, Json, str]:
    embed, values = EXAMPLES[key]
    value = values[field]
    document = embed(value if key in TYPES else {field: value})
    if key == "openai_request.REQUEST" and field == "max_tokens":
        del document["max_completion_tokens"]
    return TABLES[key].rules[field], document, TABLES[key].protocol


def test_every_row_has_an_example() -> None:
    assert EXAMPLES.keys() | STREAMED == TABLES.keys()
    for key, (_, values) in EXAMPLES.items():
        assert values.keys() == TABLES[key].rules.keys(), key
    for found in TABLES.values():
        for rule in found.rules.values():
            assert rule.why or rule.to or rule.fate == "convert", (found.name, rule.field)
            assert rule.fate in ("same", "convert") or rule.why.endswith("."), (found.name, rule.field)


@pytest.mark.parametrize(("key", "field"), ROWS)
def test_a_row_does_what_it_says(key: str, field: str) -> None:
    rule, document, protocol = _row(key, field)
    if rule.fate == "refuse":
        expected = TranslationError if _is_request(document) else AnswerNotTranslatable
        with pytest.raises(expected) as caught:
            _forward(document, protocol)
        assert f"{field}`" in caught.value.message or ".role`" in caught.value.message
        assert rule.why in caught.value.message
        assert caught.value.hint == rule.do
        return
    found = _forward(document, protocol)
    if rule.fate == "drop":
        assert any(path == field or path.endswith(f".{field}") for path in found.dropped)
    elif rule.lossless:
        assert not found.dropped
        assert _back(found.body, protocol) == _normal(document, protocol)
    else:
        assert found.dropped or found.body != _without(key), "it must not vanish in silence"


def _without(key: str) -> bytes:
    return b"" if key in TYPES else _forward(EXAMPLES[key][0]({}), TABLES[key].protocol).body


@pytest.mark.parametrize(("key", "field"), [(k, f) for k, f in ROWS if TABLES[k].rules[f].neutral])
def test_values_that_ask_for_nothing_are_left_out(key: str, field: str) -> None:
    embed, _ = EXAMPLES[key]
    protocol = TABLES[key].protocol
    for value in TABLES[key].rules[field].neutral:
        assert _forward(embed({field: value}), protocol).body == _forward(embed({}), protocol).body


@pytest.mark.parametrize("key", [key for key in TABLES if key not in STREAMED | TYPES])
def test_unknown_fields_are_refused_in_requests_and_dropped_in_answers(key: str) -> None:
    embed, _ = EXAMPLES[key]
    document = embed({"zzz": 1})
    protocol = TABLES[key].protocol
    if _is_request(document) or TABLES[key].unknown == "refuse":
        with pytest.raises((TranslationError, AnswerNotTranslatable), match="zzz"):
            _forward(document, protocol)
    else:
        assert any(path.endswith("zzz") for path in _forward(document, protocol).dropped)


@pytest.mark.parametrize("key", sorted(TYPES - {"openai_content.ROLES"}))
def test_unknown_types_are_refused(key: str) -> None:
    embed, _ = EXAMPLES[key]
    document = embed({"type": "zzz"})
    with pytest.raises(TranslationError if _is_request(document) else AnswerNotTranslatable, match="zzz"):
        _forward(document, TABLES[key].protocol)


@pytest.mark.parametrize("required", ["model", "messages"])
def test_required_fields(required: str) -> None:
    for whole, translate in ((openai(), request_to_anthropic), (anthropic(), request_to_openai)):
        del whole[required]
        with pytest.raises(Exception, match=f"`{required}` is missing"):
            translate(encode(whole))
