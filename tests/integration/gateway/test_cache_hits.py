"""Through the running gateway: equal requests get the same bytes again, told apart by header and trace."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import anthropic
import msgspec
import openai
import pytest
from gateway_fixtures import (
    EVENTS,
    JSON_ANSWER,
    SSE_HEAD,
    Request,
    Scripted,
    answering,
    chunk,
    cut_after,
    in_turn,
    plain,
    post,
    raw,
    settings,
    split,
    traces,
    upstream,
)
from waiting import wait_for

from freehold.access import KeyDesk
from freehold.access.fields import KeyFields
from freehold.config import CacheSettings, CandidateSettings, Settings
from freehold.gateway import RunningGateway, serve_in_thread
from freehold.store import ControlStore

BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
STREAM = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}'


def cached(data: Path, base_url: str, **changes: Any) -> Settings:
    made = settings(data, {"main": upstream(base_url)}, **changes)
    return msgspec.structs.replace(made, cache=CacheSettings(enabled=True))


def settle(gateway: RunningGateway) -> None:
    """Wait until all answers that went out are kept."""
    assert gateway.runtime.cache is not None
    gateway.runtime.cache.settle()


def ask(gateway: RunningGateway, body: bytes = BODY, headers: str = "", **more: Any) -> tuple[dict[str, str], bytes]:
    status, found, answer = split(raw(gateway.url, post(body, headers=headers, **more)))
    assert status == 200
    settle(gateway)
    return found, answer


def numbered() -> Any:
    """Every answer another, as a model's would be."""
    count = 0

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        writer.write(plain(b'{"number":%d}' % count, headers="x-ratelimit-remaining-requests: 9\r\ndate: today\r\n"))

    return script


def test_a_hit_gives_the_same_bytes_and_says_so(tmp_path: Path) -> None:
    with Scripted(numbered()) as provider, serve_in_thread(cached(tmp_path, provider.base_url)) as gateway:
        first, one = ask(gateway, headers="x-freehold-task: triage\r\n")
        second, other = ask(gateway, headers="x-freehold-task: triage\r\n")
        assert one == other == b'{"number":1}'
        assert (first["x-freehold-cache"], second["x-freehold-cache"]) == ("miss", "hit")
        assert "age" not in first and int(second["age"]) >= 0
        assert second["content-type"] == "application/json" and second["date"] == "today"
        assert "x-ratelimit-remaining-requests" in first and "x-ratelimit-remaining-requests" not in second
        assert first["x-freehold-trace"] != second["x-freehold-trace"]
        assert first["x-freehold-answered-by"] == second["x-freehold-answered-by"] == "main/m"
        asked, hit = traces(tmp_path)
        assert (asked.cached, hit.cached, hit.reason) == (False, True, "cached")
        assert (hit.request, hit.response, hit.status, hit.task_name) == (BODY, one, 200, "triage")
        assert hit.attempts == () and not hit.audited and hit.audit_probability == 0.0
        assert len(provider.requests) == 1
        page = raw(gateway.url, b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").decode()
        for outcome in ("hit", "miss"):
            assert f'freehold_cache_total{{outcome="{outcome}"}} 1\n' in page


def test_streams_are_given_again_whole(tmp_path: Path) -> None:
    script = answering(SSE_HEAD, *(chunk(event) for event in EVENTS), b"0\r\n\r\n", pause=0.01)
    with Scripted(script) as provider, serve_in_thread(cached(tmp_path, provider.base_url)) as gateway:
        assert ask(gateway, STREAM)[1] == ask(gateway, STREAM)[1] == b"".join(EVENTS)
        client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="sk", max_retries=0)
        for _ in range(2):
            stream = client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "hi"}], stream=True
            )
            assert "".join(piece.choices[0].delta.content or "" for piece in stream) == "hello"
            settle(gateway)
        assert len(provider.requests) == 2  # the client writes other bytes, and has a credential of its own
        assert [trace.cached for trace in traces(tmp_path)] == [False, True, False, True]
        ask(gateway, BODY)
        assert len(provider.requests) == 3  # asked for without stream it is another answer


def test_workers_share_and_restarts_keep(tmp_path: Path) -> None:
    with Scripted(numbered()) as provider:
        made = cached(tmp_path, provider.base_url)
        with serve_in_thread(made) as one, serve_in_thread(made) as other:
            assert ask(one)[1] == ask(other)[1]
        with serve_in_thread(made) as later:
            assert ask(later)[0]["x-freehold-cache"] == "hit"
        assert len(provider.requests) == 1


def test_callers_choose_and_never_share(tmp_path: Path) -> None:
    with Scripted(numbered()) as provider, serve_in_thread(cached(tmp_path, provider.base_url)) as gateway:

        def outcome(headers: str, path: str = "/v1/chat/completions") -> tuple[str, bytes]:
            found, body = ask(gateway, headers=headers, path=path)
            return found["x-freehold-cache"], body

        assert outcome("authorization: Bearer a\r\n") == ("miss", b'{"number":1}')
        assert outcome("authorization: Bearer b\r\n") == ("miss", b'{"number":2}')
        assert outcome("x-api-key: a\r\n") == ("miss", b'{"number":3}')
        assert outcome("authorization: Bearer a\r\n") == ("hit", b'{"number":1}')
        assert outcome("authorization: Bearer a\r\ncache-control: no-store\r\n") == ("bypass", b'{"number":4}')
        assert outcome("authorization: Bearer a\r\nx-freehold-cache: off\r\n") == ("bypass", b'{"number":5}')
        assert outcome("authorization: Bearer a\r\nx-freehold-record: off\r\n") == ("bypass", b'{"number":6}')
        assert outcome("authorization: Bearer a\r\ncache-control: no-cache\r\n") == ("miss", b'{"number":7}')
        assert outcome("authorization: Bearer a\r\n") == ("hit", b'{"number":7}')
        assert outcome("authorization: Bearer a\r\n", "/v1/rerank") == ("bypass", b'{"number":8}')
        for path in ("/v1/embeddings", "/v1/completions"):
            assert [outcome("", path)[0] for _ in range(2)] == ["miss", "hit"]


