"""What passes through is unchanged, recorded, and says who answered it."""

import json
from pathlib import Path

import openai
import pytest
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
    records,
    settings,
    split,
    traces,
    upstream,
)
from prometheus_client.parser import text_string_to_metric_families
from waiting import wait_for

from freehold.domain.traces import Feedback
from freehold.gateway import serve_in_thread
from freehold.gateway.http.asgi import Receive, Scope, Send

BODY = b'{ "model":"m", "messages":[{"role":"user","content":"hi \xc3\xa9"}],"temperature" : 0.10, "zzz":null}'
SSE_BODY = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}'


def test_plain_bytes_are_equal_both_ways_and_recorded(tmp_path: Path) -> None:
    answer = plain(headers="X-Request-Id: abc\r\nkeep-alive: timeout=5\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n")
    with (
        Scripted(answering(answer)) as provider,
        serve_in_thread(settings(tmp_path, {"main": upstream(provider.base_url)})) as gateway,
    ):
        asked = "authorization: Bearer sk-caller\r\nx-custom: 1\r\nx-freehold-task: triage\r\nTE: trailers\r\n"
        status, headers, body = split(raw(gateway.url, post(BODY, headers=asked)))
        assert (status, body) == (200, JSON_ANSWER)
        assert headers["x-request-id"] == "abc" and "keep-alive" not in headers
        request = provider.requests[0]
        assert request.body == BODY
        assert request.line == "POST /v1/chat/completions HTTP/1.1"
        assert request.headers["authorization"] == "Bearer sk-caller"
        assert request.headers["x-custom"] == "1"
        assert request.headers["host"] == provider.base_url.split("/")[2]
        assert request.headers["accept-encoding"] == "identity"
        assert not [name for name in request.headers if name.startswith("x-freehold") or name == "te"]
        (trace,) = traces(tmp_path)
        assert (trace.request, trace.response, trace.status, trace.error) == (BODY, JSON_ANSWER, 200, None)
        assert (trace.model, trace.answered_by, trace.task_name) == ("m", "main/m", "triage")
        assert (trace.reason, trace.owned, trace.policy) == ("no-rung", False, 0)
        assert headers["x-freehold-trace"] == trace.trace_id
        assert headers["x-freehold-task"] == "triage"
        assert headers["x-freehold-answered-by"] == "main/m"
        assert headers["x-freehold-policy"] == "0"
        assert "x-freehold-certificate" not in headers
        assert 0 < trace.first_byte_us <= trace.duration_us


def test_events_come_one_by_one_unchanged_and_are_recorded_before_the_end(tmp_path: Path) -> None:
    script = answering(SSE_HEAD, *(chunk(event) for event in EVENTS), b"0\r\n\r\n", pause=0.1)
    with (
        Scripted(script) as provider,
        serve_in_thread(settings(tmp_path, {"main": upstream(provider.base_url)})) as gateway,
    ):
        status, headers, body = split(raw(gateway.url, post(SSE_BODY)))
        assert (status, body) == (200, b"".join(EVENTS))
        assert headers["content-type"] == "text/event-stream"
        client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="sk", max_retries=0)
        stream = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}], stream=True)
        content = ""
        for piece in stream:
            content += piece.choices[0].delta.content or ""
            assert len(traces(tmp_path)) == 1, "an event waited for the end"
        assert content == "hello"
        assert [trace.response for trace in traces(tmp_path)] == [b"".join(EVENTS)] * 2
        assert [trace.error for trace in traces(tmp_path)] == [None, None]
        assert all(trace.stream for trace in traces(tmp_path))


def test_openai_sdk_and_upstream_errors_pass_unchanged(tmp_path: Path) -> None:
    refusal = b'{"error":{"message":"no such thing","type":"invalid_request_error","code":"teapot","param":null}}'
    with (
        Scripted(answering(plain(refusal, "400 Bad Request"))) as provider,
        serve_in_thread(settings(tmp_path, {"main": upstream(provider.base_url)})) as gateway,
    ):
        client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="sk", max_retries=0)
        with pytest.raises(openai.BadRequestError) as refused:
            client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
        assert refused.value.response.content == refusal
        # What our own schema does not know, the upstream shall judge.
        odd = b'{"model":"m","messages":"not a list"}'
        assert split(raw(gateway.url, post(odd)))[2] == refusal
        assert provider.requests[-1].body == odd
        assert [(trace.status, trace.reason) for trace in traces(tmp_path)] == [(400, "no-rung"), (400, "unsupported")]


def test_record_off_leaves_no_trace_and_pin_is_said(tmp_path: Path) -> None:
    with (
        Scripted(answering(plain())) as provider,
        serve_in_thread(settings(tmp_path, {"main": upstream(provider.base_url)})) as gateway,
    ):
        status, headers, body = split(raw(gateway.url, post(BODY, headers="x-freehold-record: off\r\n")))
        assert (status, body) == (200, JSON_ANSWER)
        assert "x-freehold-trace" not in headers
        assert traces(tmp_path) == []
        pinned = "x-freehold-pin: incumbent\r\nx-freehold-episode: run-7\r\n"
        assert split(raw(gateway.url, post(BODY, headers=pinned)))[0] == 200
        (trace,) = traces(tmp_path)
        assert (trace.reason, trace.episode) == ("pinned", "run-7")
        status, _, body = split(raw(gateway.url, post(BODY, headers="x-freehold-record: maybe\r\n")))
        assert (status, json.loads(body)["error"]["code"]) == (400, "invalid_request")
        assert len(provider.requests) == 2


