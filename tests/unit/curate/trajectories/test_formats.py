"""What leaves says the same in each form: the same words, the same loss, the same tree."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec
import pytest
from agent_runs import TOOLS, Harness, wander
from atif_rules import problems, walk
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.curate.trajectories import Rights, Trajectory, build_trajectories
from freehold.curate.trajectories.formats.atif import atif_documents
from freehold.curate.trajectories.formats.chat import chat_row
from freehold.curate.trajectories.formats.otlp import otlp_document
from freehold.curate.trajectories.formats.sharegpt import sharegpt_row
from freehold.record.episodes.digests import digest

RUNS = st.lists(st.integers(0, 11), min_size=1, max_size=30)


def _trajectories(harness: Harness) -> tuple[Trajectory, ...]:
    rights = Rights({"inc": "own"}, (), datetime.date(2026, 11, 21))
    return build_trajectories(harness.episode, harness.turns, rights).trajectories


def _played(choices: list[int]) -> Harness:
    harness = Harness()
    wander(harness, choices)
    return harness


@settings(max_examples=50, deadline=None)
@given(choices=RUNS)
def test_chat_rows_have_a_mask_for_each_message_and_weights_that_agree(choices: list[int]) -> None:
    for trajectory in _trajectories(_played(choices)):
        row = chat_row(trajectory)
        messages, mask = row["messages"], row["loss_mask"]
        assert len(messages) == len(mask) == len(row["freehold"]["traces"]) == len(row["freehold"]["authors"])
        weights = [message.get("weight", 0) for message in messages]
        assert weights == mask
        assert all(("weight" in message) == (message["role"] == "assistant") for message in messages)
        plain = [{name: value for name, value in message.items() if name != "weight"} for message in messages]
        assert [digest(message) for message in plain] == [digest(line.message) for line in trajectory.lines]


@settings(max_examples=50, deadline=None)
@given(choices=RUNS)
def test_sharegpt_loses_no_words_and_no_calls(choices: list[int]) -> None:
    harness = _played(choices)
    said: list[str] = []
    for trajectory in _trajectories(harness):
        row = sharegpt_row(trajectory)
        assert len(row["conversations"]) == len(row["loss_mask"])
        for entry, loss in zip(row["conversations"], row["loss_mask"], strict=True):
            assert entry.get("weight", 0) == loss
            if loss:
                said.append(entry["value"])
        assert trajectory.lines[0].copied or row["system"].startswith("You are ")
        assert msgspec.json.decode(row["tools"]) == list(TOOLS)
    wanted: list[str] = []
    for answer in harness.learned.values():
        calls = [call["function"] for call in answer.get("tool_calls", [])]
        called = [{"name": call["name"], "arguments": msgspec.json.decode(call["arguments"])} for call in calls]
        wanted += [answer["content"]] if answer["content"] else []
        wanted += [msgspec.json.encode(called[0] if len(called) == 1 else called).decode()] if called else []
    assert sorted(said) == sorted(wanted)


@settings(max_examples=60, deadline=None)
@given(choices=RUNS)
def test_atif_keeps_the_rfcs_rules_and_each_answer_is_to_be_learned_once(choices: list[int]) -> None:
    harness = _played(choices)
    learned: list[str] = []

    def see(document: dict[str, Any]) -> None:
        for step in document["steps"]:
            about = step["extra"]["freehold"]
            new = step["source"] == "agent" and not step.get("is_copied_context") and step["llm_call_count"] == 1
            if new and "loss" not in about:
                learned.append(about["trace_id"])
                answer = harness.learned[about["trace_id"]]
                assert step["message"] == (answer["content"] or "")
                ids = [call["tool_call_id"] for call in step.get("tool_calls", [])]
                assert ids == [call["id"] for call in answer.get("tool_calls", [])]

    documents = atif_documents(_trajectories(harness))
    for document in documents:
        assert problems(document) == []
        walk(document, see)
    assert sorted(learned) == sorted(harness.learned)


def test_atif_embeds_sub_agents_where_they_were_called_and_names_what_goes_on() -> None:
    harness = Harness()
    main = harness.agent("main", examples=True)
    child = main.spawn("helper")
    child.say()
    child.compact()
    child.say()
    main.finish(child)
    main.say()
    main.compact()
    main.say()
    first, second = atif_documents(_trajectories(harness))
    parts = first["subagent_trajectories"]
    assert [part["agent"]["name"] for part in parts] == ["helper", "helper"]
    assert parts[0]["continued_trajectory_ref"] == parts[1]["trajectory_id"]
    assert first["continued_trajectory_ref"] == second["trajectory_id"]
    step = next(step for step in first["steps"] if "tool_calls" in step)
    (result,) = step["observation"]["results"]
    assert result["source_call_id"] == child.tool_call
    assert [one["trajectory_id"] for one in result["subagent_trajectory_ref"]] == [p["trajectory_id"] for p in parts]
    assert first["final_metrics"]["total_cost_usd"] == pytest.approx(4e-6)  # its own two answers, and the helper's two
    examples = [step for step in first["steps"] if step["source"] == "agent" and step["llm_call_count"] == 0]
    assert [step["message"] for step in examples] == ["Done."]
    assert second["steps"][0]["is_copied_context"]  # the instructions were in the first document too


def test_atif_says_what_it_leaves_out_of_images() -> None:
    harness = Harness()
    agent = harness.agent("main")
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png?size=2"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
    ]
    agent.history.append({"role": "user", "content": parts})
    agent.say()
    (document,) = atif_documents(_trajectories(harness))
    assert problems(document) == []
    shown = next(step["message"] for step in document["steps"] if isinstance(step["message"], list))
    assert shown[1]["source"] == {"media_type": "image/png", "path": "https://example.com/a.png?size=2"}
    assert shown[2] == {"type": "text", "text": "[image left out]"}
    assert "left out" in document["notes"]


def test_a_very_deep_tree_of_agents_can_still_be_written() -> None:
    harness = Harness()
    agent = harness.agent("agent-0")
    for number in range(1, 500):
        agent = agent.spawn(f"agent-{number}")
    agent.say()
    documents = atif_documents(_trajectories(harness))
    assert len(documents) == 8
    assert all(problems(msgspec.json.decode(msgspec.json.encode(document))) == [] for document in documents)


def _said(span: dict[str, Any]) -> dict[str, Any]:
    return {one["key"]: next(iter(one["value"].values())) for one in span["attributes"]}


def _message(said: dict[str, Any]) -> dict[str, Any]:
    """A message as the conventions shape it → OpenAI's."""
    message: dict[str, Any] = {"role": said["role"], "content": None}
    for part in said["parts"]:
        if part["type"] == "text":
            message["content"] = (message["content"] or "") + part["content"]
        elif part["type"] == "tool_call":
            function = {"name": part["name"], "arguments": part["arguments"]}
            message.setdefault("tool_calls", []).append({"id": part["id"], "function": function})
        elif part["type"] == "tool_call_response":
            message |= {"content": part["response"], "tool_call_id": part["id"]}
    return message


