"""Every format's rows become the exchange that was recorded in them, whole, and nothing that they hold beside it."""

from __future__ import annotations

import json
from typing import Any

import import_examples as examples
import otlp_examples as otlp
import pytest
from import_fixtures import NOW, made

from freehold.domain.errors import RowError
from freehold.domain.ids import is_id
from freehold.domain.traces import Trace
from freehold.record.answers import read_answer
from freehold.record.derive import Deriver

SYSTEM = {"role": "system", "content": "Sort the mail."}
ASKED = [SYSTEM, {"role": "user", "content": "Where is my parcel?"}]


def messages(trace: Trace) -> list[dict[str, Any]]:
    return json.loads(trace.request)["messages"]


def answer(trace: Trace) -> str | None:
    return read_answer(trace.response, stream=False, api=trace.api).text


def only(name: str, *rows: dict[str, Any], **options: Any) -> Trace:
    traces = made(name, rows, **options).traces
    assert len(traces) == 1
    return traces[0]


def in_openinference() -> Trace:
    return only("openinference", examples.OPENINFERENCE_FRAME)


SAME_CHAT = {
    "openai-chat": lambda: only("openai-chat", examples.OPENAI_CHAT[0], model="gpt-4o"),
    "litellm": lambda: only("litellm", examples.LITELLM_SPEND_LOG),
    "litellm payload": lambda: only("litellm", examples.LITELLM_PAYLOAD),
    "opentracy": lambda: only("opentracy", examples.OPENTRACY[0]),
    "kiln": lambda: only("kiln", examples.KILN),
    "langfuse": lambda: only("langfuse", *examples.LANGFUSE[:2]),
    "openinference": in_openinference,
    "otel attributes": lambda: only("otel", otlp.span_document(otlp.GEN_AI | otlp.GEN_AI_MESSAGES)),
    "otel numbered": lambda: only("otel", otlp.span_document(otlp.GEN_AI | otlp.GEN_AI_NUMBERED)),
    "otel log records": lambda: only("otel", otlp.logs_document(otlp.GEN_AI_RECORDS), otlp.span_document(otlp.GEN_AI)),
    "huggingface": lambda: only("huggingface", examples.HUGGINGFACE[4]),
}


@pytest.mark.parametrize("case", SAME_CHAT)
def test_the_same_chat_is_read_from_every_format(case: str) -> None:
    trace = SAME_CHAT[case]()
    assert messages(trace) == ASKED
    assert answer(trace) == "delivery"
    derived = Deriver({})(trace)
    assert (derived.answer, derived.finish_reason) == ("delivery", "stop")
    assert (trace.kind, trace.reason, trace.status, trace.error) == ("request", "imported", 200, None)
    assert is_id(trace.trace_id)
    assert trace.task.startswith("task_")
    assert trace.fingerprint
    assert examples.SECRET.encode() not in trace.request + trace.response
    if case not in ("openai-chat", "huggingface"):
        assert (derived.input_tokens, derived.output_tokens, derived.tokens_source) == (21, 2, "measured")


def test_a_batch_of_openai_is_joined_by_custom_id() -> None:
    rows = [*examples.OPENAI_BATCH_INPUT, *examples.OPENAI_BATCH_OUTPUT]
    good, refused = made("openai-batch", rows).traces
    assert (messages(good), answer(good), good.subject) == (ASKED, "delivery", "u-7")
    assert good.answered_by == "openai/gpt-4o-2024-08-06"
    assert good.at_ns == 1_760_000_000_000_000_000
    assert examples.SECRET.encode() not in good.request
    assert (refused.status, refused.error) == (429, "batch_failed: rate_limited")


def test_batches_that_cannot_be_joined_say_why() -> None:
    with pytest.raises(RowError, match="No request has its custom_id"):
        made("openai-batch", examples.OPENAI_BATCH_OUTPUT)
    first = examples.OPENAI_BATCH_INPUT[0]
    other = first | {"body": {"model": "gpt-4o", "messages": ASKED[1:]}}
    with pytest.raises(RowError, match="Several requests have its custom_id"):
        made("openai-batch", [first, other, examples.OPENAI_BATCH_OUTPUT[0]])


