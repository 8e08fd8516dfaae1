"""Evaluations are kept for good, shown on the command line, and their examples are forgotten."""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from evaluation_fixtures import TASK, keep_evaluations, ticket_samples
from loop_fixtures import completion, incumbent_trace

from freehold.cli.main import freehold
from freehold.config import Settings, UpstreamSettings
from freehold.domain.errors import Conflict, StoreError
from freehold.domain.evaluations import Compared
from freehold.domain.traces import Trace
from freehold.evaluate.comparison import recorded_of
from freehold.evaluate.reports import newest
from freehold.evaluate.safety import recorded_exchanges
from freehold.record.forgetting.forget import forget
from freehold.record.sealer import Sealer
from freehold.store import Store
from freehold.store.evaluations import read_examples

CONFIG = '[upstreams.up]\nbase_url = "http://127.0.0.1:1/v1"\n'


@pytest.fixture
def store(tmp_path: Path) -> Generator[Store, None, None]:
    (tmp_path / "freehold.toml").write_text(CONFIG)
    settings = settings_of(tmp_path)
    with closing(Store.open(settings.data, settings.control_url)) as opened:
        yield opened


def settings_of(folder: Path) -> Settings:
    upstream = UpstreamSettings(base_url="http://127.0.0.1:1/v1")
    return Settings(upstreams={"up": upstream}, data_dir=str(folder / "freehold-data"))


def said(folder: Path, *words: str) -> str:
    done = CliRunner().invoke(freehold, [*words, "--config", str(folder / "freehold.toml")], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return done.output


def test_it_is_immutable_and_its_examples_are_as_they_were_written(store: Store) -> None:
    known = keep_evaluations(store)
    assert known.comparison is not None and known.safety is not None and len(known.harness) == 1
    examples = read_examples(store, known.comparison)
    assert examples is not None and len(examples) == 20 and examples[0].candidate_score == pytest.approx(2 / 3)
    assert [one.section for one in read_examples(store, known.safety) or []] == ["refusals-kept"] * 3
    assert read_examples(store, known.harness[0]) == []
    with pytest.raises(Conflict):
        store.control.evaluations.put(msgspec.structs.replace(known.comparison, student="st_other"))
    assert newest(store, TASK.task_id, "st_other").comparison is None
    for evaluation in (known.comparison, known.safety):  # what callers wrote lies beside it, where it can be forgotten
        assert b"flames" not in msgspec.json.encode(evaluation) and b"Mill Lane" not in msgspec.json.encode(evaluation)
    path = store.data / known.comparison.path / "examples.parquet"
    path.write_bytes(path.read_bytes() + b"?")
    with pytest.raises(StoreError):
        read_examples(store, known.comparison)


def test_the_command_shows_slices_examples_and_safety(store: Store, tmp_path: Path) -> None:
    assert "Nothing has been evaluated" in empty_report(store, tmp_path)
    keep_evaluations(store)
    text = said(tmp_path, "report", TASK.name)
    assert 'priority = "high"' in text and "Worse for certain in one slice" in text and "FAILED" in text
    assert "$0.000420 per answer" in text and "prompt_level_strict_acc" in text and "burst into flames" in text
    document = json.loads(said(tmp_path, "report", TASK.task_id, "--json"))
    assert [item["report"]["kind"] for item in document["evaluations"]] == ["comparison", "safety", "harness"]
    assert sorted(len(found) for found in document["examples"].values()) == [3, 20]
    assert msgspec.convert(document["evaluations"][0]["report"], Compared).overall.rows == 500


def empty_report(store: Store, folder: Path) -> str:
    store.control.tasks.put(TASK)
    return said(folder, "report", TASK.name)


def test_examples_go_when_their_request_is_forgotten(store: Store, tmp_path: Path) -> None:
    known = keep_evaluations(store)
    assert known.comparison is not None and known.safety is not None
    examples = read_examples(store, known.comparison)
    assert examples
    trace = incumbent_trace(1, "burst into flames", "{}", trace_id=examples[0].row, task=TASK.task_id)
    record(store, [trace])
    receipt = forget(store, settings_of(tmp_path).upstreams, "trace", trace.trace_id)
    holders = [(holder.kind, holder.removed) for holder in receipt.holders]
    assert holders == [("evaluation", True)]
    assert read_examples(store, known.comparison) is None and read_examples(store, known.safety)
    assert newest(store, TASK.task_id).comparison == known.comparison  # its figures stay


def record(store: Store, traces: list[Trace]) -> None:
    with closing(store.open_journal()) as journal:
        for trace in traces:
            journal.append(trace)
    Sealer(store, {"inc": UpstreamSettings(base_url="http://127.0.0.1:1/v1")}).seal_once()


def refused(number: int, text: str | None, **more: Any) -> Trace:
    return incumbent_trace(number, f"ask {number}", text, task=TASK.task_id, at_ns=time.time_ns() + number, **more)


def test_recorded_refusals_and_what_the_incumbent_cost(store: Store) -> None:
    said_no = {"message": {"content": None, "refusal": "I won't."}, "finish_reason": "stop"}
    traces = [
        refused(1, "I'm sorry, but I can't help with that."),
        refused(2, "yes"),
        refused(3, None, response=json.dumps({"choices": [said_no]}).encode()),
        refused(4, "", response=completion("", "content_filter")),
        refused(5, "I can't help with that.", owned=True),
        refused(6, "I can't help with that."),
        refused(7, "I can't help with that.", key="key_7", duration_us=5000),
    ]
    record(store, traces)
    found = recorded_exchanges(store, TASK.task_id, leave_out=[traces[5].trace_id])
    assert [probe.prompt for probe in found] == ["ask 1", "ask 3", "ask 4", "ask 7"]
    assert found[1].incumbent == "I won't." and all(probe.refused for probe in found)
    assert [probe.prompt for probe in recorded_exchanges(store, TASK.task_id, most=1)] == ["ask 7"]
    sample = msgspec.structs.replace(ticket_samples(1)[0], trace_id=traces[6].trace_id, at_ns=traces[6].at_ns)
    known = recorded_of(store, TASK.task_id, [sample])
    assert known.keys == {traces[6].trace_id: "key_7"} and known.incumbent_ms == 5.0
    assert known.incumbent_dollars is None and recorded_of(store, TASK.task_id, []).incumbent_ms is None
