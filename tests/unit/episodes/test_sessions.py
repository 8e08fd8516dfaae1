"""Sessions and conversations that bodies name."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from episode_makers import SECOND, asked, said

from freehold.domain.traces import Trace
from freehold.record.derive import Deriver
from freehold.record.episodes.read import list_episodes, read_episode, read_turns
from freehold.record.sealer import Sealer
from freehold.store import Store
from freehold.store.traces.placement import placed

UUID = "57a121ec-f78c-48c3-a745-e3036a3ecc33"


def trace(api: str, body: object, **more: Any) -> Trace:
    fields: dict[str, Any] = {"api": api, "request": msgspec.json.encode(body), **more}
    return asked(0, [], said("x"), **fields)


def by_user(user: object) -> dict[str, object]:
    return {"model": "m", "messages": [{"role": "user", "content": "hi"}], "metadata": {"user_id": user}}


@pytest.mark.parametrize(
    ("api", "body", "expected"),
    [
        ("messages", by_user(f"user_{'a' * 64}_account__session_{UUID}"), (UUID, "session")),
        (
            "messages",
            by_user(f'{{"device_id":"d","account_uuid":"","session_id":"{UUID}"}}'),
            (UUID, "session"),
        ),
        ("messages", by_user("somebody"), None),
        ("messages", by_user("{not json, session_id"), None),
        ("messages", by_user("x_session_"), None),
        ("messages", by_user("x_session_\n"), None),
        ("messages", by_user(5), None),
        ("messages", {"messages": [{"role": "user", "content": f"_session_{UUID}"}]}, None),
        ("chat", by_user(f"user_x_session_{UUID}"), None),
        ("responses", {"input": "hi", "conversation": "conv_1"}, ("conv_1", "conversation")),
        ("responses", {"input": "hi", "conversation": {"id": "conv_1"}}, ("conv_1", "conversation")),
        ("responses", {"input": '"conversation"', "conversation": None, "prompt_cache_key": "k"}, None),
    ],
)
def test_what_a_body_says(api: str, body: object, expected: tuple[str, str] | None) -> None:
    found = placed(trace(api, body))
    assert (found.episode, found.linked) == (expected or (None, ""))
    named = trace(api, body, episode="run", linked="header")
    assert placed(named) is named
    spanned = placed(trace(api, body, episode="4bf9", parent="00f067aa0ba902b7", linked="traceparent"))
    assert (spanned.episode, spanned.linked) == (expected or ("4bf9", "traceparent"))
    assert (spanned.parent is None) == (expected is not None)
    unread = trace(api, body, request=b'\xff session_ "conversation"')
    assert placed(unread) is unread


def test_sessions_are_episodes_before_they_are_sealed_and_after(tmp_path: Path) -> None:
    derive = Deriver({})
    with closing(Store.open(tmp_path, f"sqlite:///{tmp_path}/control.db")) as store:
        with closing(store.open_journal()) as journal:
            for at in range(3):
                session = by_user(f"user_x_account__session_{UUID}")
                journal.append(asked(at, [], said("x"), api="messages", request=msgspec.json.encode(session)))
        for _ in range(2):
            (line,) = list_episodes(store, since_ns=0, until_ns=10 * SECOND, derive=derive, infer=False)
            assert (line.episode_id, line.steps, line.how) == (UUID, 3, ("session",))
            assert read_episode(store, UUID, derive=derive).how == ("session",)
            assert Sealer(store, {}).seal_once().traces in (3, 0)


def test_responses_that_name_the_one_before_are_read_with_its_history(tmp_path: Path) -> None:
    derive = Deriver({})

    def step(at: int, text: str, answer: str, previous: str | None, instructions: str) -> Trace:
        body = {"input": text, "instructions": instructions, "previous_response_id": previous}
        output = [{"type": "message", "content": [{"type": "output_text", "text": answer}]}]
        answered = {"id": f"resp_{at}", "status": "completed", "output": output}
        encoded: dict[str, Any] = {"request": msgspec.json.encode(body), "response": msgspec.json.encode(answered)}
        return asked(at, [], said("x"), api="responses", **encoded)

    steps = [
        step(0, "one", "first", None, "Work."),
        step(1, "two", "second", "resp_0", "Work."),
        step(2, "three", "third", "resp_1", "Rest."),
    ]
    with closing(Store.open(tmp_path, f"sqlite:///{tmp_path}/control.db")) as store:
        with closing(store.open_journal()) as journal:
            for one in steps:
                journal.append(one)
        (line,) = list_episodes(store, since_ns=0, until_ns=10 * SECOND, derive=derive)
        assert line.how == ("inferred", "response-id") and line.steps == 3
        episode, turns = read_turns(store, line.episode_id, derive=derive)
    assert [segment.begins for segment in episode.agents[0].segments] == ["start", "instructed"]
    assert [step.linked for step in episode.steps] == ["inferred", "response-id", "response-id"]
    contents = [[message["content"] for message in turns[one.trace_id].messages] for one in steps]
    assert contents[1] == ["Work.", "one", "first", "two"]
    assert contents[2] == ["Rest.", "one", "first", "two", "second", "three"]