def test_a_batch_of_anthropic_stays_in_its_own_protocol() -> None:
    rows = [*examples.ANTHROPIC_BATCH_INPUT, *examples.ANTHROPIC_BATCH_RESULT]
    trace = only("anthropic-batch", *rows)
    assert (trace.api, answer(trace), trace.subject) == ("messages", "delivery", "u-9")
    assert trace.task.startswith("task_")
    assert Deriver({})(trace).input_tokens == 20
    assert trace.at_ns == NOW
    assert examples.SECRET.encode() not in trace.request
    whole = {"requests": examples.ANTHROPIC_BATCH_INPUT}
    assert only("anthropic-batch", whole, *examples.ANTHROPIC_BATCH_RESULT) == trace


def test_an_error_in_a_batch_of_anthropic_is_a_failed_request() -> None:
    failed = {"type": "errored", "error": {"type": "error", "error": {"type": "overloaded_error", "message": "m"}}}
    rows = [*examples.ANTHROPIC_BATCH_INPUT, {"custom_id": "a", "result": failed}]
    trace = only("anthropic-batch", *rows)
    assert (trace.status, trace.error, trace.answered_by) == (529, "batch_failed: overloaded_error", "")


def test_litellm_keeps_who_when_and_what_but_no_keys() -> None:
    trace = only("litellm", examples.LITELLM_SPEND_LOG)
    assert (trace.model, trace.answered_by) == ("gpt-4o", "openai/gpt-4o-2024-08-06")
    assert (trace.first_byte_us, trace.duration_us) == (400_000, 1_500_000)
    assert (trace.episode, trace.subject) == ("sess-1", "customer-3")
    assert json.loads(trace.request)["temperature"] == 0.2
    without = examples.LITELLM_SPEND_LOG | {"messages": {}, "proxy_server_request": {}}
    with pytest.raises(RowError, match="no messages"):
        made("litellm", [without])


def tensorzero(*rows: dict[str, Any]) -> Any:
    return made("tensorzero", [examples.TENSORZERO_CALL, *rows])


def test_tensorzero_gives_the_prompt_as_the_model_saw_it() -> None:
    (trace,) = tensorzero(examples.TENSORZERO_JSON).traces
    assert messages(trace) == [
        {"role": "system", "content": "Ask a question. 21 are left."},
        {"role": "user", "content": "Begin."},
    ]
    assert answer(trace) == '{"question":"Is it big?"}'
    assert (trace.task_name, trace.episode) == ("ask_question", examples.EPISODE)
    assert trace.at_ns == 0x01942E2688AB * 1_000_000
    assert json.loads(trace.request)["response_format"]["json_schema"]["schema"]["type"] == "object"
    assert examples.SECRET.encode() not in trace.request + trace.response
    other = examples.TENSORZERO_CALL | {"id": "01942e26-88ab-7331-8293-de75cc2b88aa"}
    (templated,) = tensorzero(other, examples.TENSORZERO_JSON).traces
    assert messages(templated)[0] == {"role": "system", "content": '{"remaining_questions":21}'}


def test_tensorzero_keeps_tools_and_their_results() -> None:
    (trace,) = tensorzero(examples.TENSORZERO_CHAT).traces
    system, user, call, result = messages(trace)
    assert (system["content"], user["content"]) == ("Help.", "Oslo?")
    assert call["tool_calls"][0]["function"] == {"name": "temp", "arguments": '{"at":"Oslo"}'}
    assert result == {"role": "tool", "tool_call_id": "c1", "content": "3"}
    assert json.loads(trace.request)["tools"][0]["function"]["name"] == "temp"
    assert (trace.subject, trace.first_byte_us) == ("u-1", 200_000)


def test_tensorzero_with_its_payloads_in_tables_of_their_own() -> None:
    payload = ("input", "output", "output_schema", "inference_params")
    data = {name: examples.TENSORZERO_JSON[name] for name in ("id", *payload)}
    split = {name: value for name, value in examples.TENSORZERO_JSON.items() if name not in payload}
    assert tensorzero(data, split).traces == tensorzero(examples.TENSORZERO_JSON).traces
    with pytest.raises(RowError, match="no input"):
        tensorzero(split)