@settings(max_examples=50, deadline=None)
@given(choices=RUNS)
def test_spans_hold_all_that_was_said_and_lie_below_one_another(choices: list[int]) -> None:
    harness = _played(choices)
    document = otlp_document(harness.episode, harness.turns, {"inc": "openai"})
    (resource,) = document["resourceSpans"]
    spans = resource["scopeSpans"][0]["spans"]
    ids = [span["spanId"] for span in spans]
    assert len(set(ids)) == len(ids)
    assert {len(span["traceId"]) for span in spans} <= {32}
    turns = harness.turns
    heard: set[str] = set()
    for span in spans:
        said = _said(span)
        assert int(span["endTimeUnixNano"]) >= int(span["startTimeUnixNano"])
        if "freehold.trace_id" in said:
            turn = turns[said["freehold.trace_id"]]
            asked = [_message(one) for one in msgspec.json.decode(said["gen_ai.input.messages"])]
            assert tuple(map(digest, asked)) == turn.digests
            if turn.answer is not None:
                (answer,) = msgspec.json.decode(said["gen_ai.output.messages"])
                assert digest(_message(answer)) == turn.answer_digest
            heard.add(turn.trace_id)
        assert span.get("parentSpanId") in {None, *ids}
    assert heard == set(turns)
    roots = [span["name"] for span in spans if "parentSpanId" not in span]
    assert roots == ["invoke_agent main"] * bool(spans)


def test_a_sub_agents_span_lies_below_the_run_of_its_tool() -> None:
    harness = Harness()
    main = harness.agent("main")
    child = main.spawn("helper")
    child.fail()
    child.say()
    main.finish(child)
    main.say()
    spans = otlp_document(harness.episode, harness.turns, {})["resourceSpans"][0]["scopeSpans"][0]["spans"]
    by_id = {span["spanId"]: span for span in spans}
    helper = next(span for span in spans if span["name"] == "invoke_agent helper")
    tool = by_id[helper["parentSpanId"]]
    assert _said(tool)["gen_ai.tool.call.id"] == child.tool_call
    assert by_id[tool["parentSpanId"]]["name"] == "invoke_agent main"
    failed = [span for span in spans if span["status"]]
    assert [_said(span)["error.type"] for span in failed] == ["upstream_error"]
    assert "freehold.key" not in msgspec.json.encode(spans).decode()


def test_spans_are_otlp_by_the_protocols_own_library() -> None:
    json_format = pytest.importorskip("google.protobuf.json_format")
    service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    harness = _played([0, 3, 4, 11, 5, 6, 0])
    document = otlp_document(harness.episode, harness.turns, {})
    read = json_format.ParseDict(
        document, service.ExportTraceServiceRequest()
    )  # fails at a field that is none of OTLP's
    assert len(read.resource_spans[0].scope_spans[0].spans) > 5
