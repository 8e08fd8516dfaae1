"""Spans say what the conventions say, under names that exist, and nothing of what was said unless that is asked for."""

import json
import threading
from typing import Any

import msgspec
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from otlp_receiver import Receiver, attributes_of

from freehold.config import Settings, TelemetrySettings, UpstreamSettings
from freehold.domain import genai as conventions
from freehold.domain.traces import Trace
from freehold.gateway.telemetry import genai
from freehold.gateway.telemetry.metrics import Metrics
from freehold.gateway.telemetry.outbox import Outbox
from freehold.gateway.telemetry.telemetry import Telemetry

PARENT = (b"traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
REQUEST = {
    "model": "gpt-4o",
    "temperature": 0.5,
    "max_completion_tokens": 99,
    "seed": "SECRET seed",
    "stop": ["SECRET stop"],
    "user": "SECRET user",
    "metadata": {"x": "SECRET metadata"},
    "messages": [
        {"role": "system", "content": "SECRET system"},
        {"role": "user", "content": [{"type": "text", "text": "SECRET part"}]},
        {"role": "assistant", "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": '{"a":"SECRET"}'}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "SECRET result"},
    ],
}
ANSWER = {
    "model": "gpt-4o-2024-08-06",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "SECRET answer"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 30, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 20}},
}
TRACE = Trace(
    trace_id="tr_18a3f00dcafe0123456789abcdef",
    at_ns=1_700_000_000_000_000_000,
    duration_us=2_000_000,
    model="gpt-4o",
    answered_by="openai/gpt-4o",
    reason="no-rung",
    task="tk_00000001",
    policy=7,
    status=200,
    episode="run-1",
    request=json.dumps(REQUEST).encode(),
    response=json.dumps(ANSWER).encode(),
)


def telemetry(endpoint: str, **chosen: Any) -> Telemetry:
    settings = Settings(
        upstreams={
            "openai": UpstreamSettings(base_url="https://api.openai.com/v1"),
            "local": UpstreamSettings(base_url="http://127.0.0.1:8000/v1"),
        },
        telemetry=TelemetrySettings(otlp_endpoint=endpoint, **chosen),
    )
    return Telemetry(settings, Metrics("wk_1"))


def test_every_name_is_one_of_the_conventions() -> None:
    names = vars(gen_ai_attributes)
    known = {value for name, value in names.items() if name.startswith("GEN_AI_")}
    ours = {value for value in vars(conventions).values() if isinstance(value, str) and value.startswith("gen_ai.")}
    assert ours and ours | set(conventions.PARAMETERS.values()) <= known
    assert set(conventions.OPERATIONS.values()) <= {kind.value for kind in names["GenAiOperationNameValues"]}
    assert set(conventions.PROVIDERS.values()) <= {kind.value for kind in names["GenAiProviderNameValues"]}
    assert genai.provider_of("https://mine.openai.azure.com/openai/v1") == "azure.ai.openai"
    assert genai.provider_of("https://api.openai.com.evil.test/v1") is None


def test_a_span_says_what_happened_and_not_what_was_said() -> None:
    with Receiver() as receiver:
        told = telemetry(receiver.endpoint)
        span = told.begin([PARENT], TRACE.trace_id)
        told.finished(TRACE, span)
        told.close()
        [sent] = receiver.wait_for(1)
    assert "SECRET" not in str(sent)
    assert sent.name == "chat gpt-4o" and sent.kind == Span.SPAN_KIND_SERVER
    assert sent.trace_id.hex() == "4bf92f3577b34da6a3ce929d0e0e4736" and sent.span_id.hex() == span.span_id
    assert sent.parent_span_id.hex() == "00f067aa0ba902b7" and sent.status.code == Status.STATUS_CODE_UNSET
    assert (sent.start_time_unix_nano, sent.end_time_unix_nano) == (TRACE.at_ns, TRACE.at_ns + 2_000_000_000)
    assert attributes_of(sent) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.conversation.id": "run-1",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 99,
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 30,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.usage.cache_read.input_tokens": 20,
        "http.response.status_code": 200,
        "freehold.trace_id": TRACE.trace_id,
        "freehold.kind": "request",
        "freehold.api": "chat",
        "freehold.reason": "no-rung",
        "freehold.owned": False,
        "freehold.cached": False,
        "freehold.policy": 7,
        "freehold.answered_by": "openai/gpt-4o",
        "freehold.task": "tk_00000001",
    }
    [resource] = receiver.resources
    assert resource["service.name"] == "freehold" and resource["service.instance.id"] == "wk_1"
    assert receiver.requests == ["/v1/traces application/x-protobuf"]


def test_content_is_sent_if_it_is_asked_for_but_never_of_what_was_not_to_be_recorded() -> None:
    huge = msgspec.structs.replace(TRACE, request=TRACE.request + b" " * 300_000)
    with Receiver() as receiver:
        told = telemetry(receiver.endpoint, content=True)
        for trace, recorded in ((TRACE, True), (TRACE, False), (huge, True)):
            told.finished(trace, told.begin([], trace.trace_id), recorded=recorded)
        told.close()
        shown, hidden, cut = (attributes_of(span) for span in receiver.wait_for(3))
    said = json.loads(shown["gen_ai.input.messages"])
    assert [message["role"] for message in said] == ["system", "user", "assistant", "tool"]
    assert said[1]["parts"] == [{"type": "text", "content": "SECRET part"}]
    assert said[2]["parts"][0] | {"arguments": ""} == {"type": "tool_call", "id": "c1", "name": "f", "arguments": ""}
    assert said[3]["parts"] == [{"type": "tool_call_response", "id": "c1", "response": "SECRET result"}]
    assert json.loads(shown["gen_ai.output.messages"])[0]["parts"] == [{"type": "text", "content": "SECRET answer"}]
    assert "SECRET" not in str(hidden) and "SECRET" not in str(cut) and cut["freehold.content_left_out"]