def test_tensorzero_feedback_finds_its_episode_or_its_inference() -> None:
    found = tensorzero(examples.TENSORZERO_JSON, *examples.TENSORZERO_FEEDBACK)
    solved, elapsed, comment, demonstration = found.feedback
    trace = found.traces[0]
    assert (solved.episode, solved.trace_id, solved.score, solved.comment) == (examples.EPISODE, "", 1.0, "solved")
    assert (elapsed.trace_id, elapsed.score, elapsed.comment) == (trace.trace_id, None, "elapsed: 4.5")
    assert (comment.episode, comment.comment) == (examples.EPISODE, "nice")
    assert (demonstration.trace_id, demonstration.edit) == (trace.trace_id, '{"question":"Is it alive?"}')


def test_opentracy_traces_feedback_and_decisions() -> None:
    found = made("opentracy", examples.OPENTRACY)
    routed, ran = found.traces
    assert (routed.at_ns, routed.duration_us) == (1_775_030_400_250_000_000, 512_500)
    assert [turn["role"] for turn in messages(ran)] == ["user", "assistant", "user"]
    assert (ran.model, ran.episode) == ("gpt-4o-mini", "s-1")
    (feedback,) = found.feedback
    assert (feedback.trace_id, feedback.score, feedback.comment) == (ran.trace_id, 0.75, "good")


def test_tracer_truth_is_feedback_on_its_trace() -> None:
    found = made("tracer", examples.TRACER)
    (truth,) = found.feedback
    assert (truth.trace_id, truth.label) == (found.traces[0].trace_id, "delivery_status")
    assert found.traces[1].model == "gpt-4o"
    watched = found.traces[2]
    assert (answer(watched), watched.duration_us, watched.answered_by) == ("Hi", 12_000, "openai/gpt-4o-2024-08-06")


def test_kiln_ratings_and_repairs_are_feedback() -> None:
    found = made("kiln", [examples.KILN])
    (feedback,) = found.feedback
    assert (feedback.trace_id, feedback.score) == (found.traces[0].trace_id, 0.75)
    assert (feedback.edit, feedback.comment) == ("delivery_status", "Be exact.")
    assert made("kiln", [{"v": 1, "model_type": "task", "name": "x"}]) == ([], [])


def test_langfuse_scores_are_of_observations_or_episodes() -> None:
    found = made("langfuse", examples.LANGFUSE)
    (trace,) = found.traces
    of_step, of_episode = found.feedback
    assert (trace.episode, trace.subject, trace.first_byte_us) == ("lf-t1", "u-4", 250_000)
    assert Deriver({})(trace).cached_input_tokens == 6
    assert (of_step.trace_id, of_step.score, of_step.comment) == (trace.trace_id, 1.0, "yes")
    assert (of_episode.episode, of_episode.score, of_episode.comment) == ("lf-t1", None, "tone: friendly")
    page = {"data": examples.LANGFUSE, "meta": {"page": 1}}
    assert made("langfuse", [page]) == found


def test_openinference_of_phoenix_by_frame_and_by_json() -> None:
    frame, sent = made("openinference", [examples.OPENINFERENCE_FRAME, examples.OPENINFERENCE_JSON]).traces
    assert (frame.episode, frame.subject, frame.answered_by) == (examples.TRACE, "u-5", "openai/gpt-4o")
    assert json.loads(frame.request)["temperature"] == 0.1
    called = read_answer(sent.response, stream=False)
    assert (called.finish_reason, called.tool_calls[0].arguments) == ("tool_calls", '{"at":"Oslo"}')
    assert json.loads(sent.request)["tools"] == [{"type": "function", "function": {"name": "temp"}}]
    chain = examples.OPENINFERENCE_FRAME | {"span_kind": "CHAIN"}
    assert made("openinference", [chain]).traces == []


def test_otel_knows_agents_and_who_called_them() -> None:
    inner = otlp.span_document(otlp.GEN_AI | otlp.GEN_AI_MESSAGES, parent="00f067aa0ba902b7")
    outer = otlp.span_document(
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "lead"}, span_id="00f067aa0ba902b7"
    )
    spans = [*inner["resourceSpans"], *outer["resourceSpans"]]
    trace = only("otel", {"resourceSpans": spans})
    assert (trace.agent, trace.parent, trace.episode) == ("sorter", "lead", examples.TRACE)
    assert trace.traceparent == f"{examples.TRACE}-{examples.SPAN}"
    assert json.loads(trace.response)["id"] == "chatcmpl-77"


