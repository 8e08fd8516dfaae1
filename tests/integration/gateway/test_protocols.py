"""Real clients of either protocol over upstreams of either protocol, and what the traces say of it."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
import rung_fixtures
from gateway_fixtures import (
    SSE_HEAD,
    Scripted,
    answering,
    chunk,
    cut_after,
    plain,
    post,
    raw,
    settings,
    split,
    traces,
    upstream,
)
from msgspec.structs import replace
from tests.conformance.provider import Provider
from waiting import wait_for

from freehold.config import Settings
from freehold.domain.traces import Trace
from freehold.gateway import RunningGateway, serve_in_thread
from freehold.record.derive import Deriver

PNG = base64.b64encode(b"\x89PNG not really").decode()
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ONE, TWO = "Weather in Paris?", "Weather in Paris, Oslo?"


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as running:
        yield running


def _both(data: Path, provider: Provider, **gateway: object) -> Settings:
    upstreams = {
        "gpt": upstream(provider.openai_url, ["gpt-*", "text-*"]),
        "claude": upstream(provider.openai_url, ["claude-*"], protocol="anthropic"),
    }
    return settings(data, upstreams, **gateway)


@pytest.fixture(scope="module")
def running(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningGateway, Path]]:
    data = tmp_path_factory.mktemp("data")
    with serve_in_thread(_both(data, provider)) as gateway:
        yield gateway, data


def _newest(data: Path, count: int) -> Trace:
    wait_for(lambda: len(traces(data)) > count)
    return traces(data)[-1]


def _openai(gateway: RunningGateway, key: str = "sk-test") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=0)


def _anthropic(gateway: RunningGateway, key: str = "sk-test") -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=gateway.url, api_key=key, max_retries=0)


def _chat(client: openai.OpenAI, stream: bool, **request: Any) -> Any:
    """A chat completion; a stream put together by the library."""
    if not stream:
        return client.chat.completions.create(**request)
    with client.chat.completions.stream(**request, stream_options={"include_usage": True}) as events:
        return events.get_final_completion()


def _message(client: anthropic.Anthropic, stream: bool, **request: Any) -> Any:
    if not stream:
        return client.messages.create(max_tokens=500, **request)
    with client.messages.stream(max_tokens=500, **request) as events:
        return events.get_final_message()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["gpt-test", "claude-test"])
@pytest.mark.parametrize("question", ["Hällo 你好", ONE, TWO])
def test_openais_library_gets_the_same_of_either_upstream(
    running: tuple[RunningGateway, Path], provider: Provider, model: str, stream: bool, question: str
) -> None:
    gateway, data = running
    before = len(traces(data))
    tool: Any = {"type": "function", "function": {"name": "weather", "parameters": WEATHER}}
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": question}]
    tools = {} if question not in (ONE, TWO) else {"tools": [tool]}
    found = _chat(_openai(gateway), stream, model=model, messages=turns, **tools)
    choice = found.choices[0]
    calls = [json.loads(call.function.arguments) for call in choice.message.tool_calls or ()]
    cities = {ONE: ["Paris"], TWO: ["Paris", "Oslo"]}.get(question, [])
    assert calls == [{"city": city} for city in cities]
    assert choice.finish_reason == ("tool_calls" if cities else "stop")
    assert cities or (question in choice.message.content and "[Be brief.]" in choice.message.content)
    assert found.usage is not None and found.usage.completion_tokens > 0
    assert provider.last.target == ("/v1/messages" if model == "claude-test" else "/v1/chat/completions")
    trace = _newest(data, before)
    derived = Deriver({})(trace)
    assert (trace.api, trace.model, trace.stream) == ("chat", model, stream)
    assert derived.tokens_source == "measured" and derived.output_tokens == found.usage.completion_tokens
    assert trace.task, "it may be a task's"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["gpt-test", "claude-test"])
@pytest.mark.parametrize("question", ["Hällo 你好", ONE, TWO])
def test_anthropics_library_gets_the_same_of_either_upstream(
    running: tuple[RunningGateway, Path], provider: Provider, model: str, stream: bool, question: str
) -> None:
    gateway, data = running
    before = len(traces(data))
    tools = {} if question not in (ONE, TWO) else {"tools": [{"name": "weather", "input_schema": WEATHER}]}
    turns = [{"role": "user", "content": question}]
    found = _message(_anthropic(gateway), stream, model=model, system="Be brief.", messages=turns, **tools)
    calls = [block.input for block in found.content if block.type == "tool_use"]
    text = "".join(block.text for block in found.content if block.type == "text")
    cities = {ONE: ["Paris"], TWO: ["Paris", "Oslo"]}.get(question, [])
    assert calls == [{"city": city} for city in cities]
    assert found.stop_reason == ("tool_use" if cities else "end_turn")
    assert cities or (question in text and "[Be brief.]" in text)
    assert found.usage.output_tokens > 0
    assert provider.last.target.startswith("/v1/messages" if model == "claude-test" else "/v1/chat/completions")
    trace = _newest(data, before)
    derived = Deriver({})(trace)
    assert (trace.api, trace.model, trace.stream) == ("messages", model, stream)
    assert (derived.answer or "") == text and derived.finish_reason == ("tool_calls" if cities else "stop")
    assert derived.tokens_source == "measured" and derived.output_tokens == found.usage.output_tokens
    assert trace.task and trace.error is None


def test_the_same_request_is_the_same_task_by_either_protocol(running: tuple[RunningGateway, Path]) -> None:
    gateway, data = running
    before = len(traces(data))
    turns: Any = [{"role": "user", "content": "hi"}]
    _chat(_openai(gateway), False, model="gpt-test", messages=[{"role": "system", "content": "Classify."}, *turns])
    _message(_anthropic(gateway), False, model="gpt-test", system="Classify.", messages=turns)
    wait_for(lambda: len(traces(data)) == before + 2)
    first, second = traces(data)[-2:]
    assert (first.task, first.fingerprint) == (second.task, second.fingerprint)
    assert (first.api, second.api) == ("chat", "messages")


def test_images_arrive_by_either_protocol(running: tuple[RunningGateway, Path]) -> None:
    gateway, _ = running
    said: list[str] = []
    for model in ("gpt-test", "claude-test"):
        source: Any = {"type": "base64", "media_type": "image/png", "data": PNG}
        block: Any = [{"type": "text", "text": "What?"}, {"type": "image", "source": source}]
        message = _message(_anthropic(gateway), False, model=model, messages=[{"role": "user", "content": block}])
        said.append(message.content[0].text)
        url: Any = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
        parts = [{"type": "text", "text": "What?"}, url]
        completion = _chat(_openai(gateway), False, model=model, messages=[{"role": "user", "content": parts}])
        said.append(completion.choices[0].message.content)
    assert len(set(said)) == 1 and "image/png" in said[0]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [400, 401, 404, 429])
@pytest.mark.parametrize("model", ["gpt-test", "claude-test"])
def test_errors_are_the_librarys_own(
    running: tuple[RunningGateway, Path], model: str, status: int, stream: bool
) -> None:
    gateway, _ = running
    turns = [{"role": "user", "content": f"error {status}"}]
    with pytest.raises(openai.APIStatusError) as theirs:
        _chat(_openai(gateway), stream, model=model, messages=turns)
    with pytest.raises(anthropic.APIStatusError) as other:
        _message(_anthropic(gateway), stream, model=model, messages=turns)
    body: Any = other.value.body
    assert theirs.value.status_code == other.value.status_code == status
    assert theirs.value.message.partition(" - ")[0] == f"Error code: {status}"
    assert body["type"] == "error" and body["error"]["message"] in theirs.value.message
    for error in (theirs.value, other.value):
        assert ("retry-after" in error.response.headers) == (status == 429)


def test_what_cannot_be_said_is_a_bad_request_that_names_it(running: tuple[RunningGateway, Path]) -> None:
    gateway, data = running
    before = len(traces(data))
    with pytest.raises(openai.BadRequestError, match="`seed`") as refused:
        _chat(_openai(gateway), False, model="claude-test", messages=[{"role": "user", "content": "hi"}], seed=7)
    assert refused.value.code == "not_translatable"
    search: Any = {"type": "web_search_20250305", "name": "web_search"}
    with pytest.raises(anthropic.BadRequestError, match="web_search_20250305"):
        turns: Any = [{"role": "user", "content": "hi"}]
        _message(_anthropic(gateway), False, model="gpt-test", messages=turns, tools=[search])
    wait_for(lambda: len(traces(data)) == before + 2)
    last = traces(data)[-1]
    assert (last.api, last.task, last.status) == ("messages", "", 400)
    assert (last.error or "").startswith("not_translatable") and json.loads(last.response)["type"] == "error"


def test_what_a_messages_upstream_knows_and_we_do_not_is_passed_on_untouched(
    running: tuple[RunningGateway, Path], provider: Provider
) -> None:
    gateway, data = running
    before = len(traces(data))
    search = {"type": "web_search_20250305", "name": "web_search"}
    body = json.dumps(
        {
            "model": "claude-test",
            "max_tokens": 9,
            "brand_new": [1.0],
            "tools": [search],
            "messages": [{"role": "user", "content": "hi"}],
        }
    ).encode()
    headers = "x-api-key: sk-test\r\nanthropic-beta: a,b\r\n"
    status, _, _ = split(raw(gateway.url, post(body, "/v1/messages?beta=true", headers)))
    assert (status, provider.last.body, provider.last.target) == (200, body, "/v1/messages?beta=true")
    assert provider.last.header("anthropic-beta") == "a,b"
    trace = _newest(data, before)
    assert (trace.api, trace.task, trace.reason) == ("messages", "", "unsupported")


def test_tokens_are_counted_where_they_can_be(running: tuple[RunningGateway, Path]) -> None:
    gateway, data = running
    before = len(traces(data))
    turns: Any = [{"role": "user", "content": "hi"}]
    assert _anthropic(gateway).messages.count_tokens(model="claude-test", messages=turns).input_tokens > 0
    with pytest.raises(anthropic.BadRequestError, match="count_tokens"):
        _anthropic(gateway).messages.count_tokens(model="gpt-test", messages=turns)
    wait_for(lambda: len(traces(data)) == before + 2)
    assert {trace.api for trace in traces(data)[-2:]} == {"other"}, "counting is free"


def test_a_dead_openai_upstream_falls_back_to_an_anthropic_one_and_back(provider: Provider, tmp_path: Path) -> None:
    dead = "http://127.0.0.1:9/v1"
    upstreams = {
        "gpt": upstream(dead, ["gpt-*"], fallbacks=("claude",)),
        "old": upstream(dead, ["old-*"], fallbacks=("new",), protocol="anthropic"),
        "claude": upstream(provider.openai_url, ["claude-*"], protocol="anthropic", api_key_env="TEST_KEY"),
        "new": upstream(provider.openai_url, ["new-*"], api_key_env="TEST_KEY"),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEST_KEY", "sk-fallback")
        with serve_in_thread(settings(tmp_path, upstreams)) as gateway:
            turns: Any = [{"role": "user", "content": "hi"}]
            completion = _chat(_openai(gateway, "sk-caller"), True, model="gpt-test", messages=turns)
            assert "hi" in completion.choices[0].message.content
            assert provider.last.target == "/v1/messages" and "sk-caller" not in str(provider.last.headers)
            message = _message(_anthropic(gateway, "sk-caller"), True, model="old-test", messages=turns)
            assert "hi" in message.content[0].text
            assert provider.last.target == "/v1/chat/completions" and "sk-caller" not in str(provider.last.headers)
            wait_for(lambda: len(traces(tmp_path)) == 2)
    assert [trace.answered_by.partition("/")[0] for trace in traces(tmp_path)] == ["claude", "new"]


def test_the_gateways_own_key_comes_by_either_header_and_goes_nowhere(
    provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_KEY", "sk-gateway")
    monkeypatch.setenv("TEST_KEY", "sk-provider")
    chosen = _both(tmp_path, provider, api_key_env="GATEWAY_KEY")
    keyed = {name: replace(one, api_key_env="TEST_KEY") for name, one in chosen.upstreams.items()}
    chosen = replace(chosen, upstreams=keyed)
    turns: Any = [{"role": "user", "content": "hi"}]
    with serve_in_thread(chosen) as gateway:
        for model in ("gpt-test", "claude-test"):
            _message(_anthropic(gateway, "sk-gateway"), False, model=model, messages=turns)
            assert "sk-gateway" not in str(provider.last.headers)
            with pytest.raises(anthropic.AuthenticationError, match="API key") as refused:
                _message(_anthropic(gateway, "sk-other"), False, model=model, messages=turns)
            body: Any = refused.value.body
            assert body["error"]["type"] == "authentication_error"
        _chat(_openai(gateway, "sk-gateway"), False, model="claude-test", messages=turns)
        assert provider.last.header("x-api-key") == "sk-provider"
        body = json.dumps({"model": "claude-test", "max_tokens": 9, "messages": turns}).encode()
        for key, wanted in (("sk-gateway", 200), ("sk-other", 401)):
            status, _, answer = split(raw(gateway.url, post(body, "/v1/messages", f"x-api-key: {key}\r\n")))
            assert status == wanted and "sk-gateway" not in str(provider.last.headers)
            assert json.loads(answer)["type"] == ("message" if wanted == 200 else "error")


def test_a_callers_own_key_goes_to_the_upstream_in_the_header_that_it_asks_for(
    running: tuple[RunningGateway, Path], provider: Provider
) -> None:
    gateway, _ = running
    turns = [{"role": "user", "content": "hi"}]
    for model, keys in (("claude-test", ("sk-caller", None)), ("gpt-test", (None, "Bearer sk-caller"))):
        body = json.dumps({"model": model, "max_tokens": 9, "messages": turns}).encode()
        assert split(raw(gateway.url, post(body, "/v1/messages", "x-api-key: sk-caller\r\n")))[0] == 200
        assert (provider.last.header("x-api-key"), provider.last.header("authorization")) == keys
        chat = json.dumps({"model": model, "messages": turns}).encode()
        headers = "authorization: Bearer sk-caller\r\n"
        assert split(raw(gateway.url, post(chat, "/v1/chat/completions", headers)))[0] == 200
        assert (provider.last.header("x-api-key"), provider.last.header("authorization")) == keys


def test_a_caller_that_stops_reading_at_the_end_of_the_message_leaves_a_whole_trace(tmp_path: Path) -> None:
    start = b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","usage":{"input_tokens":3,"output_tokens":1}}}\n\n'  # noqa: E501
    end = b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n'  # noqa: E501
    with Scripted(answering(SSE_HEAD + chunk(start), chunk(end), b"", pause=0.2)) as provider:
        one = {"claude": upstream(provider.base_url, protocol="anthropic")}
        with serve_in_thread(settings(tmp_path, one)) as gateway:
            body = {"model": "m", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
            client = _anthropic(gateway)
            with client.messages.with_streaming_response.create(**body) as response:  # type: ignore[call-overload]
                for line in response.iter_lines():
                    if '"message_stop"' in line:
                        break
            wait_for(lambda: traces(tmp_path))
    (trace,) = traces(tmp_path)
    assert trace.error is None and trace.response == start + end


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
def test_a_translated_stream_that_breaks_off_breaks_off_for_the_caller(tmp_path: Path, path: str) -> None:
    start = b'data: {"type":"message_start","message":{"id":"m","model":"m","usage":{"input_tokens":3,"output_tokens":1}}}\n\n'  # noqa: E501
    word = b'data: {"id":"m","model":"m","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}\n\n'
    openai_speaks = path == "/v1/messages"
    with Scripted(cut_after(SSE_HEAD + chunk(word if openai_speaks else start))) as provider:
        one = {"up": upstream(provider.base_url, protocol="openai" if openai_speaks else "anthropic")}
        with serve_in_thread(settings(tmp_path, one)) as gateway:
            body = {"model": "m", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
            status, _, answer = split(raw(gateway.url, post(json.dumps(body).encode(), path)))
            assert status == 200 and answer.endswith(b"<cut>")
            assert b"message_start" in answer if openai_speaks else b"chat.completion.chunk" in answer
            wait_for(lambda: traces(tmp_path))
    assert traces(tmp_path)[0].error is not None


def test_garbage_from_an_upstream_of_the_other_protocol_is_a_bad_gateway(tmp_path: Path) -> None:
    with Scripted(answering(plain(b"<html>"))) as provider:
        one = {"up": upstream(provider.base_url)}
        with serve_in_thread(settings(tmp_path, one)) as gateway:
            with pytest.raises(anthropic.InternalServerError) as failed:
                _message(_anthropic(gateway), False, model="m", messages=[{"role": "user", "content": "hi"}])
            body: Any = failed.value.body
            assert failed.value.status_code == 502 and body["error"]["type"] == "api_error"
            wait_for(lambda: traces(tmp_path))
    assert (traces(tmp_path)[0].error or "").startswith("answer_not_translatable")


def test_responses_completions_and_embeddings_are_recorded_and_never_tasks(
    running: tuple[RunningGateway, Path], provider: Provider
) -> None:
    gateway, data = running
    client = _openai(gateway)
    before = len(traces(data))
    client.responses.create(model="gpt-test", input="hi")
    with client.responses.stream(model="gpt-test", input="hi") as events:
        events.get_final_response()
    client.completions.create(model="text-test", prompt="Once")
    client.embeddings.create(model="text-test", input=["a", "b"])
    client.responses.retrieve("resp_1")
    assert provider.last.target == "/v1/responses/resp_1"
    client.responses.input_items.list("resp_1")
    assert provider.last.target.startswith("/v1/responses/resp_1/input_items")
    wait_for(lambda: len(traces(data)) == before + 6)
    found = traces(data)[before:]
    assert [trace.api for trace in found] == ["responses", "responses", "completions", "embeddings", "other", "other"]
    assert [trace.stream for trace in found] == [False, True, False, False, False, False]
    assert {trace.task for trace in found} == {""} and {trace.reason for trace in found} == {"passthrough"}
    derived = [Deriver({})(trace) for trace in found]
    assert [one.tokens_source for one in derived] == ["measured"] * 4 + [""] * 2
    assert all(one.input_tokens > 0 for one in derived[:4])
    assert derived[0].answer == derived[1].answer and "hi" in (derived[0].answer or "")


def test_models_are_listed_in_the_callers_words(running: tuple[RunningGateway, Path], provider: Provider) -> None:
    gateway, _ = running
    ours = _openai(gateway).models.list().data
    theirs = _anthropic(gateway).models.list().data
    assert [model.id for model in ours] == [model.id for model in theirs] and len(ours) >= 2
    assert {model.object for model in ours} == {"model"} and {model.type for model in theirs} == {"model"}
    assert all(model.display_name and model.created_at for model in theirs)
    assert _openai(gateway).models.retrieve("claude-test").id == "claude-test"
    assert provider.seen[-1].header("anthropic-version") == "2023-06-01", "it was asked of the upstream that serves it"


def test_an_anthropic_upstreams_own_list_is_told_to_both(tmp_path: Path) -> None:
    theirs = {"type": "model", "id": "claude-x", "display_name": "Claude X", "created_at": "2025-02-19T00:00:00Z"}
    listing = json.dumps({"data": [theirs], "has_more": False}).encode()
    with Scripted(answering(plain(listing))) as provider:
        one = {"claude": upstream(provider.base_url, protocol="anthropic"), "gpt": upstream("http://x/v1", ["gpt-x"])}
        with serve_in_thread(settings(tmp_path, one)) as gateway:
            found = {model.id: model for model in _openai(gateway).models.list()}
            told = {model.id: model for model in _anthropic(gateway).models.list()}
    assert found.keys() == told.keys() == {"claude-x", "gpt-x"}
    assert (found["claude-x"].created, found["claude-x"].object) == (1_739_923_200, "model")
    assert (told["claude-x"].display_name, told["gpt-x"].type) == ("Claude X", "model")
    assert provider.requests[0].line == "GET /v1/models?limit=1000 HTTP/1.1"


def test_a_rung_whose_protocol_cannot_say_it_leaves_the_request_to_the_incumbent(tmp_path: Path) -> None:
    with Scripted(answering(plain())) as big, Scripted(answering(plain())) as small:
        cheap: dict[str, object] = {"protocol": "anthropic"}
        with rung_fixtures.running(tmp_path, big.base_url, small.base_url, cheap=cheap) as run:
            run.publish("prompt")
            headers, _ = run.ask(rung_fixtures.SUM, seed=7)
            assert headers["x-freehold-answered-by"] == "main/big" and small.requests == []
    (trace,) = traces(tmp_path)
    assert (trace.reason, trace.error, trace.audit_probability) == ("unsupported", None, 0.0)


def test_a_slow_caller_of_a_translated_stream_holds_the_upstream_back(tmp_path: Path) -> None:
    piece = b'data: {"id":"m","model":"m","choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":null}]}\n\n'
    sent = 0

    async def script(request: Any, writer: Any) -> None:
        nonlocal sent
        writer.write(SSE_HEAD)
        for _ in range(400):
            writer.write(chunk(piece % (b"w" * 100_000)))
            await writer.drain()
            sent += 1

    with Scripted(script) as provider:
        one = {"up": upstream(provider.base_url, idle_timeout=30.0)}
        with serve_in_thread(settings(tmp_path, one)) as gateway:
            body = {"model": "m", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
            host, _, port = gateway.url.removeprefix("http://").partition(":")
            with socket.create_connection((host, int(port))) as caller:
                caller.sendall(post(json.dumps(body).encode(), "/v1/messages"))
                assert caller.recv(1000)
                deadline = time.monotonic() + 10
                last, since = -1, time.monotonic()
                while time.monotonic() - since < 0.5:  # until nothing has moved for a while
                    if sent != last:
                        last, since = sent, time.monotonic()
                    assert time.monotonic() < deadline
                assert sent < 300, "40 MB are not taken from the upstream for a caller that does not read"
