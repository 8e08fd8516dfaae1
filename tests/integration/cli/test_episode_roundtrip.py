"""A run that left as OpenTelemetry spans comes back the same: the same agents, the same words, the same tree."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from agent_runs import Harness
from cli_fixtures import Run

from freehold.config import load_settings
from freehold.domain.episodes import Episode, Turn
from freehold.record.derive import Deriver
from freehold.record.episodes.read import read_turns
from freehold.store import Store

CONFIG = '[upstreams.inc]\nbase_url = "http://127.0.0.1:1/v1"\nterms = "own"\n'


def _home(folder: Path) -> Store:
    folder.mkdir(exist_ok=True)
    (folder / "freehold.toml").write_text(CONFIG)
    settings = load_settings(folder / "freehold.toml")
    settings.data.mkdir(exist_ok=True)
    return Store.open(settings.data, settings.control_url)


def _read(store: Store) -> tuple[Episode, dict[str, Turn]]:
    return read_turns(store, "run-1", derive=Deriver(load_settings(store.data.parent / "freehold.toml").upstreams))


def test_spans_come_back_as_the_run_they_were(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    harness = Harness(3)
    main = harness.agent("main", examples=True)
    children = [main.spawn(f"helper-{number}") for number in range(5)]
    for child in children:
        child.fail()
        for call in child.call(2):
            child.result(call, f"found {harness.words()}")
        child.say()
        main.finish(child)
    main.say()
    main.tell("Now sum up.")
    main.compact()
    main.say()
    there = _home(tmp_path / "there")
    journal = there.open_journal()
    for trace in harness.traces():
        journal.append(trace)
    journal.close()
    monkeypatch.chdir(tmp_path / "there")
    code, _, err = run("episode", "export", "run-1", "--format", "otlp", "--out", "../spans.jsonl")
    assert code == 0, err
    here = _home(tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    code, out, err = run("import", "otel", "../spans.jsonl", "--upstream", "inc", "--json")
    assert code == 0, err or out
    assert msgspec.json.decode(out)["traces"] == len(harness.played)
    (before, said), (after, heard) = _read(there), _read(here)
    assert [agent.run for agent in after.agents] == [agent.run for agent in before.agents]
    assert [agent.parent for agent in after.agents] == [agent.parent for agent in before.agents]
    for old, new in zip(before.steps, after.steps, strict=True):
        assert (old.at_ns, old.model, old.failed) == (new.at_ns, new.model, new.failed)
        assert (old.input_tokens, old.output_tokens) == (new.input_tokens, new.output_tokens)
        one, other = said[old.trace_id], heard[new.trace_id]
        assert (one.digests, one.answer_digest, one.tools) == (other.digests, other.answer_digest, other.tools)
