"""`freehold import` as people run it, and what the loop makes of what was imported."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import import_examples as examples
import polars as pl
import pytest

from freehold.config import load_settings
from freehold.curate.answers import AnswerRights
from freehold.curate.discover import discover
from freehold.curate.samples import collect_samples
from freehold.domain.access import VirtualKey
from freehold.record.derive import Deriver
from freehold.rights import TrainingJudge
from freehold.store import Store
from freehold.store.traces.read import read_traces

CONFIG = """
[upstreams.main]
base_url = "http://127.0.0.1:9/v1"
keyless = true
terms = "own"
"""


class Result(NamedTuple):
    code: int
    out: str
    error: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "freehold.toml").write_text(CONFIG)
    return tmp_path


def freehold(folder: Path, *arguments: str) -> Result:
    line = [sys.executable, "-m", "freehold.cli.main", *arguments]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    return Result(done.returncode, done.stdout, done.stderr)


def opened(folder: Path) -> Store:
    settings = load_settings(folder / "freehold.toml")
    return Store.open(settings.data, settings.control_url)


def chats(count: int) -> list[dict[str, Any]]:
    system = {"role": "system", "content": "Sort the mail into delivery or billing."}
    return [
        {
            "messages": [
                system,
                {"role": "user", "content": f"Mail number {number}"},
                {"role": "assistant", "content": ("delivery", "billing")[number % 2]},
            ]
        }
        for number in range(count)
    ]


def test_what_was_imported_is_found_as_a_task_and_trains_but_never_certifies(folder: Path) -> None:
    (folder / "a.jsonl").write_bytes(examples.lines(chats(60)))
    done = freehold(folder, "import", "openai-chat", "a.jsonl", "--upstream", "main", "--model", "m", "--json")
    assert (done.code, done.document["traces"]) == (0, 60), done.error
    assert freehold(folder, "import", "openai-chat", "a.jsonl", "--upstream", "main", "--model", "m").code == 0
    settings = load_settings(folder / "freehold.toml")
    store = opened(folder)
    try:
        from freehold.record.sealer import Sealer

        Sealer(store, settings.upstreams).seal_once()
        seen = discover(store, settings, time.time_ns())
        ((task, found),) = seen.items()
        assert (found.requests, found.answers) == (60, 60)
        frame = read_traces(store, task=task, derive=Deriver(settings.upstreams))
        judge = TrainingJudge("train_classifier", (), datetime.date(2026, 11, 21))
        samples, left_out = collect_samples(frame, AnswerRights({"main": "own"}, judge))
        assert (len(samples), dict(left_out)) == (60, {})
        assert {sample.part for sample in samples} == {"fit", "tune"}
        assert not any(sample.uniform for sample in samples)
        kept, _ = collect_samples(frame, AnswerRights({}, judge))
        assert len(kept) == 60, "the terms were noted when the traces were sealed"
        bare = frame.with_columns(terms=pl.lit("unknown"))
        denied, why = collect_samples(bare, AnswerRights({}, judge))
        assert (denied, sum(why.values())) == ([], 60)
    finally:
        store.close()


def test_rejected_rows_show_in_the_exit_code_and_in_a_file(folder: Path) -> None:
    (folder / "a.jsonl").write_bytes(examples.lines([*chats(2), {"messages": [{"role": "user", "content": "x"}]}]))
    done = freehold(folder, "import", "openai-chat", "a.jsonl")
    assert done.code == 9
    assert "rejected 1: Its last message is not an assistant's" in done.out
    (rejects,) = (folder / "freehold-data" / "imports").glob("rejects-*.jsonl")
    assert json.loads(rejects.read_bytes())["line"] == 3


def test_whose_it_is_and_what_it_is_called(folder: Path) -> None:
    store = opened(folder)
    now = time.time_ns()
    store.control.access.keys.put(
        VirtualKey(key_id="key_0011223344", name="mail", secrets=(), created_ns=now, updated_ns=now)
    )
    store.close()
    (folder / "a.jsonl").write_bytes(examples.lines(chats(1)))
    assert freehold(folder, "import", "openai-chat", "a.jsonl", "--key", "mail", "--task", "sorting").code == 0
    store = opened(folder)
    row = read_traces(store, derive=Deriver({})).row(0, named=True)
    store.close()
    assert (row["key"], row["task_name"], row["answered_by"]) == ("key_0011223344", "sorting", "imported/unknown")
    nobody = freehold(folder, "import", "openai-chat", "a.jsonl", "--key", "nobody", "--json")
    assert (nobody.code, nobody.document["error"]["code"]) == (3, "not_found")
    nowhere = freehold(folder, "import", "openai-chat", "a.jsonl", "--upstream", "nowhere", "--json")
    assert (nowhere.code, nowhere.document["error"]["code"]) == (2, "config_error")


def test_formats_are_listed_and_told(folder: Path) -> None:
    (folder / "a.jsonl").write_bytes(examples.lines([examples.TENSORZERO_JSON]))
    (folder / "b.jsonl").write_bytes(examples.lines([{"x": 1}]))
    found = freehold(folder, "import", "--detect", "a.jsonl", "b.jsonl", "--json").document
    assert [(entry["format"], entry["kind"]) for entry in found] == [("tensorzero", "inference"), (None, None)]
    listed = freehold(folder, "import", "--formats")
    assert (listed.code, len(listed.out.splitlines())) == (0, 12)
    wrong = freehold(folder, "import", "tensorflow", "a.jsonl", "--json")
    assert (wrong.code, "tensorzero" in wrong.document["error"]["hint"]) == (2, True)
    other = freehold(folder, "import", "openai-chat", "a.jsonl")
    assert (other.code, "looks like tensorzero" in other.error) == (2, True)
    dry = freehold(folder, "import", "tensorzero", "a.jsonl", "--dry-run", "--json").document
    assert (dry["traces"], dry["dry_run"]) == (1, True)
