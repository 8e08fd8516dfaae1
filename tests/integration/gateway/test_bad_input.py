"""What goes wrong, on either side: the caller gets an OpenAI-shaped error, the trace says why, nothing hangs."""

import asyncio
import json
import socket
from pathlib import Path

import pytest
from gateway_fixtures import (
    EVENTS,
    JSON_ANSWER,
    SSE_HEAD,
    Request,
    Script,
    Scripted,
    answering,
    chunk,
    cut_after,
    hang,
    hang_up,
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

from freehold.domain.errors import ConfigError
from freehold.gateway import Runtime, serve_in_thread

BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
SSE_BODY = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}'


def error_of(response: bytes) -> tuple[int, str]:
    status, headers, body = split(response)
    error = json.loads(body)["error"]
    assert headers["content-type"] == "application/json"
    assert set(error) == {"message", "type", "param", "code"} and error["message"] and error["type"]
    return status, error["code"]


def test_what_a_caller_can_do_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_KEY", "gw-secret")
    monkeypatch.setenv("PROVIDER_KEY", "sk-provider")
    with Scripted(answering(plain())) as provider:
        provider_settings = upstream(provider.base_url, ["m"], api_key_env="PROVIDER_KEY")
        chosen = settings(tmp_path, {"main": provider_settings}, api_key_env="GATEWAY_KEY", max_body_bytes=1000)
        with serve_in_thread(chosen) as gateway:
            key = "authorization: Bearer gw-secret\r\n"
            cases = [
                (post(BODY), 401, "invalid_api_key"),
                (post(BODY, headers="authorization: Bearer gw-secreT\r\n"), 401, "invalid_api_key"),
                (post(b'{"model":', headers="authorization: Bearer x\r\n"), 401, "invalid_api_key"),
                (post(b'{"model":', headers=key), 400, "invalid_request"),
                (post(b"\xff\xfe", headers=key), 400, "invalid_request"),
                (post(b"[" * 900, headers=key), 400, "invalid_request"),
                (post(b'{"messages":[]}', headers=key), 400, "invalid_request"),
                (post(BODY.replace(b'"m"', b'"unknown"'), headers=key), 404, "model_not_found"),
                (post(b"x" * 1001, headers=key), 413, "request_too_large"),
                (
                    post(b"", headers=key).replace(b"content-length: 0", b"transfer-encoding: chunked")
                    + chunk(b"x" * 600) * 2,
                    413,
                    "request_too_large",
                ),
            ]
            for request, status, code in cases:
                assert error_of(raw(gateway.url, request)) == (status, code)
            assert provider.requests == []
            recorded = traces(tmp_path)
            assert [trace.status for trace in recorded] == [400, 400, 400, 400, 404, 413, 413]
            assert all(trace.error for trace in recorded)
            status, _, body = split(raw(gateway.url, post(BODY, headers=key)))
            assert (status, body) == (200, JSON_ANSWER)
            assert provider.requests[0].headers["authorization"] == "Bearer sk-provider"
            assert not any(b"secret" in trace.request + trace.response for trace in traces(tmp_path))


def test_a_key_that_is_not_set_is_said_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(ConfigError, match="NO_SUCH_KEY"):
        Runtime(settings(tmp_path, {"main": upstream("http://127.0.0.1:9/v1")}, api_key_env="NO_SUCH_KEY"))


GARBAGE = b"SSH-2.0-OpenSSH_9.2p1\r\nthis is not HTTP\r\n\r\n"
HUGE_HEADERS = b"HTTP/1.1 200 OK\r\n" + b"x-a: %s\r\n" % (b"a" * 1000) * 80 + b"content-length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("script", "status", "code"),
    [
        (hang, 504, "upstream_timeout"),
        (hang_up, 502, "upstream_protocol_error"),
        (answering(GARBAGE), 502, "upstream_protocol_error"),
        (answering(HUGE_HEADERS), 502, "upstream_protocol_error"),
        (
            answering(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
            502,
            "upstream_protocol_error",
        ),
    ],
)
def test_an_upstream_that_does_not_begin_an_answer(tmp_path: Path, script: Script, status: int, code: str) -> None:
    with (
        Scripted(script) as provider,
        serve_in_thread(settings(tmp_path, {"main": upstream(provider.base_url)})) as gateway,
    ):
        assert error_of(raw(gateway.url, post(BODY))) == (status, code)
        (trace,) = traces(tmp_path)
        assert trace.status == status and trace.error is not None and trace.error.startswith(code)
        assert json.loads(trace.response)["error"]["code"] == code


def hang_after(data: bytes) -> Script:
    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        await asyncio.sleep(3600)

    return script


HALF_JSON = plain()[:-20]
HALF_SSE = SSE_HEAD + chunk(EVENTS[0]) + chunk(EVENTS[1][:40])


