"""Runs as the gateway records them, by journal and table to files: whole, the same bytes, nothing that is denied."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from agent_runs import Harness
from atif_rules import problems
from cli_fixtures import Run

from freehold.config import load_settings
from freehold.domain.traces import Record, Trace
from freehold.record.sealer import Sealer
from freehold.store import Store

CONFIG = """
[upstreams.inc]
base_url = "http://127.0.0.1:1/v1"
terms = "own"
[upstreams.closed]
base_url = "http://127.0.0.1:2/v1"
terms = "google-consumer"
[upstreams.odd]
base_url = "http://127.0.0.1:3/v1"
"""


def _fan_out(children: int = 50, **of_harness: Any) -> Harness:
    """A main agent with so many sub-agents at once, which take turns; one try of each fails."""
    harness = Harness(7, **of_harness)
    main = harness.agent("main", examples=True)
    agents = [main.spawn(f"agent-{number}") for number in range(children)]
    for agent in agents:
        agent.fail()
    for agent in agents:
        for call in agent.call(2):
            agent.result(call, f"found {harness.words()}")
    for agent in agents:
        agent.say()
        main.finish(agent)
    main.say()
    return harness


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a configuration, which is the working folder."""
    (tmp_path / "freehold.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _record(place: Path, records: list[Record], *, seal: int | None = None) -> None:
    """Write to the journal; the first `seal` records (default: all) are sealed, the others wait in it."""
    settings = load_settings(place / "freehold.toml")
    settings.data.mkdir(exist_ok=True)
    store = Store.open(settings.data, settings.control_url)
    journal = store.open_journal()
    count = len(records) if seal is None else seal
    for record in records[:count]:
        journal.append(record)
    Sealer(store, settings.upstreams).seal_once()
    for record in records[count:]:
        journal.append(record)
    journal.close()
    store.close()


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_wide_run_leaves_in_every_form(place: Path, run: Run) -> None:
    harness = _fan_out()
    traces: list[Record] = [*harness.traces()]
    _record(place, traces, seal=len(traces) // 2)
    for form in ("chat", "sharegpt", "atif", "otlp"):
        code, out, err = run("episode", "export", "run-1", "--format", form, "--out", f"{form}.jsonl", "--json")
        assert code == 0, err or out
        report = json.loads(out)
        assert (report["episodes"], report["steps"], report["refused"]) == (1, len(harness.played), [])
    rows = _lines(place / "chat.jsonl")
    assert {row["freehold"]["agent"] for row in rows} == {"main", *(f"agent-{number}" for number in range(50))}
    learned = {
        (trace, message["content"])
        for row in rows
        for message, loss, trace in zip(row["messages"], row["loss_mask"], row["freehold"]["traces"], strict=True)
        if loss
    }
    assert learned == {(trace_id, answer["content"]) for trace_id, answer in harness.learned.items()}
    assert all(len(row["tools"]) == 3 for row in rows)
    (document,) = _lines(place / "atif.jsonl")
    assert problems(document) == []
    assert len(document["subagent_trajectories"]) == 50
    (spans,) = _lines(place / "otlp.jsonl")
    names = [span["name"].split()[0] for span in spans["resourceSpans"][0]["scopeSpans"][0]["spans"]]
    assert (names.count("invoke_agent"), names.count("chat")) == (51, len(harness.played))
    assert names.count("execute_tool") == 150  # two tools of each sub-agent's, and each sub-agent is one
    assert not list(place.glob(".*.part"))


def test_the_same_run_gives_the_same_bytes_sealed_or_not(place: Path, run: Run, tmp_path: Path) -> None:
    traces: list[Record] = [*_fan_out(8).traces()]
    _record(place, traces, seal=0)
    assert run("episode", "export", "run-1", "--out", "before.jsonl")[0] == 0
    _record(place, [], seal=0)
    assert run("episode", "export", "--since", "2025-01-01", "--out", "after.jsonl")[0] == 0
    assert (place / "before.jsonl").read_bytes() == (place / "after.jsonl").read_bytes()


def test_what_rights_deny_stays_out_and_is_named(place: Path, run: Run) -> None:
    mine = _fan_out(2)
    theirs = _fan_out(2, answered_by="closed/model", episode_id="run-2")
    nobodys = _fan_out(2, answered_by="odd/model", episode_id="run-3")
    _record(place, [*mine.traces(), *theirs.traces(), *nobodys.traces()])
    code, out, _ = run("episode", "export", "--since", "2025-01-01", "--out", "all.jsonl", "--json")
    report = json.loads(out)
    assert code == 0
    assert {row["freehold"]["episode"] for row in _lines(place / "all.jsonl")} == {"run-1"}
    assert {(one["episode_id"], one["terms"]) for one in report["refused"]} == {
        ("run-2", "google-consumer"),
        ("run-3", "unknown"),
    }
    code, _, err = run("episode", "export", "run-3", "--out", "none.jsonl")
    assert code == 6
    assert "odd/model" in err and "freehold rights decide" in err and "not legal advice" in err
    assert not (place / "none.jsonl").exists()
    assert run("episode", "export", "run-3", "--format", "otlp", "--out", "own.jsonl")[0] == 0  # a trace trains nobody


def test_another_tenants_run_of_the_same_name_is_not_mixed_in(place: Path, run: Run) -> None:
    for_one, for_other = _fan_out(2), _fan_out(3)
    records = [_of_key(trace, "key_00000001", "1") for trace in for_one.traces()]
    records += [_of_key(trace, "key_00000002", "2") for trace in for_other.traces()]
    _record(place, [*records])
    code, _, err = run("episode", "export", "run-1", "--out", "x.jsonl")
    assert code != 0 and "key_00000001" in err
    assert run("episode", "export", "run-1", "--key", "key_00000001", "--out", "one.jsonl")[0] == 0
    assert run("episode", "export", "--since", "2025-01-01", "--out", "both.jsonl")[0] == 0
    one, both = _lines(place / "one.jsonl"), _lines(place / "both.jsonl")
    assert {trace[-1] for row in one for trace in row["freehold"]["traces"]} == {"1"}
    assert len(both) == 3 + 4
    assert all(len({trace[-1] for trace in row["freehold"]["traces"]}) == 1 for row in both)


def _of_key(trace: Trace, key: str, digit: str) -> Trace:
    return msgspec.structs.replace(trace, key=key, trace_id=trace.trace_id + digit)


def test_redacted_runs_hold_no_address_and_still_fit_together(place: Path, run: Run) -> None:
    harness = Harness()
    agent = harness.agent("main", prompt="Write to jane.doe@corp.example about AKIAIOSFODNN7EXAMPLE, please.")
    (call,) = agent.call(1)
    call["function"]["arguments"] = '{"to": "jane.doe@corp.example"}'
    agent.result(call, '{"sent": "jane.doe@corp.example"}')
    agent.say()
    _record(place, [*harness.traces()])
    for form in ("chat", "sharegpt", "atif", "otlp"):
        code, _, err = run("episode", "export", "run-1", "--format", form, "--out", "safe.jsonl", "--redact")
        assert code == 0, err
        text = (place / "safe.jsonl").read_text()
        assert "jane.doe" not in text and "AKIA" not in text
        assert len(set(re.findall(r"person-\w+@example\.invalid", text))) == 1
    assert len(_lines(place / "safe.jsonl")) == 1
    assert run("episode", "export", "run-1", "--out", "safe.jsonl", "--redact")[0] == 0
    (row,) = _lines(place / "safe.jsonl")
    assert json.loads(row["messages"][2]["tool_calls"][0]["function"]["arguments"])["to"].endswith("@example.invalid")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--out", "x.jsonl"), "No episode was named"),
        (("nope", "--out", "x.jsonl"), "There is no episode nope"),
        (("--since", "yesterday", "--out", "x.jsonl"), "not a day"),
        (("--since", "2031-01-01", "--out", "x.jsonl"), "No episode is like that"),
        (("run-1", "--out", "missing/x.jsonl"), "cannot be written"),
        (("--task", "nobodys", "--out", "x.jsonl"), "There is no task"),
    ],
)
def test_what_cannot_be_done_is_said(place: Path, run: Run, arguments: tuple[str, ...], said: str) -> None:
    _record(place, [*_fan_out(1).traces()])
    code, _, err = run("episode", "export", *arguments)
    assert code != 0
    assert said in err
    assert not (place / "x.jsonl").exists()


def test_a_file_that_was_there_stays_until_the_new_one_is_whole(place: Path, run: Run) -> None:
    _record(place, [*_fan_out(1, answered_by="odd/model").traces()])
    (place / "x.jsonl").write_text("before")
    assert run("episode", "export", "run-1", "--out", "x.jsonl")[0] == 6
    assert (place / "x.jsonl").read_text() == "before"


def test_runs_that_nobody_named_leave_too_where_asked(place: Path, run: Run) -> None:
    harness = Harness(5)
    main = harness.agent("main", prompt="Find out who wrote the report on the harbour, and when.")
    for call in main.call(1):
        main.result(call, f"found {harness.words()}")
    main.say()
    traces = [msgspec.structs.replace(trace, episode=None, agent=None, parent=None) for trace in harness.traces()]
    _record(place, [*traces])
    assert run("episode", "export", "--since", "2025-01-01", "--out", "named.jsonl")[0] == 3
    code, out, err = run("episode", "export", "--inferred", "--since", "2025-01-01", "--out", "found.jsonl", "--json")
    assert code == 0, err or out
    (row,) = _lines(place / "found.jsonl")
    assert sum(row["loss_mask"]) == 2
    assert row["freehold"]["episode"].startswith("ep_")
