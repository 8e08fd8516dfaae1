"""Episodes read together are those read one by one: trees, words and judgements, sealed or not, each tenant's own."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from agent_runs import Harness

from freehold.config import UpstreamSettings
from freehold.domain.ids import new_id
from freehold.domain.traces import Feedback
from freehold.record.derive import Deriver
from freehold.record.episodes import many
from freehold.record.episodes.read import NO_KEY, read_turns
from freehold.record.sealer import Sealer
from freehold.store import Store

UPSTREAMS = {"inc": UpstreamSettings(base_url="http://127.0.0.1:1/v1")}


def test_together_is_as_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "BATCH_STEPS", 7)
    store = Store.open(tmp_path, f"sqlite:///{tmp_path / 'control.sqlite'}")
    journal = store.open_journal()
    wanted: list[many.Named] = []
    for number in range(9):
        key = (None, "key_00000001", "key_00000002")[number % 3]
        harness = Harness(number, episode_id=f"run-{number // 2}")  # names are shared between tenants
        main = harness.agent("main")
        child = main.spawn("helper")
        child.say()
        main.finish(child)
        main.say()
        traces = [msgspec.structs.replace(trace, trace_id=new_id("tr"), key=key) for trace in harness.traces()]
        for trace in traces:
            journal.append(trace)
        journal.append(_judged(harness.episode_id, key, 0.5))
        journal.append(_judged(harness.episode_id, "key_00000003", 0.0))  # a stranger's
        journal.append(_judged("", key, 1.0, traces[0].trace_id))
        wanted.append(many.Named(harness.episode_id, key or NO_KEY))
        if number == 5:
            Sealer(store, UPSTREAMS).seal_once()
    journal.close()
    derive = Deriver(UPSTREAMS)
    found = list(many.read_many(store, [*wanted, many.Named("never", NO_KEY)], derive=derive))
    assert len(found) == 9
    for (episode, turns), one in zip(found, wanted, strict=True):
        alone, said = read_turns(store, one.episode_id, derive=derive, key=one.key)
        assert sorted(episode.feedback, key=_order) == sorted(alone.feedback, key=_order)
        assert {item.key for item in episode.feedback} <= {None, one.key or None}
        assert msgspec.structs.replace(episode, feedback=()) == msgspec.structs.replace(alone, feedback=())
        assert turns == said


def _judged(episode: str, key: str | None, score: float, trace_id: str = "") -> Feedback:
    return Feedback(feedback_id=new_id("fb"), trace_id=trace_id, episode=episode or None, at_ns=1, score=score, key=key)


def _order(item: Feedback) -> str:
    return item.feedback_id
