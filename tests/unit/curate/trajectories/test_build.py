"""Every answer is learned once, where it was given, after exactly what its model had read; nothing else is learned."""

from __future__ import annotations

import datetime

import pytest
from agent_runs import Harness, wander
from counsel_fixtures import decided
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.curate.trajectories import Built, Rights, build_trajectories, cap_rows
from freehold.record.episodes.digests import digest

TODAY = datetime.date(2026, 11, 21)
RUNS = st.lists(st.integers(0, 11), min_size=1, max_size=40)


def _rights(**terms_of: str) -> Rights:
    return Rights({"inc": "own", **terms_of}, (), TODAY)


def _build(harness: Harness, rights: Rights | None = None) -> Built:
    return build_trajectories(harness.episode, harness.turns, rights or _rights())


@settings(max_examples=150, deadline=None)
@given(choices=RUNS, seed=st.integers(0, 3))
def test_each_answer_is_learned_once_after_what_its_model_had_read(choices: list[int], seed: int) -> None:
    harness = Harness(seed)
    wander(harness, choices)
    turns, wanted = harness.turns, harness.learned
    learned: list[str] = []
    for trajectory in _build(harness).trajectories:
        assert trajectory.lines[-1].loss
        for index, line in enumerate(trajectory.lines):
            if line.author == "model":
                before = tuple(digest(earlier.message) for earlier in trajectory.lines[:index])
                assert before == turns[line.trace_id].digests
            if line.loss:
                assert line.message == wanted[line.trace_id]
                learned.append(line.trace_id)
    assert sorted(learned) == sorted(wanted)


@settings(max_examples=60, deadline=None)
@given(choices=RUNS)
def test_what_is_not_learned_is_counted(choices: list[int]) -> None:
    harness = Harness()
    wander(harness, choices)
    built = _build(harness)
    assert built.left_out.total() == len(harness.played) - len(harness.learned)
    assert sum(trajectory.learned for trajectory in built.trajectories) == len(harness.learned)


def test_an_example_in_the_models_name_is_not_learned_even_if_the_model_says_the_same() -> None:
    harness = Harness()
    agent = harness.agent("main", examples=True)
    agent.say()
    agent.tell("And?")
    agent.done()
    (trajectory,) = _build(harness).trajectories
    done = [line for line in trajectory.lines if line.message.get("content") == "Done."]
    assert [line.loss for line in done] == [False, True]


def test_a_cut_history_is_a_conversation_of_its_own_that_learns_only_what_is_new() -> None:
    harness = Harness()
    agent = harness.agent("main")
    for _ in range(4):
        agent.say()
        agent.tell(harness.words())
    agent.truncate()
    agent.say()
    first, second = _build(harness).trajectories
    assert (first.learned, second.learned) == (4, 1)
    assert (second.begins, second.follows, second.number) == ("truncated", first.trajectory_id, 2)
    earlier = [line for line in second.lines if line.author == "earlier"]
    assert earlier
    assert all(line.copied and not line.loss for line in earlier)


def test_a_request_sent_twice_and_answered_alike_is_learned_once() -> None:
    harness = Harness()
    agent = harness.agent("main")
    answer = agent.say()
    agent.segment += 1
    agent.begins[1] = "branched"
    harness.play(agent, agent.history[:-1], dict(answer))
    built = _build(harness)
    assert len(built.trajectories) == 1
    assert built.left_out == {"it was answered the same before": 1}


def test_rights_follow_the_words_from_parents_and_children() -> None:
    harness = Harness()
    main = harness.agent("main")
    child = main.spawn("helper")
    child.say(answered_by="odd/model")
    main.finish(child)
    main.say()
    other = harness.agent("other")
    other.say()
    built = _build(harness, _rights(odd="nobody-knows"))
    assert [item.run for item in built.trajectories] == ["other"]
    assert {(item.run, item.answered_by) for item in built.refused} == {("main", "odd/model"), ("helper", "odd/model")}
    assert all(item.outcome == "deny" and "nobody-knows" in item.reason for item in built.refused)
    assert built.left_out == {"rights: deny (nobody-knows)": 3}


@pytest.mark.parametrize("answered_by", ["student/st_1", "stranger/model", ""])
def test_unknown_rights_and_students_are_refused(answered_by: str) -> None:
    harness = Harness(answered_by=answered_by)
    harness.agent("main").say()
    built = _build(harness)
    assert not built.trajectories
    assert built.refused[0].answered_by == answered_by


def test_counsel_opens_what_needs_counsel_until_it_expires() -> None:
    decision = decided("openai-api", "distil", "2026-12-01")
    harness = Harness(answered_by="oai/gpt")
    harness.agent("main").say()
    for today, kept in ((TODAY, 1), (datetime.date(2026, 12, 2), 0)):
        rights = Rights({"oai": "openai-api"}, (decision,), today)
        assert len(_build(harness, rights).trajectories) == kept


def test_judgements_of_steps_come_before_the_episodes() -> None:
    harness = Harness()
    first, second = harness.agent("first"), harness.agent("second")
    first.say()
    second.say()
    harness.judge(0.2)
    harness.judge(1.0, harness.played[0].step.trace_id)
    assert [item.score for item in _build(harness).trajectories] == [1.0, 0.2]


def test_a_wide_run_stays_under_the_cap_and_loses_no_agent() -> None:
    harness = Harness()
    main = harness.agent("main")
    children = [main.spawn(f"agent-{number}") for number in range(50)]
    for _ in range(3):
        for child in children:
            child.say()
            child.compact()
    for child in children:
        main.finish(child)
    main.say()
    built = _build(harness)
    assert len(built.trajectories) > 150
    kept = cap_rows(built.trajectories, 64)
    assert len(kept) == 64
    assert {item.run for item in kept} == {"main", *(child.name for child in children)}
    assert cap_rows(tuple(reversed(built.trajectories)), 64) == tuple(reversed(kept))


def test_under_a_tight_cap_roots_come_first_and_depths_take_turns() -> None:
    harness = Harness()
    main = harness.agent("main")
    children = [main.spawn(f"wide-{number}") for number in range(10)]
    for child in children:
        child.say()
        main.finish(child)
    deep = children[-1].spawn("deep")
    deep.say()
    kept = cap_rows(_build(harness).trajectories, 3)
    assert {item.depth for item in kept} == {0, 1, 2}


def test_parents_in_a_circle_and_parents_that_never_came_do_no_harm() -> None:
    harness = Harness()
    first, second = harness.agent("first"), harness.agent("second")
    first.parent, second.parent = second, first
    first.say()
    second.say()
    assert {item.depth for item in _build(harness).trajectories} == {0, 1}
