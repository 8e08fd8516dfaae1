"""Runs of agents as examples: learned is what the mask says, and only what a model wrote; tool calls stay calls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from generative_rows import recipe, tickets, tokenizer_of

from freehold.domain.errors import EvidenceError
from freehold.train.generative.encode import encode
from freehold.train.generative.trajectories import read_trajectories, trajectory_examples

CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"order": 12}'}}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
ROW: dict[str, Any] = {
    "messages": [
        {"role": "developer", "content": "Help."},
        {"role": "user", "content": [{"type": "text", "text": "Where is"}, {"type": "text", "text": "order 12?"}]},
        {"role": "assistant", "content": None, "tool_calls": [CALL], "weight": 1},
        {"role": "tool", "content": "never sent", "tool_call_id": "c1"},
        {"role": "assistant", "content": "It was never sent.", "weight": 1},
        {"role": "user", "content": "Thanks"},
    ],
    "tools": [TOOL],
    "loss_mask": [0, 0, 1, 1, 1, 0],
    "freehold": {"trajectory": "tj_1"},
}


def test_a_row_becomes_an_example_with_its_calls_and_tools() -> None:
    [one], left_out = trajectory_examples([ROW])
    assert not left_out and one.trace_id == "tj_1" and json.loads(one.tools[0]) == TOOL
    assert [turn.role for turn in one.turns] == ["system", "user", "assistant", "tool", "assistant"]
    assert [turn.learn for turn in one.turns] == [False, False, True, False, True], "tools are never learned"
    assert one.turns[1].text == "Where is\norder 12?"
    assert json.loads(one.turns[2].calls[0]) == {"name": "look", "arguments": {"order": 12}}


def test_calls_are_learned_and_results_are_not() -> None:
    tokenizer = tokenizer_of(tickets(50))
    [encoded], _ = encode(
        trajectory_examples([ROW])[0], tokenizer, recipe(data={"context": 1024, "learn": "assistant"})
    )
    text = [tokenizer.decode([token]) for token in encoded.tokens]
    said = "".join(piece for piece, learned in zip(text, encoded.learn, strict=True) if learned)
    assert said == '<|tool|>{"name": "look", "arguments": {"order": 12}}<|end|>It was never sent.<|end|>'
    assert np.flatnonzero(encoded.learn).max() == len(encoded.tokens) - 1


def test_rows_without_a_mask_go_by_weight_and_role() -> None:
    row = {name: value for name, value in ROW.items() if name != "loss_mask"}
    row["messages"] = [*ROW["messages"][:4], {**ROW["messages"][4], "weight": 0}]
    [one], _ = trajectory_examples([row])
    assert [turn.learn for turn in one.turns] == [False, False, True]


def test_rows_that_cannot_be_used_are_counted() -> None:
    image = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}
    broken = {**CALL, "function": {"name": "look", "arguments": "{"}}
    rows = [
        {"messages": 1},
        {**ROW, "loss_mask": [1]},
        {**ROW, "loss_mask": [0] * 6},
        {"messages": [image, {"role": "assistant", "content": "a"}]},
        {"messages": [{"role": "assistant", "content": "", "tool_calls": [broken]}]},
        {"messages": [{"role": "assistant", "content": "", "tool_calls": [{"type": "custom"}]}]},
    ]
    found, left_out = trajectory_examples(rows)
    assert not found and sum(left_out.values()) == len(rows) and len(left_out) == len(rows)


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text(json.dumps(ROW) + "\n" + json.dumps({"messages": []}) + "\n")
    found, left_out = read_trajectories(path)
    assert len(found) == 1 and sum(left_out.values()) == 1
    for text, said in (("", "it is empty"), ("{", "Line 1 of"), ('{"messages": []}\n', "1 nothing in it is learned")):
        path.write_text(text)
        with pytest.raises(EvidenceError, match=said):
            read_trajectories(path)
    with pytest.raises(EvidenceError, match="cannot be read"):
        read_trajectories(tmp_path)
