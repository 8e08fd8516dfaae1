"""Which requests are of one run, found from messages alone."""

from __future__ import annotations

from typing import Any

import pytest
from bench.record.agent_traffic import Level, Stage
from bench.record.episodes import measure
from episode_makers import asked, result, said, system, user

from freehold.domain.traces import Trace
from freehold.record.episodes.hear import Hearing
from freehold.record.episodes.infer import episode_name, first_trace, inferred

SMALL: dict[str, Any] = {"runs": 2, "children": 52, "single": 60, "chats": 0}
LONG = "The survey of the northern ledger is done; seventeen entries were wrong and have been put right by hand."


def episodes(*traces: Trace) -> dict[str, str]:
    hearing = Hearing()
    return inferred([hearing(trace) for trace in traces]).episode_of


@pytest.mark.parametrize(
    ("level", "least"),
    [
        (Level("interleaved", **SMALL), 1.0),
        (Level("same prompts everywhere", same_tasks=True, **SMALL), 0.95),
        (Level("retries", failing=0.15, **SMALL), 1.0),
        (Level("cut and compacted", cut=0.15, compacted=0.1, **SMALL), 0.98),
        (Level("ids from 0", bare_ids=True, **SMALL), 0.98),
    ],
    ids=lambda value: value.name if isinstance(value, Level) else "",
)
def test_generated_runs_are_found_among_each_other_and_noise(level: Level, least: float) -> None:
    scores = measure(Stage(level, 5).play())
    assert scores.records > 300
    for score in (scores.agents, scores.parents, scores.episodes):
        assert score.there > 100
        assert score.precision >= least and score.recall >= least, (score, scores)


def test_a_third_reworded_costs_recall_but_not_precision() -> None:
    scores = measure(Stage(Level("reworded", reworded=0.33, digested=0.33, **SMALL), 5).play())
    assert scores.parents.precision >= 0.99 and scores.episodes.precision >= 0.99
    assert 0.7 < scores.parents.recall < 1.0


def test_the_same_first_message_joins_nothing() -> None:
    first = [system("Be brief."), user("Translate the attached report into plain words, please.")]
    alone = [asked(at, first, said(f"Version {at}: {LONG}")) for at in (0, 1, 2)]
    assert episodes(*alone) == {}
    more = asked(10, [*first, said(f"Version 1: {LONG}"), user("Shorter.")], said("ok"))
    name = episode_name(alone[1].trace_id)
    assert episodes(*alone, more) == {alone[1].trace_id: name, more.trace_id: name}


def test_another_keys_history_is_not_gone_on_from() -> None:
    first = [user("Count the ships in the harbour at noon.")]
    mine = asked(0, first, said(LONG), key="key_a")
    theirs = asked(10, [*first, said(LONG), user("And at one?")], said("Twelve."), key="key_b")
    assert episodes(mine, theirs) == {}


def test_a_failed_first_request_is_gone_on_from_once() -> None:
    first = [user("Count the ships in the harbour at noon.")]
    failed, again, other = asked(0, first, None), asked(2, first, said("12")), asked(4, first, said("12"))
    found = episodes(failed, again, other)
    assert set(found) == {failed.trace_id, again.trace_id}


def test_an_id_of_a_response_is_a_link_though_the_history_is_not_sent() -> None:
    def responses(at: float, text: str, answer: str, previous: str | None) -> Trace:
        body = f'{{"model":"m","input":"{text}","previous_response_id":{previous or "null"}}}'
        answered = (
            f'{{"id":"resp_{at}","status":"completed","output":[{{"type":"message","content":'
            f'[{{"type":"output_text","text":"{answer}"}}]}}]}}'
        )
        return asked(at, [], said(""), api="responses", request=body.encode(), response=answered.encode())

    one = responses(0, "hi", "hello", None)
    two = responses(1, "and", "so", '"resp_0"')
    other = responses(2, "hi", "hello", None)
    assert set(episodes(one, two, other)) == {one.trace_id, two.trace_id}


def test_names_tell_the_first_trace_and_nothing_else_is_taken_for_one() -> None:
    assert first_trace(episode_name("tr_00ab00cd00ef")) == "tr_00ab00cd00ef"
    assert [first_trace(name) for name in ("run-1", "ep_", "ep_xyz00000", "ep_00ab00cd'; --")] == [None] * 4


def test_bodies_that_cannot_be_read_are_in_no_episode() -> None:
    broken = [
        b"",
        b"\xff\xfe",
        b"[]",
        b'{"messages":5}',
        b'{"messages":[1,null,"x",{"role":7,"content":{}}]}',
        b"[" * 5000,
    ]
    traces = [asked(at, [], said("x"), request=body) for at, body in enumerate(broken)]
    odd = [
        asked(20 + at, [], said("x"), api=api, request=body)  # type: ignore[arg-type]
        for at, (api, body) in enumerate(
            [
                ("messages", b'{"system":[1],"messages":[{"role":"user","content":[{"type":"tool_result"},3]}]}'),
                (
                    "responses",
                    b'{"input":[{"type":"function_call"},{"type":"reasoning"},7],"previous_response_id":"x"}',
                ),
                ("completions", b'{"prompt":["a",["b"],5]}'),
                ("embeddings", b'{"input":"x"}'),
                ("chat", b'{"messages":[{"role":"user","content":"cut \\ud83d"}]}'),
            ]
        )
    ]
    assert episodes(*traces, *odd) == {}


def test_a_result_that_is_an_agents_last_answer_is_a_link() -> None:
    root = [user("Check the ledgers.")]
    call = said(None, ("c1", {"who": "auditor"}))
    child = [system("You audit."), user("(the auditor's own instructions, which no call holds)")]
    traces = [
        asked(0, root, call),
        asked(2, child, said(LONG)),
        asked(6, [*root, call, result("c1", LONG)], said("Done.")),
    ]
    assert len(set(episodes(*traces).values())) == 1 and len(episodes(*traces)) == 3
