"""There and back again is the identity, up to the normal form, and every number keeps all its digits."""

from __future__ import annotations

import copy
import json

from hypothesis import given, settings
from translate_documents import Json
from translate_normal import normal_anthropic, normal_openai, same
from translate_strategies import anthropic_answers, anthropic_requests, openai_answers, openai_requests

from freehold.upstreams.translate import (
    Options,
    answer_to_anthropic,
    answer_to_openai,
    request_to_anthropic,
    request_to_openai,
)

EXTENDED = Options(extensions=True)
quick = settings(max_examples=30, deadline=None)


@quick
@given(openai_requests)
def test_requests_of_openai(document: Json) -> None:
    there = request_to_anthropic(json.dumps(document).encode())
    back = request_to_openai(there.body, EXTENDED)
    assert not there.dropped
    assert same(back.body, normal_openai(copy.deepcopy(document)))
    assert there.stream == back.stream == bool(document.get("stream"))


@quick
@given(anthropic_requests)
def test_requests_of_anthropic(document: Json) -> None:
    there = request_to_openai(json.dumps(document, ensure_ascii=False).encode(), EXTENDED)
    back = request_to_anthropic(there.body)
    assert {path.rpartition(".")[2] for path in there.dropped} <= {"cache_control", "thinking", "display"}
    assert same(back.body, normal_anthropic(copy.deepcopy(document)))


@quick
@given(openai_answers())
def test_answers_of_openai(document: Json) -> None:
    there = answer_to_anthropic(json.dumps(document).encode())
    assert not there.dropped
    assert same(answer_to_openai(there.body, created=7).body, document)


@quick
@given(anthropic_answers())
def test_answers_of_anthropic(document: Json) -> None:
    there = answer_to_openai(json.dumps(document).encode(), created=7)
    assert not there.dropped
    assert same(answer_to_anthropic(there.body).body, document)
