"""Spans sent to the gateway over OTLP: by hand, by OpenTelemetry's own exporters, and by those who mean no good."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import import_examples as examples
import otlp_examples as otlp
import pytest
from gateway_fixtures import JSON_ANSWER, Scripted, answering, plain, settings, traces, upstream
from waiting import wait_for

from freehold.config import Settings
from freehold.gateway import serve_in_thread
from freehold.record.answers import read_answer
from freehold.record.derive import Deriver
from freehold.store import Store
from freehold.store.traces.read import read_traces

WHOLE = otlp.span_document(otlp.GEN_AI | otlp.GEN_AI_MESSAGES)
JSON = {"content-type": "application/json"}
CLIENT = """
import sys
from openai import OpenAI
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
gateway, provider, which = sys.argv[1:]
tracing, logging = TracerProvider(), LoggerProvider()
spans = OTLPSpanExporter(f"{gateway}/otlp/v1/traces", compression=Compression.Gzip)
tracing.add_span_processor(BatchSpanProcessor(spans))
logging.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(f"{gateway}/otlp/v1/logs")))
if which == "openinference":
    from openinference.instrumentation.openai import OpenAIInstrumentor
    OpenAIInstrumentor().instrument(tracer_provider=tracing)
else:
    from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor
    OpenAIInstrumentor().instrument(tracer_provider=tracing, logger_provider=logging)
