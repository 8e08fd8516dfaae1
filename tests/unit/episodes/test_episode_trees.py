"""Episodes as trees: agents, segments, parents, and what callers say that cannot be."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from episode_makers import asked, exchange, result, said, system, user
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.domain.episodes import Episode
from freehold.domain.traces import Trace
from freehold.record.episodes.read import turns_of
from freehold.record.episodes.tree import episode_of

START = [system("Work."), user("Find out why the pump in the basement stops at night.")]
LONG = "It stops because the timer was set by somebody who thought that the clock was an hour behind."


def tree(*traces: Trace) -> Episode:
    return episode_of("run", None, [exchange(trace) for trace in traces])


def begins(episode: Episode, run: str = "agent-1") -> list[tuple[str, int]]:
    return [(segment.begins, len(segment.steps)) for segment in episode.agent(run).segments]


def test_said_agents_and_parents_make_the_tree() -> None:
    episode = tree(
        asked(0, START, said("plan"), agent="main", parent="-none-"),
        asked(1, [user("a")], said("b"), agent="left", parent="main"),
        asked(2, [user("a")], said("b"), agent="right", parent=f"tr_{0:016x}"),
        asked(3, [user("a")], said("b"), agent="deep", parent="right"),
    )
    assert episode.roots == ("main",)
    assert [(one.run, one.parent, one.parent_step, one.linked_by) for one in episode.agents[1:]] == [
        ("left", "main", None, "said"),
        ("right", "main", f"tr_{0:016x}", "said"),
        ("deep", "right", None, "said"),
    ]
    assert episode.agent("main").children == ("left", "right")
    assert episode.problems == ("main names -none- as its parent, of which nothing was recorded.",)


def test_a_cycle_of_parents_is_cut_where_it_began_and_told() -> None:
    names = ["a", "b", "c"]
    traces = [asked(at, [user(name)], said("x"), agent=name, parent=names[at - 1]) for at, name in enumerate(names)] + [
        asked(9, [user("d")], said("x"), agent="d", parent="d"),
        asked(10, [user("e")], said("x"), agent="e", parent="c"),
    ]
    episode = tree(*traces)
    assert episode.roots == ("a", "d")
    assert {one.run: one.parent for one in episode.agents} == {"a": None, "b": "a", "c": "b", "d": None, "e": "c"}
    assert len(episode.problems) == 1 and "lead back" in episode.problems[0]


def test_what_is_no_exact_continuation_begins_a_segment() -> None:
    one = said(
        "I shall look at the log of the pump and at its timer, in this order.", ("call_0123456789ab", {"f": "log"})
    )
    log = result("call_0123456789ab", "03:00 stopped")
    two = [*START, one, log]
    summed = said("\n".join([LONG, "Next: set the timer, then watch it for three nights in a row."]))
    episode = tree(
        asked(0, START, one),
        asked(1, two, said(LONG)),
        asked(2, [*two, said(LONG), user("Sum up.")], summed),
        asked(3, [system("Work."), user(f"Earlier:\n{summed['content']}\nGo on.")], said("ok")),
        asked(4, [system("Work harder."), *two[1:]], said("instructed anew")),
        asked(5, [system("Work."), user("(cut)"), one, log, user("well?")], said("cut")),
    )
    assert begins(episode) == [("start", 3), ("compacted", 1), ("branched", 1), ("truncated", 1)]


def test_retries_stay_in_their_segment_and_say_of_what() -> None:
    first, again = asked(0, START, None), asked(2, START, said("so"))
    failed = asked(3, [*START, said("so"), user("on")], None)
    changed = asked(5, [*START, said("so"), user("on, without the picture")], said("yes"))
    episode = tree(first, again, failed, changed)
    (segment,) = episode.agent("agent-1").segments
    assert [step.retry_of for step in segment.steps] == [None, first.trace_id, None, None]
    assert [step.failed for step in segment.steps] == [True, False, True, False]


def test_a_history_taken_along_beside_its_owner_is_another_agent() -> None:
    one = said("Let us see.")
    slow = asked(1, [*START, one, user("left")], said("l"), took=9)
    fork = asked(2, [*START, one, user("right")], said("r"))
    episode = tree(asked(0, START, one), slow, fork)
    assert [(a.run, a.parent, a.linked_by) for a in episode.agents] == [
        ("agent-1", None, ""),
        ("agent-2", "agent-1", "history"),
    ]


def test_an_answer_in_anothers_first_prompt_makes_it_a_child() -> None:
    writer = [system("You write."), user(f"Write a letter from this finding:\n{LONG}\nBe kind.")]
    episode = tree(asked(0, START, said(LONG)), asked(3, writer, said("Dear all")))
    assert [(a.parent, a.linked_by) for a in episode.agents] == [(None, ""), ("agent-1", "answer")]


def test_turns_say_the_same_whatever_the_api() -> None:
    """The next step's digests begin with the former's and its answer's: for Anthropic's blocks and Responses' items."""
    tool = {"type": "tool_use", "id": "toolu_1", "name": "do", "input": {"b": 1, "a": [2]}}
    first = (
        b'{"system":[{"type":"text","text":"Work.","cache_control":{"type":"ephemeral"}}],'
        b'"messages":[{"role":"user","content":"go"}]}'
    )
    second = (
        b'{"system":"Work.","messages":[{"role":"user","content":[{"type":"text","text":"go"}]},{"role":"assistant",'
        b'"content":[{"type":"thinking","thinking":"hm","signature":"x"},{"type":"text","text":"On it. "},'
        b'{"type":"tool_use","id":"toolu_1","name":"do","input":{"a":[2],"b":1}}]},'
        b'{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":"done"}]}]}'
    )
    answer: Any = {"content": [{"type": "text", "text": "On it. "}, tool], "stop_reason": "tool_use"}
    one = asked(0, [], said(""), api="messages", request=first, response=msgspec.json.encode(answer))
    two = asked(1, [], said(""), api="messages", request=second)
    turns = turns_of([one, two])
    before, after = turns[one.trace_id], turns[two.trace_id]
    assert after.digests[:3] == (*before.digests, before.answer_digest)
    assert [message["role"] for message in after.messages] == ["system", "user", "assistant", "tool"]

    items = (
        b'{"instructions":"Work.","input":[{"role":"user","content":[{"type":"input_text","text":"go"}]},'
        b'{"type":"reasoning","id":"r"},{"type":"message","role":"assistant","content":[{"type":"output_text",'
        b'"text":"On it. "}]},{"type":"function_call","call_id":"toolu_1","name":"do",'
        b'"arguments":"{\\"b\\":1,\\"a\\":[2]}"},'
        b'{"type":"function_call_output","call_id":"toolu_1","output":"done"}]}'
    )
    three = asked(2, [], said(""), api="responses", request=items)
    assert turns_of([three])[three.trace_id].digests == after.digests