def test_long_answers_are_passed_whole_and_recorded_in_part(tmp_path: Path) -> None:
    long = b"[" + b"1234567," * 300_000 + b"0]"
    with (
        Scripted(answering(plain(long))) as provider,
        serve_in_thread(
            settings(tmp_path, {"main": upstream(provider.base_url)}, max_recorded_response_bytes=1000)
        ) as gateway,
    ):
        assert split(raw(gateway.url, post(BODY)))[2] == long
        (trace,) = traces(tmp_path)
        assert trace.response == long[:1000] and trace.truncated


def test_other_paths_pass_and_are_no_task(tmp_path: Path) -> None:
    with (
        Scripted(answering(plain(b"[1]"))) as one,
        Scripted(answering(plain(b"[2]"))) as two,
        serve_in_thread(
            settings(tmp_path, {"one": upstream(one.base_url), "two": upstream(two.base_url, ["emb-*"])})
        ) as gateway,
    ):
        sent = b'{"model":"emb-3","input":"x"}'
        assert split(raw(gateway.url, post(sent, "/v1/embeddings?a=b")))[2] == b"[2]"
        assert (two.requests[0].line, two.requests[0].body) == ("POST /v1/embeddings?a=b HTTP/1.1", sent)
        assert split(raw(gateway.url, post(b"\x00binary", "/v1/files")))[2] == b"[1]"
        first, second = traces(tmp_path)
        assert (first.reason, first.task, first.answered_by) == ("passthrough", "", "two/emb-3")
        assert (second.reason, second.answered_by) == ("passthrough", "one/")
        for path in ("/v1/../admin", "/v1/%2e%2e/admin"):
            assert split(raw(gateway.url, post(b"{}", path)))[0] == 404
        assert (len(one.requests), len(two.requests)) == (1, 1)


def test_feedback_is_kept_and_checked(tmp_path: Path) -> None:
    with (
        Scripted(answering(plain())) as provider,
        serve_in_thread(settings(tmp_path, {"main": upstream(provider.base_url)})) as gateway,
    ):
        trace_id = split(raw(gateway.url, post(BODY)))[1]["x-freehold-trace"]
        good = json.dumps({"trace_id": trace_id, "score": 0.5, "label": "late", "comment": "é"}).encode()
        status, _, body = split(raw(gateway.url, post(good, "/v1/feedback")))
        assert (status, json.loads(body)["trace_id"]) == (200, trace_id)
        bad = [
            {"trace_id": trace_id},
            {"trace_id": "../etc", "score": 1},
            {"trace_id": trace_id, "score": 1.5},
            {"trace_id": trace_id, "scroe": 1},
            [],
        ]
        for document in bad:
            status, _, body = split(raw(gateway.url, post(json.dumps(document).encode(), "/v1/feedback")))
            assert status == 400 and json.loads(body)["error"]["message"]
        (kept,) = [record for record in records(tmp_path) if isinstance(record, Feedback)]
        assert (kept.trace_id, kept.score, kept.label, kept.comment) == (trace_id, 0.5, "late", "é")


def test_models_are_merged_and_health_is_told(tmp_path: Path) -> None:
    listing = b'{"object":"list","data":[{"id":"far-1","object":"model","created":7,"owned_by":"them"}]}'
    with (
        Scripted(answering(plain(listing))) as provider,
        serve_in_thread(
            settings(
                tmp_path,
                {
                    "any": upstream(provider.base_url),
                    "named": upstream("http://127.0.0.1:9/v1", ["near-1", "far-*"]),
                },
            )
        ) as gateway,
    ):
        client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="sk", max_retries=0)
        found = {model.id: model.owned_by for model in client.models.list()}
        assert found == {"far-1": "them", "near-1": "named"}

        def get(path: str) -> tuple[int, bytes]:
            response = raw(gateway.url, f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
            return split(response)[0], split(response)[2]

        assert get("/healthz") == (200, b'{"status":"ok"}')
        wait_for(lambda: json.loads(get("/readyz")[1]) == {"ready": True, "policy": 0, "degraded": []})
        raw(gateway.url, post(BODY))
        status, text = get("/metrics")
        assert status == 200
        families = {family.name: family for family in text_string_to_metric_families(text.decode())}
        told = families["freehold_requests"].samples[0]
        assert (told.labels["reason"], told.labels["status"], told.value) == ("no-rung", "200", 1)
        assert [
            sample.value for sample in families["freehold_request_seconds"].samples if sample.labels.get("le") == "+Inf"
        ] == [1]
        status, body = get("/nowhere")
        assert (status, json.loads(body)["error"]["code"]) == (404, "not_found")


def test_other_paths_are_the_dashboards(tmp_path: Path) -> None:
    async def dashboard(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"hi"})

    chosen = settings(tmp_path, {"main": upstream("http://127.0.0.1:9/v1")})
    with serve_in_thread(chosen, fallback=dashboard) as gateway:
        answers = {
            path: split(raw(gateway.url, f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode()))[0]
            for path in ("/", "/tasks/x", "/healthz", "/v1/feedback", "/v1/anything")
        }
        assert answers == {"/": 200, "/tasks/x": 200, "/healthz": 200, "/v1/feedback": 404, "/v1/anything": 502}