def test_tries_and_models_of_a_ladder_are_spans_below() -> None:
    attempts = ("openai: 503", "openai: upstream_timeout", "local: 200")
    failed = msgspec.structs.replace(TRACE, answered_by="local/gpt-4o", attempts=attempts)
    ends = [TRACE.at_ns + 1_000, TRACE.at_ns + 5_000, TRACE.at_ns + 9_000]
    rung = msgspec.structs.replace(TRACE, trace_id="tr_2", kind="rung", of=TRACE.trace_id, answered_by="local/small")
    student = msgspec.structs.replace(rung, answered_by="student/st_1")
    with Receiver() as receiver:
        told = telemetry(receiver.endpoint)
        span = told.begin([], TRACE.trace_id)
        told.finished(failed, span, ends=ends)
        told.finished(rung, span.child())
        told.finished(student, span.child())
        told.close()
        whole, *tries, asked, own = receiver.wait_for(6)
    assert {span.parent_span_id for span in (*tries, asked, own)} == {whole.span_id} and not whole.parent_span_id
    assert [span.name for span in tries] == ["try openai", "try openai", "try local"]
    starts = [TRACE.at_ns, ends[0], ends[1]]
    assert [span.start_time_unix_nano for span in tries] == starts
    assert [span.end_time_unix_nano for span in tries] == [*ends[:2], whole.end_time_unix_nano]
    assert [attributes_of(span).get("error.type") for span in tries] == ["503", "upstream_timeout", None]
    assert [span.status.code for span in tries] == [Status.STATUS_CODE_ERROR] * 2 + [Status.STATUS_CODE_UNSET]
    assert (asked.kind, own.kind) == (Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_INTERNAL)
    assert attributes_of(whole)["freehold.attempts"] == list(attempts)


def test_a_callers_mistake_is_no_error_of_the_servers_span() -> None:
    statuses = {404: "model_not_found: x", 502: "upstream_timeout: x"}
    with Receiver() as receiver:
        told = telemetry(receiver.endpoint)
        for status, error in statuses.items():
            trace = Trace(trace_id="tr_18a3f00dcafe0123456789abcdef", at_ns=1, model="m", status=status, error=error)
            told.finished(trace, told.begin([], trace.trace_id))
        told.close()
        theirs, ours = receiver.wait_for(2)
    assert (theirs.status.code, ours.status.code) == (Status.STATUS_CODE_UNSET, Status.STATUS_CODE_ERROR)
    assert attributes_of(theirs)["error.type"] == "model_not_found"


def test_the_callers_flag_decides_and_without_spans_nothing_is_made() -> None:
    unsampled = (PARENT[0], PARENT[1][:-2] + b"00")
    with Receiver() as receiver:
        told = telemetry(receiver.endpoint, sample=0.0)
        told.finished(TRACE, told.begin([unsampled], TRACE.trace_id))
        told.finished(TRACE, told.begin([], TRACE.trace_id))
        told.finished(TRACE, told.begin([PARENT], TRACE.trace_id))
        told.close()
        assert len(receiver.wait_for(1)) == 1
    off = telemetry("")
    assert not off.spans and not off.wants(200, None) and off.wants(502, "upstream_timeout: x")
    before = threading.active_count()
    off.finished(TRACE, None)
    assert threading.active_count() == before


def test_what_a_collector_refuses_or_has_no_room_is_counted() -> None:
    with Receiver() as receiver:
        receiver.status = 400
        told = telemetry(receiver.endpoint)
        told.finished(TRACE, told.begin([], TRACE.trace_id))
        told.close()
        assert told._metrics.dropped["spans"] == 1 and receiver.requests
    held = threading.Event()
    dropped: list[int] = []

    def stuck(things: list[int]) -> None:
        held.wait()

    box: Outbox[int] = Outbox("x", stuck, dropped.append, interval=0.001, most=100)
    for number in range(5_000):
        box.put(number)
    big: Outbox[int] = Outbox("y", stuck, dropped.append, interval=60, most_bytes=1000)
    for number in range(30):
        big.put(number, 100)
    assert 5_000 - 100 - 512 + 20 <= sum(dropped) <= 5_000 - 100 + 20
    held.set()
    box.close(5)
    big.close(5)


def test_a_failure_in_the_thread_costs_its_batch_only() -> None:
    dropped: list[int] = []
    taken: list[int] = []
    hook, threading.excepthook = threading.excepthook, lambda arguments: None

    def consume(things: list[int]) -> None:
        if 1 in things:
            raise ValueError("broken")
        taken.extend(things)

    try:
        box: Outbox[int] = Outbox("x", consume, dropped.append, interval=0.001)
        box.put(1)
        assert box._thread is not None
        box._thread.join(5)
        box.put(2)
        box.close(5)
    finally:
        threading.excepthook = hook
    assert dropped == [1] and taken == [2]
