"""What a model thought leaves with what it said, where the server gives all of it; it tells no two answers apart."""

from __future__ import annotations

import datetime
import json
from typing import Any

import msgspec
import pytest
from agent_runs import Harness

from freehold.curate.trajectories import Rights, build_trajectories
from freehold.curate.trajectories.formats.atif import atif_documents
from freehold.curate.trajectories.formats.chat import chat_row
from freehold.domain.traces import Trace
from freehold.record.episodes.digests import digest
from freehold.record.episodes.messages import answer_of

THOUGHT = "Two and two: four."


def _whole(field: str) -> bytes:
    message = {"role": "assistant", "content": "4", field: THOUGHT}
    return json.dumps({"model": "m", "choices": [{"message": message, "finish_reason": "stop"}]}).encode()


def _stream(field: str) -> bytes:
    deltas: list[dict[str, Any]] = [{field: "Two and two:"}, {field: " four."}, {"content": "4"}]
    lines = [json.dumps({"choices": [{"delta": delta, "finish_reason": None}]}) for delta in deltas]
    return "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"]).encode()


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
@pytest.mark.parametrize("response", [_whole, _stream])
def test_it_is_read_off_whole_answers_and_streams(field: str, response: Any) -> None:
    body = response(field)
    trace = Trace(
        trace_id="tr_00000001", at_ns=1, answered_by="up/m", status=200, stream=b"data:" in body, response=body
    )
    answer = answer_of(trace)
    assert answer is not None
    assert (answer["content"], answer["reasoning_content"]) == ("4", THOUGHT)
    assert digest(answer) == digest({"role": "assistant", "content": "4"})


def test_what_is_no_text_counts_for_nothing() -> None:
    message = {"role": "assistant", "content": "4", "reasoning": {"effort": "high"}, "reasoning_content": None}
    body = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()
    answer = answer_of(Trace(trace_id="tr_00000001", at_ns=1, answered_by="up/m", status=200, response=body))
    assert answer == {"role": "assistant", "content": "4"}


def test_it_leaves_with_the_answer() -> None:
    harness = Harness()
    harness.agent("main").say()
    played = harness.played[0]
    answer = {**(played.turn.answer or {}), "reasoning_content": THOUGHT}
    turns = {played.turn.trace_id: msgspec.structs.replace(played.turn, answer=answer)}
    rights = Rights({"inc": "own"}, (), datetime.date(2026, 11, 21))
    (trajectory,) = build_trajectories(harness.episode, turns, rights).trajectories
    assert chat_row(trajectory)["messages"][-1]["reasoning_content"] == THOUGHT
    assert atif_documents((trajectory,))[0]["steps"][-1]["reasoning_content"] == THOUGHT