def test_otel_without_messages_still_says_who_and_how_much() -> None:
    trace = only("otel", otlp.span_document(otlp.GEN_AI))
    derived = Deriver({})(trace)
    assert (derived.answer, derived.input_tokens, trace.model) == (None, 21, "gpt-4o")
    embedding = otlp.span_document({"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "e"})
    assert made("otel", [embedding]).traces == []


def test_otel_events_of_a_span_and_parts_with_tools() -> None:
    events = [
        {
            "name": "gen_ai.content.prompt",
            "timeUnixNano": "1",
            "attributes": otlp.attributes_of({"gen_ai.prompt": json.dumps(ASKED)}),
        },
        {
            "name": "gen_ai.content.completion",
            "timeUnixNano": "2",
            "attributes": otlp.attributes_of({"gen_ai.completion": json.dumps([examples.ANSWER])}),
        },
    ]
    old = only("otel", otlp.span_document(otlp.GEN_AI, events=events))
    assert (messages(old), answer(old)) == (ASKED, "delivery")
    said = [
        {"role": "user", "parts": [{"type": "text", "content": "Oslo?"}]},
        {
            "role": "assistant",
            "parts": [{"type": "tool_call", "id": "c1", "name": "temp", "arguments": {"at": "Oslo"}}],
        },
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": {"celsius": 3}}]},
    ]
    turns = {"gen_ai.input.messages": json.dumps(said), "gen_ai.output.messages": said[1:2]}
    trace = only("otel", otlp.span_document(otlp.GEN_AI | turns))
    _, call, result = messages(trace)
    assert call["tool_calls"][0]["function"] == {"name": "temp", "arguments": '{"at":"Oslo"}'}
    assert result == {"role": "tool", "tool_call_id": "c1", "content": '{"celsius":3}'}


def test_huggingface_columns() -> None:
    sharegpt, pair, turns, instruction, chat = made("huggingface", examples.HUGGINGFACE).traces
    assert [turn["role"] for turn in messages(sharegpt)] == ["system", "user"]
    assert [answer(trace) for trace in (sharegpt, pair, turns, instruction)] == [
        "3 degrees.",
        "3 degrees.",
        "4 degrees.",
        "3",
    ]
    assert messages(instruction)[0]["content"] == "Add.\n\n1 2"
    assert (pair.model, chat.model, turns.model) == ("m-1", "m-2", "unknown")


def test_ids_are_of_the_content_the_tenant_and_the_source() -> None:
    row = examples.OPENAI_CHAT[0]
    one, two = only("openai-chat", row), only("openai-chat", dict(reversed(row.items())), now_ns=5)
    assert one.trace_id == two.trace_id
    assert only("openai-chat", row, key="key_1").trace_id != one.trace_id
    assert only("openai-chat", row, model="m").trace_id != one.trace_id
    log = examples.LITELLM_SPEND_LOG
    assert only("litellm", log).trace_id == only("litellm", log | {"spend": 9.0, "prompt_tokens": 22}).trace_id
    named = only("litellm", log, upstream="main", task="sorting")
    assert (named.answered_by, named.task_name, named.trace_id) == (
        "main/gpt-4o-2024-08-06",
        "sorting",
        only("litellm", log).trace_id,
    )


@pytest.mark.parametrize(
    ("name", "row", "reason"),
    [
        ("openai-chat", {"messages": [{"role": "user", "content": "x"}]}, "not an assistant's"),
        ("openai-chat", {"messages": [{"role": "assistant", "content": "x"}]}, "Nothing comes before"),
        ("litellm", examples.LITELLM_SPEND_LOG | {"call_type": "aembedding"}, "no call of chat completions"),
        ("opentracy", examples.OPENTRACY[2] | {"score": 7}, "between 1 and 5"),
        ("kiln", examples.KILN | {"trace": None, "input": ""}, "no input"),
        ("langfuse", examples.LANGFUSE[1] | {"output": None}, "no output"),
        ("openinference", {**examples.OPENINFERENCE_FRAME, "attributes.llm.output_messages": None}, "no answer"),
        ("huggingface", {"prompt": "", "completion": "x"}, "empty prompt"),
    ],
)
def test_rows_that_cannot_be_used_say_why_without_their_content(name: str, row: dict[str, Any], reason: str) -> None:
    with pytest.raises(RowError, match=reason) as raised:
        made(name, [row])
    assert "parcel" not in str(raised.value)