@pytest.mark.parametrize(
    "bad",
    [plain(status="500 Oops"), plain(b'{"error":{"message":"no"}}'), SSE_HEAD + chunk(EVENTS[0]) + b"0\r\n\r\n"],
    ids=["failed", "error-within", "without-an-end"],
)
def test_what_went_wrong_is_not_given_again(tmp_path: Path, bad: bytes) -> None:
    with (
        Scripted(in_turn(answering(bad), answering(plain()))) as provider,
        serve_in_thread(cached(tmp_path, provider.base_url)) as gateway,
    ):
        raw(gateway.url, post(BODY))
        settle(gateway)
        assert ask(gateway)[1] == ask(gateway)[1] == JSON_ANSWER
        assert len(provider.requests) == 2


def test_a_broken_answer_is_not_given_again(tmp_path: Path) -> None:
    cut = cut_after(SSE_HEAD + chunk(EVENTS[0]) + chunk(EVENTS[1]))
    with (
        Scripted(in_turn(cut, answering(plain()))) as provider,
        serve_in_thread(cached(tmp_path, provider.base_url)) as gateway,
    ):
        raw(gateway.url, post(STREAM))
        assert ask(gateway, STREAM)[1] == JSON_ANSWER


def test_hits_are_no_evidence_and_ask_nobody(tmp_path: Path) -> None:
    with Scripted(numbered()) as provider:
        made = msgspec.structs.replace(
            cached(tmp_path, provider.base_url), candidates=CandidateSettings(models=("m2",), rate=1.0)
        )
        with serve_in_thread(made) as gateway:
            for _ in range(5):
                ask(gateway)
            wait_for(lambda: len([trace for trace in traces(tmp_path) if trace.kind == "request"]) == 5)
        assert len([trace for trace in traces(tmp_path) if trace.kind != "request"]) <= 1
        assert len(provider.requests) <= 2


def test_off_by_default(tmp_path: Path) -> None:
    with (
        Scripted(answering(plain())) as provider,
        serve_in_thread(settings(tmp_path, {"main": upstream(provider.base_url)})) as gateway,
    ):
        for _ in range(2):
            status, headers, _ = split(raw(gateway.url, post(BODY)))
            assert status == 200 and "x-freehold-cache" not in headers
        assert len(provider.requests) == 2
        assert not (tmp_path / "cache").exists()


def test_keys_never_share_and_hits_use_no_tokens(tmp_path: Path) -> None:
    usage = b'{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":10,"total_tokens":20}}'
    with Scripted(answering(plain(usage))) as provider:
        made = cached(tmp_path, provider.base_url)
        desk = KeyDesk(made, ControlStore.open(made.control_url), "command")
        limited = desk.create(KeyFields(name="limited", tokens_per_minute=100)).text
        other = desk.create(KeyFields(name="other")).text
        body = b'{"model":"m","max_tokens":10,"messages":[]}'
        with serve_in_thread(made) as gateway:

            def outcome(key: str, headers: str = "") -> str:
                given = post(body, headers=f"authorization: Bearer {key}\r\n{headers}")
                status, found, _ = split(raw(gateway.url, given))
                settle(gateway)
                return found["x-freehold-cache"] if status == 200 else str(status)

            assert [outcome(limited) for _ in range(20)] == ["miss"] + ["hit"] * 19
            assert [outcome(other) for _ in range(2)] == ["miss", "hit"]
            asked_anew = [outcome(limited, "cache-control: no-store\r\n") for _ in range(12)]
            assert asked_anew[0] == "bypass" and "429" in asked_anew
            assert outcome("fh-unknown") == "401"
        assert len({trace.key for trace in traces(tmp_path) if trace.cached}) == 2


@pytest.mark.parametrize("stream", [False, True])
def test_translated_answers_are_given_again_as_the_caller_got_them(tmp_path: Path, stream: bool) -> None:
    whole = answering(plain())
    events = answering(SSE_HEAD, *(chunk(event) for event in EVENTS), b"0\r\n\r\n")
    with (
        Scripted(events if stream else whole) as provider,
        serve_in_thread(cached(tmp_path, provider.base_url)) as gateway,
    ):
        client = anthropic.Anthropic(base_url=gateway.url, api_key="sk", max_retries=0)
        heads: list[str | None] = []
        said: list[str] = []
        for _ in range(2):
            asked = client.messages.with_raw_response.create(
                model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}], stream=stream
            )
            heads.append(asked.headers.get("x-freehold-cache"))
            said.append(asked.http_response.read().decode())
            settle(gateway)
        assert heads == ["miss", "hit"]
        assert said[0] == said[1]
        assert ("message_stop" in said[0]) == stream and '"end_turn"' in said[0]
        assert len(provider.requests) == 1
