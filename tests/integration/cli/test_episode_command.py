"""`freehold episode`: a run of fifty agents stays readable, and nothing that callers wrote drives the terminal."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from bench.record.agent_traffic import START_NS, Level, Stage

from freehold.config import load_settings
from freehold.domain.traces import Feedback, Trace
from freehold.store import Store

Run = Callable[..., tuple[int, str, str]]
LEVEL = Level("shown", runs=1, children=52, failing=0.05, single=0, chats=0)


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one run: unsaid, and under a name of its own with a key's."""
    config = tmp_path / "freehold.toml"
    config.write_text(
        f'data_dir = "{tmp_path / "data"}"\n[upstreams.up]\nbase_url = "http://127.0.0.1:9/v1"\nterms = "own"\n'
    )
    monkeypatch.setenv("FREEHOLD_CONFIG", str(config))
    monkeypatch.setenv("COLUMNS", "160")
    settings = load_settings(config)
    settings.data.mkdir()
    traffic = Stage(LEVEL, 3).play()
    later = time.time_ns() - 1800 * 10**9 - START_NS
    with closing(Store.open(settings.data, settings.control_url)) as store, closing(store.open_journal()) as journal:
        for trace in traffic.traces:
            truth = traffic.truth[trace.trace_id]
            journal.append(_at(trace, later, 0))
            if truth.run == 0:
                parent = f"w{truth.parent}" if truth.parent else None
                said = {"episode": "night", "agent": f"w{truth.agent}", "parent": parent, "linked": "url"}
                journal.append(msgspec.structs.replace(_at(trace, later, 1), key="key_1", **said))
        odd = {"episode": "night", "agent": "\x1b[31mred[bold]", "key": "key_2", "error": "x\x07\x1b]0;title"}
        journal.append(msgspec.structs.replace(_at(traffic.traces[0], later, 2), **odd))
        journal.append(
            Feedback(feedback_id="fb_0011223344", trace_id="", episode="night", at_ns=1, score=0.75, key="key_1")
        )
    return tmp_path


def _at(trace: Trace, later: int, number: int) -> Trace:
    at_ns = trace.at_ns + later + number
    return msgspec.structs.replace(trace, at_ns=at_ns, trace_id=f"tr_{at_ns:016x}{trace.trace_id[-12:]}")


def test_runs_are_listed_and_shown_folded_and_whole(shown: Path, run: Run) -> None:
    code, out, _ = run("episode", "list", "--json")
    lines = {(line["episode_id"], line["key"]): line for line in json.loads(out)}
    named, (found,) = lines["night", "key_1"], [line for line in lines.values() if line["how"] == ["inferred"]]
    assert code == 0 and len(lines) == 3
    assert named["agents"] == found["agents"] > 52 and named["steps"] == found["steps"] > 150
    assert "night" in run("episode", "list", "--named")[1] and "ep_" not in run("episode", "list", "--named")[1]

    for name, key in (("night", "key_1"), (found["episode_id"], "")):
        code, out, _ = run("episode", "show", name, "--key", key)
        assert code == 0 and len(out.splitlines()) < 80 and "more agents" in out
        code, whole, _ = run("episode", "show", name, "--key", key, "--all")
        assert whole.count("tr_") == named["steps"] and "more agents" not in whole
        tree = json.loads(run("episode", "show", name, "--key", key, "--json")[1])
        assert len(tree["agents"]) == named["agents"] and len(tree["roots"]) == 1
    assert "score 0.75" in run("episode", "show", "night", "--key", "key_1")[1]


def test_names_are_shown_without_what_a_terminal_obeys(shown: Path, run: Run) -> None:
    code, out, _ = run("episode", "show", "night", "--key", "key_2", "--all")
    assert code == 0 and "�[31mred[bold]" in out
    assert "\x1b" not in out and "\x07" not in out


def test_whose_run_is_meant_must_be_said_where_two_share_a_name(shown: Path, run: Run) -> None:
    code, _, told = run("episode", "show", "night")
    assert code == 2 and "key_1, key_2" in told and "--key" in told
    code, _, told = run("episode", "show", "nobody", "--key", "key_1")
    assert code == 3 and "nobody" in told
    assert run("episode", "show", " ")[0] == 2