@pytest.mark.parametrize(
    ("script", "request_body", "came", "code"),
    [
        (cut_after(HALF_JSON), BODY, JSON_ANSWER[:-20], "upstream_protocol_error"),
        (cut_after(HALF_SSE), SSE_BODY, EVENTS[0] + EVENTS[1][:40] + b"<cut>", "upstream_protocol_error"),
        (hang_after(HALF_SSE), SSE_BODY, EVENTS[0] + EVENTS[1][:40] + b"<cut>", "upstream_timeout"),
        (
            cut_after(SSE_HEAD + chunk(EVENTS[0]) + b"zz\r\ngarbage"),
            SSE_BODY,
            EVENTS[0] + b"<cut>",
            "upstream_protocol_error",
        ),
    ],
)
def test_an_upstream_that_breaks_off_is_cut_for_the_caller_too(
    tmp_path: Path, script: Script, request_body: bytes, came: bytes, code: str
) -> None:
    with (
        Scripted(script) as provider,
        serve_in_thread(settings(tmp_path, {"main": upstream(provider.base_url)})) as gateway,
    ):
        status, headers, body = split(raw(gateway.url, post(request_body)))
        assert status == 200
        assert body == came
        assert "content-length" not in headers or int(headers["content-length"]) > len(body)
        wait_for(lambda: traces(tmp_path))
        (trace,) = traces(tmp_path)
        assert trace.response == came.removesuffix(b"<cut>")
        assert trace.error is not None and trace.error.startswith(code)


def test_half_an_event_before_a_clean_end_is_passed_on_and_noted(tmp_path: Path) -> None:
    script = answering(SSE_HEAD, chunk(EVENTS[0]), chunk(EVENTS[1][:40]), b"0\r\n\r\n")
    with (
        Scripted(script) as provider,
        serve_in_thread(settings(tmp_path, {"main": upstream(provider.base_url)})) as gateway,
    ):
        assert split(raw(gateway.url, post(SSE_BODY)))[2] == EVENTS[0] + EVENTS[1][:40]
        (trace,) = traces(tmp_path)
        assert trace.error is not None and "within an event" in trace.error


def test_a_caller_who_leaves_frees_the_upstream(tmp_path: Path) -> None:
    async def endless(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(SSE_HEAD)
        while True:
            writer.write(chunk(EVENTS[1]))
            await writer.drain()
            await asyncio.sleep(0.02)

    for script, body in ((endless, SSE_BODY), (hang, BODY)):
        data = tmp_path / body.hex()[:40]
        with (
            Scripted(script) as provider,
            serve_in_thread(settings(data, {"main": upstream(provider.base_url, first_byte_timeout=60.0)})) as gateway,
        ):
            host, _, port = gateway.url.removeprefix("http://").partition(":")
            with socket.create_connection((host, int(port))) as connection:
                connection.sendall(post(body))
                if script is endless:
                    assert connection.recv(100)
                else:
                    wait_for(lambda provider=provider: provider.requests)
            assert provider.gone.wait(5), "the upstream was left talking to nobody"
            wait_for(lambda data=data: traces(data))
            (trace,) = traces(data)
            assert trace.error is not None and trace.error.startswith("client_closed")
            assert trace.status == (200 if script is endless else 0)


def test_a_slow_caller_slows_the_upstream(tmp_path: Path) -> None:
    total = 64 * 1024 * 1024
    sent = 0

    async def fast(request: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {total}\r\n\r\n".encode())
        while sent < total:
            writer.write(b"x" * 65536)
            sent += 65536
            await writer.drain()

    with (
        Scripted(fast) as provider,
        serve_in_thread(settings(tmp_path, {"main": upstream(provider.base_url, idle_timeout=0.4)})) as gateway,
    ):
        host, _, port = gateway.url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(post(BODY))
            before = -1
            while before != sent:  # until everything between the two ends is full
                before = sent
                asyncio.run(asyncio.sleep(0.5))
            assert 0 < sent < total / 2
            received = 0
            while part := connection.recv(1 << 20):
                received += len(part)
            assert received > total
        (trace,) = traces(tmp_path)
        assert trace.error is None


def test_a_full_disk_sheds_records_not_traffic(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("a file where the journal's folder should be")
    with (
        Scripted(in_turn(answering(plain()))) as provider,
        serve_in_thread(settings(tmp_path, {"main": upstream(provider.base_url)})) as gateway,
    ):
        assert split(raw(gateway.url, post(BODY)))[2] == JSON_ANSWER
        ready = split(raw(gateway.url, b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
        assert ready[0] == 200 and b"Recording is shed" in ready[2]
        status, code = error_of(raw(gateway.url, post(b'{"trace_id":"tr_0123456789ab","score":1}', "/v1/feedback")))
        assert status == 503 and code in ("store_error", "store_full")
