"""What becomes of a request's path, keys, headers and every field on its way to an upstream of the other protocol."""

from __future__ import annotations

import json
from typing import Any

import pytest

from freehold.domain.errors import TranslationError
from freehold.upstreams.anthropic import FOREIGN
from freehold.upstreams.anthropic.requests import translated
from freehold.upstreams.anthropic.sinks import ToAnthropic, ToOpenAI
from freehold.upstreams.base import Headers, UpstreamError, UpstreamRequest
from freehold.upstreams.translate import Options
from freehold.upstreams.translate.anthropic_request import REQUEST as MESSAGES_TABLE
from freehold.upstreams.translate.openai_request import REQUEST as CHAT_TABLE

TURNS = [{"role": "user", "content": "hi"}]
CHAT: dict[str, Any] = {"model": "m", "messages": TURNS}
MESSAGES: dict[str, Any] = {"model": "m", "max_tokens": 64, "messages": TURNS}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
THEIR_TOOL = {"name": "f", "input_schema": {"type": "object"}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


class Nobody:
    """A sink that is never called."""

    def begin(self, upstream: str, status: int, headers: Headers) -> None:
        raise AssertionError

    def data(self, chunk: bytes, last: bool) -> None:
        raise AssertionError

    def fail(self, error: UpstreamError) -> None:
        raise AssertionError


def _request(
    path: bytes,
    body: Any,
    headers: Headers | None = None,
    authorization: bytes | None = None,
    api_key: bytes | None = None,
) -> UpstreamRequest:
    return UpstreamRequest(
        method=b"POST",
        path=path,
        headers=headers or [],
        body=json.dumps(body).encode(),
        authorization=authorization,
        api_key=api_key,
    )


def _to_anthropic(body: Any = CHAT, headers: Headers | None = None, **keys: bytes) -> UpstreamRequest:
    request = _request(b"/chat/completions?x=1", body, headers, **keys)
    asked, sink = translated("claude", "anthropic", request, Nobody(), Options())
    assert isinstance(sink, ToOpenAI) and asked.path == b"/messages" and asked.attempts is request.attempts
    return asked


def _to_openai(body: Any = MESSAGES, headers: Headers | None = None, **keys: bytes) -> UpstreamRequest:
    request = _request(b"/messages?beta=true", body, headers, **keys)
    asked, sink = translated("gpt", "openai", request, Nobody(), Options())
    assert isinstance(sink, ToAnthropic) and asked.path == b"/chat/completions" and asked.attempts is request.attempts
    return asked


# OpenAI's field → what an Anthropic upstream is sent for it; None: left out, and named; a string: why it is refused.
OPENAI_FIELDS: dict[str, tuple[Any, dict[str, Any] | str | None]] = {
    "max_completion_tokens": (9, {"max_tokens": 9}),
    "max_tokens": (9, {"max_tokens": 9}),
    "temperature": (0.5, {"temperature": 0.5}),
    "top_p": (0.5, {"top_p": 0.5}),
    "top_k": (5, {"top_k": 5}),
    "stop": (["a"], {"stop_sequences": ["a"]}),
    "stream": (True, {"stream": True}),
    "stream_options": ({"include_usage": True}, {}),
    "user": ("u", {"metadata": {"user_id": "u"}}),
    "safety_identifier": ("u", {"metadata": {"user_id": "u"}}),
    "reasoning_effort": ("high", {"output_config": {"effort": "high"}, "thinking": {"type": "adaptive"}}),
    "service_tier": ("default", {"service_tier": "standard_only"}),
    "response_format": (
        {"type": "json_schema", "json_schema": {"name": "response", "strict": True, "schema": SCHEMA}},
        {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
    ),
    "tools": ([TOOL], {"tools": [{"name": "f", "input_schema": {"type": "object"}}]}),
    "tool_choice": ("required", {"tool_choice": {"type": "any"}}),
    "parallel_tool_calls": (False, {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}),
    "n": (2, "one answer per request"),
    "logprobs": (True, "no probabilities"),
    "top_logprobs": (3, "no probabilities"),
    "seed": (7, "no such setting"),
    "frequency_penalty": (0.5, "no such setting"),
    "presence_penalty": (0.5, "no such setting"),
    "logit_bias": ({"5": 1}, "no such setting"),
    "modalities": (["text", "audio"], "text only"),
    "audio": ({"voice": "alloy"}, "no audio"),
    "verbosity": ("low", "no such setting"),
    "moderation": ({"a": 1}, "moderates"),
    "web_search_options": ({}, "searches"),
    "functions": ([{"name": "f"}], "retired"),
    "function_call": ("auto", "retired"),
    "metadata": ({"a": "b"}, None),
    "store": (True, None),
    "prediction": ({"type": "content", "content": "x"}, None),
    "prompt_cache_key": ("k", None),
    "prompt_cache_options": ({}, None),
    "prompt_cache_retention": ("24h", None),
}

# Anthropic's field → what an OpenAI upstream is sent for it.
ANTHROPIC_FIELDS: dict[str, tuple[Any, dict[str, Any] | str | None]] = {
    "max_tokens": (9, {"max_completion_tokens": 9}),
    "system": ("be", {"messages": [{"role": "system", "content": "be"}, *TURNS]}),
    "temperature": (0.5, {"temperature": 0.5}),
    "top_p": (0.5, {"top_p": 0.5}),
    "top_k": (5, "no `top_k`"),
    "stop_sequences": (["a"], {"stop": ["a"]}),
    "stream": (True, {"stream": True, "stream_options": {"include_usage": True}}),
    "metadata": ({"user_id": "u"}, {"user": "u"}),
    "service_tier": ("standard_only", {"service_tier": "default"}),
    "thinking": ({"type": "disabled"}, {"reasoning_effort": "none"}),
    "output_config": ({"effort": "high"}, {"reasoning_effort": "high"}),
    "tools": ([THEIR_TOOL], {"tools": [TOOL]}),
    "tool_choice": ({"type": "any"}, {"tool_choice": "required"}),
}


def _with(base: dict[str, Any], field: str, value: Any) -> dict[str, Any]:
    tools = {"tools": [TOOL if base is CHAT else THEIR_TOOL]} if field in ("tool_choice", "parallel_tool_calls") else {}
    return {**base, **tools, field: value}


@pytest.mark.parametrize("field", sorted(OPENAI_FIELDS))
def test_every_field_of_chat_completions_is_said_refused_by_name_or_named_as_left_out(field: str) -> None:
    value, wanted = OPENAI_FIELDS[field]
    body = _with(CHAT, field, value)
    request = _request(b"/chat/completions", body)
    if isinstance(wanted, str):
        with pytest.raises(TranslationError, match=wanted) as refused:
            translated("claude", "anthropic", request, Nobody(), Options())
        assert f"`{field}`" in refused.value.message
        assert (refused.value.http_status, refused.value.code) == (400, "not_translatable")
        assert refused.value.hint
        return
    heard = _Head()
    asked, sink = translated("claude", "anthropic", request, heard, Options())
    sent = json.loads(asked.body)
    assert wanted is None or sent.items() >= wanted.items()
    assert wanted is not None or field not in sent
    sink.begin("claude", 200, [(b"content-type", b"text/event-stream")])
    assert (heard.headers.get(b"x-freehold-dropped") == field.encode()) == (wanted is None)


@pytest.mark.parametrize("field", sorted(ANTHROPIC_FIELDS))
def test_every_field_of_messages_is_said_or_refused_by_name(field: str) -> None:
    value, wanted = ANTHROPIC_FIELDS[field]
    request = _request(b"/messages", _with(MESSAGES, field, value))
    if isinstance(wanted, str):
        with pytest.raises(TranslationError, match=wanted):
            translated("gpt", "openai", request, Nobody(), Options())
        return
    sent = json.loads(translated("gpt", "openai", request, Nobody(), Options())[0].body)
    assert wanted is not None and sent.items() >= wanted.items()


def test_the_tables_above_are_complete() -> None:
    assert OPENAI_FIELDS.keys() == CHAT_TABLE.rules.keys() - {"model", "messages"}
    refused = {name for name, rule in MESSAGES_TABLE.rules.items() if rule.fate in ("refuse", "drop")}
    assert ANTHROPIC_FIELDS.keys() == MESSAGES_TABLE.rules.keys() - {"model", "messages"} - refused
    for name in sorted(refused):
        assert MESSAGES_TABLE.rules[name].why, "said in the error or the documents"


class _Head(Nobody):
    def begin(self, upstream: str, status: int, headers: Headers) -> None:
        self.headers = dict(headers)


def test_unknown_fields_are_refused_and_not_lost() -> None:
    for protocol, path, body in (
        ("anthropic", b"/chat/completions", CHAT),
        ("openai", b"/messages", MESSAGES),
    ):
        with pytest.raises(TranslationError, match="`brand_new_field`"):
            translated("up", protocol, _request(path, {**body, "brand_new_field": 1}), Nobody(), Options())


def test_keys_change_their_header_and_are_sent_once() -> None:
    bearer = _to_anthropic(authorization=b"Bearer sk-1")
    assert (bearer.api_key, bearer.authorization) == (b"sk-1", None)
    own = _to_anthropic(authorization=b"Basic abc", api_key=b"sk-2")
    assert (own.api_key, own.authorization) == (b"sk-2", None)
    assert (_to_anthropic().api_key, _to_anthropic(authorization=b"Basic abc").api_key) == (None, None)
    back = _to_openai(api_key=b"sk-3")
    assert (back.api_key, back.authorization) == (None, b"Bearer sk-3")
    both = _to_openai(api_key=b"sk-3", authorization=b"Bearer sk-4")
    assert (both.api_key, both.authorization) == (None, b"Bearer sk-4")


def test_left_out_features_are_named() -> None:
    heard = _Head()
    request = _request(b"/messages", MESSAGES, [(b"anthropic-beta", b"x"), (b"anthropic-version", b"2023-06-01")])
    _, sink = translated("gpt", "openai", request, heard, Options())
    sink.begin("gpt", 200, [(b"content-type", b"text/event-stream")])
    assert heard.headers[b"x-freehold-dropped"] == b"anthropic-beta"


def test_headers_that_only_the_callers_provider_knows_stay_here() -> None:
    common: Headers = [(b"content-type", b"application/json"), (b"traceparent", b"00-1")]
    asked = _to_anthropic(headers=[*common, (b"openai-organization", b"org"), (b"openai-beta", b"x")])
    assert asked.headers == common
    back = _to_openai(headers=[*common, (b"anthropic-version", b"2023-06-01"), (b"anthropic-beta", b"x")])
    assert back.headers == common


@pytest.mark.parametrize(
    ("protocol", "path"),
    [
        ("anthropic", b"/embeddings"),
        ("anthropic", b"/responses/resp_1"),
        ("anthropic", b"/completions"),
        ("anthropic", b"/chat/completions/id"),
        ("openai", b"/messages/count_tokens"),
        ("openai", b"/messages/batches"),
    ],
)
def test_what_the_other_protocol_has_nothing_like_is_refused(protocol: str, path: bytes) -> None:
    assert path.startswith(FOREIGN[protocol])
    with pytest.raises(TranslationError, match=path.decode()) as refused:
        translated("up", protocol, _request(path, CHAT), Nobody(), Options())
    assert refused.value.http_status == 400 and "'up'" in refused.value.message


def test_an_operator_can_name_the_limits_field_and_allow_extensions() -> None:
    options = Options(max_tokens=123, max_tokens_field="max_tokens", extensions=True)
    asked, _ = translated("gpt", "openai", _request(b"/messages", {**MESSAGES, "top_k": 5}), Nobody(), options)
    assert json.loads(asked.body).items() >= {"max_tokens": 64, "top_k": 5}.items()
    asked, _ = translated("claude", "anthropic", _request(b"/chat/completions", CHAT), Nobody(), options)
    assert json.loads(asked.body)["max_tokens"] == 123