def test_ten_thousand_steps_and_a_deep_line_of_parents_are_read_in_seconds() -> None:
    traces = [
        asked(at, [user(f"part {at}")], said("x"), agent=f"a{at}", parent=f"a{at - 1}" if at else None)
        for at in range(3_000)
    ]
    messages: list[Any] = [user("begin the long work of all")]
    for at in range(7_000):
        answer = said(f"step {at} is done")
        traces.append(asked(10_000 + at, messages[-3:], answer, agent="long"))
        messages += [answer, user(f"go on to {at + 1}")]
    exchanges = [exchange(trace) for trace in traces]
    began = time.process_time()
    episode = episode_of("run", None, exchanges)
    assert time.process_time() - began < 10
    assert len(episode.steps) == 10_000 and episode.roots == ("a0", "long") and not episode.problems


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 40),
            st.sampled_from([None, "a", "b", "c"]),
            st.sampled_from([None, "a", "b", "c", "d", f"tr_{1000:016x}", "00f067aa0ba902b7"]),
            st.lists(st.sampled_from([user("x"), said("y" * 90), system("s"), result("c", "z" * 50)]), max_size=4),
            st.sampled_from([None, said("y" * 90), said(None, ("c", {"p": "x" * 30}))]),
        ),
        max_size=12,
    )
)
def test_any_sequence_gives_a_tree_that_holds_each_step_once(steps: list[Any]) -> None:
    traces = [
        asked(at, messages, answer, agent=agent, parent=parent, trace_id=f"tr_{number * 1000:016x}")
        for number, (at, agent, parent, messages, answer) in enumerate(steps)
    ]
    episode = tree(*traces)
    assert sorted(step.trace_id for step in episode.steps) == sorted(trace.trace_id for trace in traces)
    runs = {agent.run: agent for agent in episode.agents}
    assert len(runs) == len(episode.agents)
    for agent in episode.agents:
        at, seen = agent, 0
        while at.parent is not None:
            at, seen = runs[at.parent], seen + 1
            assert seen <= len(runs), "a cycle"
        assert at.run in episode.roots
        assert all(runs[child].parent == agent.run for child in agent.children)


@pytest.mark.parametrize("name", ["agent-1", "agent-2"])
def test_numbers_are_nobodys_names(name: str) -> None:
    episode = tree(
        asked(0, START, said("x"), agent=name), asked(1, [user("1")], said("x")), asked(2, [user("2")], said("x"))
    )
    assert len({agent.run for agent in episode.agents}) == 3
