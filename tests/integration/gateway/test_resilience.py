"""What callers see of rests, deployments and fallbacks with other models, through the gateway."""

from __future__ import annotations

import time
from pathlib import Path

from gateway_fixtures import (
    EVENTS,
    JSON_ANSWER,
    SSE_HEAD,
    Scripted,
    answering,
    chunk,
    plain,
    post,
    raw,
    settings,
    split,
    traces,
    upstream,
)
from waiting import wait_for

from freehold.config import DeploymentSettings, FallbackSettings
from freehold.gateway import serve_in_thread

BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'


def ask(url: str, body: bytes = BODY) -> tuple[int, dict[str, str], bytes]:
    return split(raw(url, post(body)))


def test_an_upstream_that_rests_is_said_and_when_to_come_back(tmp_path: Path) -> None:
    with serve_in_thread(settings(tmp_path, {"main": upstream("http://127.0.0.1:9/v1", ["m"])})) as gateway:
        for _ in range(5):
            assert ask(gateway.url)[0] == 502
        began = time.monotonic()
        status, headers, body = ask(gateway.url)
        assert status == 503 and b"upstream_resting" in body and b"'main'" in body
        assert 1 <= int(headers["retry-after"]) <= 5 and time.monotonic() - began < 0.5
        assert b"rests" in raw(gateway.url, b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        wait_for(lambda: len(traces(tmp_path)) == 6)
        assert traces(tmp_path)[-1].error is not None and traces(tmp_path)[-1].status == 503


def test_a_fallback_with_another_model_is_named_and_is_no_evidence(tmp_path: Path) -> None:
    with (
        Scripted(answering(plain(b"{}", "503 Service Unavailable"))) as broken,
        Scripted(answering(plain())) as good,
        serve_in_thread(
            settings(
                tmp_path,
                {
                    "first": upstream(broken.base_url, ["m"], fallbacks=(FallbackSettings("other", "llama-3.3-70b"),)),
                    "other": upstream(good.base_url, ["o"]),
                },
            )
        ) as gateway,
    ):
        status, headers, body = ask(gateway.url)
        assert (status, body, headers["x-freehold-answered-by"]) == (200, JSON_ANSWER, "other/llama-3.3-70b")
        assert good.requests[0].body == BODY.replace(b'"m"', b'"llama-3.3-70b"')
        wait_for(lambda: traces(tmp_path))
        (trace,) = traces(tmp_path)
        assert (trace.model, trace.reason, trace.request) == ("m", "fallback", BODY)
        assert trace.attempts == ("first: 503", "other: 200")


def test_deployments_share_the_load_and_one_that_breaks_is_passed_over(tmp_path: Path) -> None:
    stream = answering(SSE_HEAD + chunk(EVENTS[0]), *(chunk(event) for event in EVENTS[1:]), b"0\r\n\r\n", pause=0.01)
    with (
        Scripted(answering(plain(b"{}", "500 Internal Server Error"))) as broken,
        Scripted(stream) as one,
        Scripted(stream) as two,
    ):
        places = (
            DeploymentSettings(broken.base_url),
            DeploymentSettings(one.base_url),
            DeploymentSettings(two.base_url, weight=2),
        )
        made = upstream(broken.base_url, ["m"], deployments=places, retries=1)
        with serve_in_thread(settings(tmp_path, {"main": made})) as gateway:
            for _ in range(12):
                status, headers, body = ask(gateway.url, BODY[:-1] + b',"stream":true}')
                assert (status, body, headers["x-freehold-answered-by"]) == (200, b"".join(EVENTS), "main/m")
    assert len(broken.requests) == 3 and len(one.requests) + len(two.requests) == 12
    assert len(two.requests) > len(one.requests)
