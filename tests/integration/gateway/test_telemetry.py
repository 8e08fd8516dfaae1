"""Spans, trace context, counted tokens and access lines of real requests, seen from outside."""

import http.client
import json
from collections.abc import Callable
from pathlib import Path

import msgspec
from gateway_fixtures import (
    EVENTS,
    SSE_HEAD,
    Request,
    Scripted,
    answering,
    chunk,
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
from gateway_process import GatewayProcess
from otlp_receiver import Receiver, attributes_of
from prometheus_client.parser import text_string_to_metric_families
from waiting import wait_for

from freehold.config import Price, Settings, TelemetrySettings
from freehold.gateway import serve_in_thread

PROMPT = "SECRET prompt"
BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": PROMPT}]}).encode()
ANSWER = json.dumps(
    {
        "model": "m-2",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "SECRET answer"}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 10, "prompt_tokens_details": {"cached_tokens": 400}},
    }
).encode()
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def chosen(data: Path, base_url: str, telemetry: TelemetrySettings, **more: object) -> Settings:
    made = settings(data, {"main": upstream(base_url, (), **more)})
    return msgspec.structs.replace(made, telemetry=telemetry)


def test_a_span_is_the_upstreams_parent_and_the_journal_knows_it(tmp_path: Path) -> None:
    failing = in_turn(answering(plain(b"{}", "503 Service Unavailable")), answering(plain(ANSWER)))
    with Scripted(failing) as provider, Receiver() as receiver:
        telemetry = TelemetrySettings(otlp_endpoint=receiver.endpoint)
        with serve_in_thread(chosen(tmp_path, provider.base_url, telemetry, retries=1)) as gateway:
            headers = f"traceparent: {PARENT}\r\ntracestate: congo=t61rcWkgMzE\r\n"
            assert split(raw(gateway.url, post(BODY, headers=headers)))[0] == 200
            assert split(raw(gateway.url, post(BODY, headers="x-freehold-record: off\r\n")))[0] == 200
        whole, first, second, unrecorded = receiver.wait_for(4)
    sent = [request.headers["traceparent"] for request in provider.requests]
    assert sent[0] == sent[1] == f"00-{PARENT[3:35]}-{whole.span_id.hex()}-01"
    assert provider.requests[0].headers["tracestate"] == "congo=t61rcWkgMzE"
    assert whole.parent_span_id.hex() == PARENT[36:52] and whole.trace_id.hex() == PARENT[3:35]
    assert first.parent_span_id == second.parent_span_id == whole.span_id
    assert attributes_of(first)["error.type"] == "503" and first.end_time_unix_nano <= second.end_time_unix_nano
    assert attributes_of(whole)["gen_ai.usage.input_tokens"] == 1000
    [trace] = traces(tmp_path)
    assert trace.traceparent == f"{PARENT[3:35]}-{whole.span_id.hex()}"
    assert attributes_of(whole)["freehold.trace_id"] == trace.trace_id
    assert "SECRET" not in str([whole, first, second, unrecorded])
    assert sent[2] == f"00-{unrecorded.trace_id.hex()}-{unrecorded.span_id.hex()}-01"
    assert attributes_of(unrecorded)["freehold.trace_id"] == f"tr_{unrecorded.trace_id.hex()[4:]}"


def test_without_spans_trace_context_passes_untouched(tmp_path: Path) -> None:
    odd = "00-what-we-do-not-understand"
    with (
        Scripted(answering(plain(ANSWER))) as provider,
        serve_in_thread(chosen(tmp_path, provider.base_url, TelemetrySettings())) as gateway,
    ):
        raw(gateway.url, post(BODY, headers=f"traceparent: {odd}\r\ntracestate: A B\r\n"))
        raw(gateway.url, post(BODY))
        assert not gateway.runtime.telemetry.spans
    assert [request.headers.get("traceparent") for request in provider.requests] == [odd, None]
    assert provider.requests[0].headers["tracestate"] == "A B"
    assert all(trace.traceparent is None for trace in traces(tmp_path))


def test_a_collector_that_is_gone_holds_up_nobody(tmp_path: Path) -> None:
    telemetry = TelemetrySettings(otlp_endpoint="http://127.0.0.1:9/v1/traces")
    with Scripted(answering(plain(ANSWER))) as provider:
        with serve_in_thread(chosen(tmp_path, provider.base_url, telemetry)) as gateway:
            for _ in range(20):
                assert split(raw(gateway.url, post(BODY)))[0] == 200
        assert len(traces(tmp_path)) == 20