client = OpenAI(base_url=provider, api_key="not-for-us")
messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Say hi."}]
answer = client.chat.completions.create(model="m", messages=messages, temperature=0.5)
tracing.force_flush(), logging.force_flush()
print(answer.choices[0].message.content)
"""


def send(
    url: str, body: bytes, path: str = "/otlp/v1/traces", headers: dict[str, str] = JSON
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
    try:
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


def alone(data: Path, **gateway: Any) -> Settings:
    return settings(data, {"main": upstream("http://127.0.0.1:9/v1")}, **gateway)


def encoded(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode()


def test_a_span_with_its_messages_is_a_trace_and_sent_again_still_one(tmp_path: Path) -> None:
    with serve_in_thread(alone(tmp_path)) as gateway:
        packed = gzip.compress(encoded(WHOLE))
        assert send(gateway.url, encoded(WHOLE))[::2] == (200, b"{}")
        assert send(gateway.url, packed, headers=JSON | {"content-encoding": "gzip"})[0] == 200
        assert send(gateway.url, encoded(WHOLE), headers=JSON | {"x-freehold-record": "off"})[0] == 200
        page = http.client.HTTPConnection(gateway.url.removeprefix("http://"))
        page.request("GET", "/metrics")
        assert b'freehold_otlp_items_total{signal="traces",outcome="recorded"} 2' in page.getresponse().read()
        page.close()
    store = Store.open(tmp_path, f"sqlite:///{tmp_path / 'control.sqlite'}")
    found = read_traces(store, derive=Deriver({}))
    store.close()
    assert found.height == 1
    row = found.row(0, named=True)
    assert (row["source"], row["reason"], row["answer"]) == ("otlp", "imported", "delivery")
    assert (row["agent"], row["episode"], row["model"]) == ("sorter", examples.TRACE, "gpt-4o")
    assert row["task"].startswith("task_")


@pytest.mark.parametrize("first", ["logs", "traces"])
def test_messages_in_log_records_join_their_span_in_either_order(tmp_path: Path, first: str) -> None:
    documents = {
        "traces": encoded(otlp.span_document(otlp.GEN_AI)),
        "logs": encoded(otlp.logs_document(otlp.GEN_AI_RECORDS)),
    }
    with serve_in_thread(alone(tmp_path)) as gateway:
        for signal in (first, "logs" if first == "traces" else "traces"):
            assert traces(tmp_path) == []
            assert send(gateway.url, documents[signal], f"/otlp/v1/{signal}")[::2] == (200, b"{}")
        (trace,) = traces(tmp_path)
    assert read_answer(trace.response, stream=False).text == "delivery"
    assert json.loads(trace.request)["messages"] == examples.TURNS


def test_what_cannot_be_taken_is_counted_and_the_rest_is_kept(tmp_path: Path) -> None:
    broken = otlp.span_document(otlp.GEN_AI)
    broken["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"] = "none"
    empty = otlp.span_document({"openinference.span.kind": "LLM"}, span_id="aaaaaaaaaaaaaaaa")
    document = {"resourceSpans": [*broken["resourceSpans"], *empty["resourceSpans"], *WHOLE["resourceSpans"]]}
    with serve_in_thread(alone(tmp_path)) as gateway:
        status, _, body = send(gateway.url, encoded(document))
        assert status == 200
        partial = json.loads(body)["partialSuccess"]
        assert (partial["rejectedSpans"], partial["errorMessage"]) == ("2", "A span has no valid trace id or span id.")
        assert len(traces(tmp_path)) == 1
        protobuf = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
        request = protobuf.ExportTraceServiceRequest()
        request.resource_spans.add().scope_spans.add().spans.add(name="x")
        kind = {"content-type": "application/x-protobuf"}
        status, headers, body = send(gateway.url, request.SerializeToString(), headers=kind)
        answer = protobuf.ExportTraceServiceResponse.FromString(body)
        assert (status, headers["content-type"]) == (200, "application/x-protobuf")
        assert answer.partial_success.rejected_spans == 1
        assert "trace id" in answer.partial_success.error_message


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", JSON, 400),
        (b"[]", JSON, 400),
        (b"[" * 100_000, JSON, 400),
        (encoded(WHOLE), {"content-type": "text/plain"}, 400),
        (b"\xff\xff\xff", {"content-type": "application/x-protobuf"}, 400),
        (encoded(WHOLE), JSON | {"content-encoding": "br"}, 400),
        (encoded(WHOLE), JSON | {"content-encoding": "gzip"}, 400),
        (gzip.compress(encoded(WHOLE))[:-9], JSON | {"content-encoding": "gzip"}, 400),
        (gzip.compress(b" " * 30_000_000), JSON | {"content-encoding": "gzip"}, 413),
        (b" " * 20_000_001, JSON, 413),
    ],
)
def test_bad_bodies_are_refused_for_good(tmp_path: Path, body: bytes, headers: dict[str, str], status: int) -> None:
    with serve_in_thread(alone(tmp_path)) as gateway:
        found, _, said = send(gateway.url, body, headers=headers)
        assert (found, bool(said)) == (status, True)
        assert send(gateway.url, encoded(WHOLE))[0] == 200


def test_only_callers_with_a_key_may_send(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN", "the-own-key")
    with serve_in_thread(alone(tmp_path, api_key_env="OWN")) as gateway:
        assert send(gateway.url, encoded(WHOLE))[0] == 401
        assert send(gateway.url, encoded(WHOLE), headers=JSON | {"authorization": "Bearer wrong"})[0] == 401
        assert traces(tmp_path) == []
        assert send(gateway.url, encoded(WHOLE), headers=JSON | {"authorization": "Bearer the-own-key"})[0] == 200


def test_what_cannot_be_kept_is_to_be_sent_again(tmp_path: Path) -> None:
    with serve_in_thread(alone(tmp_path)) as gateway:
        (tmp_path / "otlp").write_text("in the way")
        status, headers, _ = send(gateway.url, encoded(otlp.span_document(otlp.GEN_AI)))
        assert (status, headers["retry-after"]) == (503, "5")
        (tmp_path / "otlp").unlink()
        assert send(gateway.url, encoded(otlp.span_document(otlp.GEN_AI)))[0] == 200


def test_spans_that_waited_when_the_gateway_stopped_are_recorded_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from freehold.record.importing import ingest

    with serve_in_thread(alone(tmp_path)) as gateway:
        assert send(gateway.url, encoded(otlp.span_document(otlp.GEN_AI)))[0] == 200
    assert traces(tmp_path) == []
    monkeypatch.setattr(ingest, "WAIT_SECONDS", 0.0)
    with serve_in_thread(alone(tmp_path)):
        wait_for(lambda: traces(tmp_path))
    (trace,) = traces(tmp_path)
    assert Deriver({})(trace).input_tokens == 21


@pytest.mark.parametrize("which", ["openai-v2", "openinference"])
def test_real_instrumentations_and_exporters(tmp_path: Path, which: str) -> None:
    pytest.importorskip("opentelemetry.instrumentation.openai_v2")
    pytest.importorskip("openinference.instrumentation.openai")
    with Scripted(answering(plain(JSON_ANSWER))) as provider, serve_in_thread(alone(tmp_path)) as gateway:
        env = {**os.environ, "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true"}
        line = [sys.executable, "-c", CLIENT, gateway.url, provider.base_url, which]
        done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False, env=env)
        assert (done.returncode, done.stdout.strip()) == (0, "café é"), done.stderr
        wait_for(lambda: traces(tmp_path))
        (trace,) = traces(tmp_path)
    request = json.loads(trace.request)
    assert request["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Say hi."},
    ]
    assert (request["temperature"], trace.model, trace.source) == (0.5, "m", "otlp")
    assert read_answer(trace.response, stream=False).text == "café é"
    assert b"not-for-us" not in trace.request + trace.response
