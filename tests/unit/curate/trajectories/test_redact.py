"""All that was said is redacted, in every form it has; what holds it together stays."""

from __future__ import annotations

import msgspec
from agent_runs import Harness, wander
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.curate.pii import Redactor
from freehold.curate.trajectories.redact import redact_turns

SECRET = bytes(range(32))
PERSON = "jane.doe@corp.example"


def _redact(texts: list[str]) -> list[str]:
    return [found.text for found in Redactor(SECRET).redact_many(texts)]


def test_every_place_where_something_is_said() -> None:
    harness = Harness()
    agent = harness.agent("main", prompt=f"Ask {PERSON}.")
    image = {"type": "image_url", "image_url": {"url": f"https://files.example.com/{PERSON}.png"}}
    agent.history.append({"role": "user", "content": [{"type": "text", "text": PERSON}, image]})
    (call,) = agent.call(1)
    call["function"]["arguments"] = msgspec.json.encode({"to": PERSON}).decode()
    agent.result(call, msgspec.json.encode([{"from": PERSON}]).decode())
    agent.say()["reasoning_content"] = f"It is {PERSON}."
    turns = harness.turns
    redacted = redact_turns(turns, lambda texts: _redact(list(texts)))
    text = msgspec.json.encode(redacted).decode()
    assert PERSON in msgspec.json.encode(turns).decode() and PERSON not in text
    for trace_id, turn in redacted.items():
        assert (turn.digests, turn.answer_digest) == (turns[trace_id].digests, turns[trace_id].answer_digest)
        for before, after in zip(turns[trace_id].messages, turn.messages, strict=True):
            assert before.keys() == after.keys()
            assert (before["role"], before.get("tool_call_id")) == (after["role"], after.get("tool_call_id"))
    again = redact_turns(redacted, lambda texts: _redact(list(texts)))
    assert again == redacted


@settings(max_examples=25, deadline=None)
@given(choices=st.lists(st.integers(0, 11), min_size=1, max_size=20))
def test_where_nothing_is_found_nothing_changes(choices: list[int]) -> None:
    harness = Harness()
    wander(harness, choices)
    assert redact_turns(harness.turns, lambda texts: list(texts)) == harness.turns