def test_tokens_dollars_and_what_is_under_way_are_on_the_page(tmp_path: Path) -> None:
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\n'
    stream = [SSE_HEAD, *map(chunk, EVENTS[:-1]), chunk(usage), chunk(EVENTS[-1]), b"0\r\n\r\n"]
    script = in_turn(answering(plain(ANSWER)), answering(*stream), answering(SSE_HEAD, chunk(EVENTS[0]), pause=1.0))
    prices = {"m": Price(input=2.0, output=8.0, cached_input=1.0)}
    with (
        Scripted(script) as provider,
        serve_in_thread(chosen(tmp_path, provider.base_url, TelemetrySettings(), prices=prices)) as gateway,
    ):

        def value(name: str, **labels: str) -> float:
            response = raw(gateway.url, b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            return sum(
                sample.value
                for family in text_string_to_metric_families(split(response)[2].decode())
                for sample in family.samples
                if sample.name == f"freehold_{name}" and labels.items() <= sample.labels.items()
            )

        raw(gateway.url, post(BODY))
        streamed = BODY.replace(b'"model"', b'"stream":true,"model"')
        raw(gateway.url, post(streamed))
        assert value("tokens_total", kind="input", model="m", upstream="main") == 1007
        assert value("tokens_total", kind="cached") == 400 and value("tokens_total", kind="output") == 12
        assert abs(value("dollars_total") - (600 * 2 + 400 * 1 + 10 * 8 + 7 * 2 + 2 * 8) / 1e6) < 1e-12
        assert value("first_byte_seconds_count") == 1 and value("request_seconds_count") == 2
        assert value("upstream_attempts_total", outcome="200") == 2 and value("records_total") == 2
        host, _, port = gateway.url.removeprefix("http://").partition(":")
        open_ = http.client.HTTPConnection(host, int(port), timeout=10)
        open_.request("POST", "/v1/chat/completions", streamed, {"content-type": "application/json"})
        open_.getresponse()
        assert value("streams_open") == value("requests_in_flight") == 1 and value("connections_open") == 2
        assert value("upstream_in_flight", upstream="main") == 1
        open_.close()
        wait_for(lambda: value("streams_open") == value("requests_in_flight") == 0)
        assert value("errors_total") >= 1


def test_access_lines_cannot_be_forged_and_tell_no_secret(tmp_path: Path) -> None:
    async def echo(request: Request, writer: object) -> None:
        await (answering(plain(ANSWER)) if b"dead" not in request.body else hang_up)(request, writer)  # type: ignore[arg-type]

    with Scripted(echo) as provider:
        (tmp_path / "freehold.toml").write_text(
            'data_dir = "data"\n[gateway]\nport = 0\napi_key_env = "OWN_KEY"\n'
            f'[telemetry]\nlog = "requests"\n[upstreams.main]\nbase_url = "{provider.base_url}"\nretries = 0\n'
        )
        with GatewayProcess(tmp_path, env={"OWN_KEY": "SECRET-key"}) as gateway:
            forged = 'm\n{"event":"request","status":200,"forged":true}\r\n\x1b[2K\x1b[1A\u2028\u202e'
            body = {"model": forged, "messages": [{"role": "user", "content": PROMPT}]}
            key = "authorization: Bearer SECRET-key\r\nuser-agent: \x9b31m\r\n"
            raw(gateway.url, post(BODY, headers=key + "x-freehold-task: a\x9b31mb\r\n"))
            for path, sent in (
                ("/v1/chat/completions?api_key=SECRET", body),
                ("/v1/%0a%1b[31m%7b%22forged%22:true%7d?key=SECRET", body),
                ("/v1/chat/completions", body | {"model": forged + "dead"}),
                ("/v1/chat/completions", {"model": forged}),
            ):
                raw(gateway.url, post(json.dumps(sent).encode(), path, key))
            raw(gateway.url, post(b"{}", headers="authorization: Bearer SECRET-other\r\n"))
            raw(gateway.url, b"GET /\x1b[31m HTTP/1.1\r\n\x1b: SECRET\r\n\r\n")
            wait_for(lambda: gateway.log.read_text().count('"event": "request"') >= 5)
    text = gateway.log.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert all(line.isprintable() for line in text.splitlines()) and "SECRET" not in text
    assert not any("forged" in line for line in lines)
    requests = [line for line in lines if line["event"] == "request"]
    refused = [line for line in lines if line["event"] == "refused"]
    assert [line["error"] for line in refused] == ["invalid_api_key", "invalid_request"]
    assert len(requests) == 5 and {line["status"] for line in requests} >= {200, 400, 502}
    assert {line["level"] for line in requests if line["status"] == 502} == {"warning"}
    assert all(line["trace_id"].startswith("tr_") for line in requests)


def test_lines_and_spans_begin_and_end_with_the_settings(tmp_path: Path) -> None:
    with Scripted(answering(plain(ANSWER))) as provider, Receiver() as receiver:

        def configured(telemetry: str) -> None:
            new = tmp_path / "new.toml"
            new.write_text(
                'data_dir = "data"\n[gateway]\nport = 0\n'
                f'[upstreams.main]\nbase_url = "{provider.base_url}"\n{telemetry}'
            )
            new.rename(tmp_path / "freehold.toml")

        configured("")
        with GatewayProcess(tmp_path) as gateway:

            def asked_until(condition: Callable[[], object]) -> None:
                def once() -> object:
                    assert split(raw(gateway.url, post(BODY)))[0] == 200
                    return condition()

                wait_for(once, 20)

            asked_until(lambda: len(provider.requests) > 2)
            assert not receiver.spans and '"event": "request"' not in gateway.log.read_text()
            configured(f'[telemetry]\nlog = "requests"\notlp_endpoint = "{receiver.endpoint}"\n')
            asked_until(lambda: receiver.spans and '"event": "request"' in gateway.log.read_text())
            configured("")
            asked_until(lambda: "traceparent" not in provider.requests[-1].headers)
            sent = sum("traceparent" in request.headers for request in provider.requests)
            assert len(receiver.wait_for(sent)) == sent
