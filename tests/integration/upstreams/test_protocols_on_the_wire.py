"""Over real sockets: bytes untouched within a protocol, translated between them, fallbacks across them, keys kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.conformance.provider import Provider, Seen

from freehold.domain.errors import TranslationError, UpstreamError
from freehold.upstreams.base import UpstreamRequest
from freehold.upstreams.directory import Entry, UpstreamDirectory
from freehold.upstreams.http.upstream import HttpUpstream, Options, Place

TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Grüße ☃"}]}
MESSAGES: dict[str, Any] = {"model": "m", "max_tokens": 64, "messages": [{"role": "user", "content": "Grüße ☃"}]}


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as running:
        yield running


def _upstream(name: str, url: str, protocol: Any, key: str | None = None) -> HttpUpstream:
    return HttpUpstream(name, [Place(url, api_key=key)], Options(protocol=protocol, retries=0))


def _ask(
    directory: UpstreamDirectory,
    name: str,
    path: bytes,
    body: bytes,
    authorization: bytes | None = None,
    api_key: bytes | None = None,
) -> tuple[str, int, dict[bytes, bytes], bytes, list[str]]:
    request = UpstreamRequest(
        method=b"POST",
        path=path,
        headers=[(b"content-type", b"application/json")],
        body=body,
        authorization=authorization,
        api_key=api_key,
    )

    async def ask() -> tuple[str, int, dict[bytes, bytes], bytes, list[str]]:
        try:
            by, response = await directory.send(name, request)
            parts: list[bytes] = []
            while not response.at_end:
                parts.append(await response.read())
        finally:
            await directory.aclose()
        return by, response.status, dict(response.headers), b"".join(parts), request.attempts

    return asyncio.run(asyncio.wait_for(ask(), 20))


def _one(provider: Provider, protocol: str, key: str | None = "sk-own") -> UpstreamDirectory:
    return UpstreamDirectory([Entry(_upstream("up", provider.openai_url, protocol, key))])


@pytest.mark.parametrize(
    ("protocol", "path", "key"),
    [
        ("openai", b"/chat/completions?a=1", ("authorization", "Bearer sk-own")),
        ("anthropic", b"/messages?beta=true", ("x-api-key", "sk-own")),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_within_a_protocol_every_byte_is_the_callers(
    provider: Provider, protocol: str, path: bytes, key: tuple[str, str], stream: bool
) -> None:
    odd = b'{ "model":"m","max_tokens" : 64, "brand_new":{"x":[1.0,1e2]}, "stream":%s,"messages":[{"role":"user","content":"\\u2603"}]}'  # noqa: E501
    body = odd % (b"true" if stream else b"false")
    _, status, headers, answer, _ = _ask(_one(provider, protocol), "up", path, body, authorization=b"Bearer sk-caller")
    seen = provider.last
    assert (status, seen.body, seen.target) == (200, body, "/v1" + path.decode())
    assert key in seen.headers and "sk-caller" not in str(seen.headers)
    assert b"x-freehold-dropped" not in headers
    assert (seen.header("anthropic-version") == "2023-06-01") == (protocol == "anthropic")
    direct = _direct(seen)
    assert answer == direct


def _direct(seen: Seen) -> bytes:
    from tests.conformance.provider.server import reply

    found = reply(seen)
    return b"".join(found.events) or found.body


@pytest.mark.parametrize("stream", [False, True])
def test_an_openai_caller_is_answered_by_an_anthropic_upstream(provider: Provider, stream: bool) -> None:
    question = {"role": "user", "content": "Weather in Paris, Oslo?"}
    extra = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    body = {**CHAT, "messages": [question], "tools": [TOOL], "store": True, **extra}
    by, status, headers, answer, attempts = _ask(
        _one(provider, "anthropic", None), "up", b"/chat/completions", json.dumps(body).encode(),
        authorization=b"Bearer sk-caller",
    )  # fmt: skip
    seen = provider.last
    assert (by, status, attempts) == ("up", 200, ["up: 200"])
    assert (seen.target, seen.header("x-api-key"), seen.header("authorization")) == ("/v1/messages", "sk-caller", None)
    assert seen.header("anthropic-version") == "2023-06-01"
    assert seen.json["tools"][0]["name"] == "weather"
    assert headers[b"x-freehold-dropped"] == b"store"
    if not stream:
        calls = json.loads(answer)["choices"][0]["message"]["tool_calls"]
        assert [json.loads(call["function"]["arguments"]) for call in calls] == [{"city": "Paris"}, {"city": "Oslo"}]
        return
    assert headers[b"content-type"].startswith(b"text/event-stream")
    lines = [line[6:] for line in answer.split(b"\n\n") if line.startswith(b"data: ")]
    assert lines[-1] == b"[DONE]" and json.loads(lines[-2])["usage"]["completion_tokens"] > 0


@pytest.mark.parametrize("stream", [False, True])
def test_an_anthropic_caller_is_answered_by_an_openai_upstream(provider: Provider, stream: bool) -> None:
    body = {**MESSAGES, "stream": stream, "system": "Be brief."}
    _, status, headers, answer, _ = _ask(
        _one(provider, "openai", None), "up", b"/messages?beta=true", json.dumps(body).encode(), api_key=b"sk-caller"
    )
    seen = provider.last
    assert (status, seen.target) == (200, "/v1/chat/completions")
    assert (seen.header("authorization"), seen.header("x-api-key")) == ("Bearer sk-caller", None)
    assert [turn["role"] for turn in seen.json["messages"]] == ["system", "user"]
    if stream:
        assert headers[b"content-type"].startswith(b"text/event-stream")
        assert answer.startswith(b"event: message_start") and b"event: message_stop" in answer
    else:
        document = json.loads(answer)
        assert document["type"] == "message" and "Grüße ☃" in document["content"][0]["text"]


@pytest.mark.parametrize(
    ("path", "body", "first", "second"),
    [(b"/chat/completions", CHAT, "openai", "anthropic"), (b"/messages", MESSAGES, "anthropic", "openai")],
)
def test_a_fallback_may_speak_the_other_protocol(
    provider: Provider, path: bytes, body: Any, first: str, second: str
) -> None:
    dead = _upstream("dead", "http://127.0.0.1:9/v1", first)
    directory = UpstreamDirectory(
        [Entry(dead, fallbacks=["other"]), Entry(_upstream("other", provider.openai_url, second, "sk-other"))]
    )
    keys = {"authorization": b"Bearer sk-caller", "api_key": b"sk-caller"}
    by, status, _, answer, attempts = _ask(directory, "dead", path, json.dumps(body).encode(), **keys)
    assert (by, status) == ("other", 200)
    assert [attempt.partition(":")[0] for attempt in attempts] == ["dead", "other"]
    assert "choices" in json.loads(answer) if first == "openai" else json.loads(answer)["type"] == "message"
    assert "sk-caller" not in str(provider.last.headers), "a caller's key never goes to another origin"


def test_a_fallback_that_cannot_say_it_is_passed_over(provider: Provider) -> None:
    dead = _upstream("dead", "http://127.0.0.1:9/v1", "openai")
    claude = _upstream("claude", provider.openai_url, "anthropic", "sk-other")
    gpt = _upstream("gpt", provider.openai_url, "openai", "sk-other")
    body = json.dumps({**CHAT, "seed": 7}).encode()
    both = UpstreamDirectory([Entry(dead, fallbacks=["claude", "gpt"]), Entry(claude), Entry(gpt)])
    by, status, _, _, attempts = _ask(both, "dead", b"/chat/completions", body)
    assert (by, status, attempts[1:]) == ("gpt", 200, ["claude: not_translatable", "gpt: 200"])
    only = UpstreamDirectory([Entry(dead, fallbacks=["claude"]), Entry(claude)])
    with pytest.raises(UpstreamError, match="`seed`"):
        _ask(only, "dead", b"/chat/completions", body)


def test_what_cannot_be_said_is_an_error_before_anything_is_sent(provider: Provider) -> None:
    before = len(provider.seen)
    with pytest.raises(TranslationError, match="`seed`"):
        _ask(_one(provider, "anthropic"), "up", b"/chat/completions", json.dumps({**CHAT, "seed": 7}).encode())
    with pytest.raises(TranslationError, match="/messages/count_tokens"):
        _ask(_one(provider, "openai"), "up", b"/messages/count_tokens", json.dumps(MESSAGES).encode())
    assert len(provider.seen) == before


@pytest.mark.parametrize(
    ("protocol", "path", "body"), [("anthropic", b"/chat/completions", CHAT), ("openai", b"/messages", MESSAGES)]
)
@pytest.mark.parametrize("status", [400, 401, 404, 429])
def test_errors_come_in_the_callers_shape(
    provider: Provider, protocol: str, path: bytes, body: Any, status: int
) -> None:
    asked = {**body, "messages": [{"role": "user", "content": f"error {status}"}]}
    _, found, headers, answer, _ = _ask(_one(provider, protocol), "up", path, json.dumps(asked).encode())
    document = json.loads(answer)
    assert found == status
    assert (b"retry-after" in headers) == (status == 429)
    assert ("code" in document["error"]) == (protocol == "anthropic")
    assert (document.get("type") == "error") == (protocol == "openai")
