"""Datasets by the command line: built by steps, killed while being built, shown, compared and exported."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from cli_fixtures import Run, quiet_logs, run
from loop_fixtures import incumbent_trace, urgency

from freehold.config import load_settings
from freehold.curate import discover
from freehold.domain.traces import Feedback
from freehold.record.sealer import Sealer
from freehold.store import Store
from freehold.store.artifacts import read_dataset

__all__ = ["quiet_logs", "run"]
TASK = incumbent_trace(0, "", "").task
CONFIG = """
data_dir = "data"
[upstreams.inc]
base_url = "http://127.0.0.1:1/v1"
terms = "{terms}"
[upstreams.spare]
base_url = "http://127.0.0.1:2/v1"
terms = "own"
[loop]
min_samples = 50
"""
STEPS = """
[[curate.steps]]
step = "best-answer"
[[curate.steps]]
step = "exact-duplicates"
by = "prompt"
[[curate.steps]]
step = "redact"
[[curate.steps]]
step = "split"
"""


class Folder:
    """A data folder with traffic of one task."""

    def __init__(self, path: Path, terms: str = "own", steps: str = STEPS) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.config = path / "freehold.toml"
        self.config.write_text(CONFIG.format(terms=terms) + steps)
        self.settings = load_settings(self.config)

    def store(self) -> Store:
        return Store.open(self.settings.data, self.settings.control_url)

    def send(self, rows: list[tuple[str, str]], first: int = 0, **changes: Any) -> list[str]:
        """Record exchanges; gives their ids."""
        store = self.store()
        journal = store.open_journal()
        traces = [incumbent_trace(first + n, user, answer, **changes) for n, (user, answer) in enumerate(rows)]
        for trace in traces:
            journal.append(trace)
        journal.close()
        store.close()
        return [trace.trace_id for trace in traces]

    def judge(self, trace: str, **said: Any) -> None:
        store = self.store()
        journal = store.open_journal()
        journal.append(Feedback(feedback_id=f"fb_{trace}", trace_id=trace, at_ns=1, **said))
        journal.close()
        store.close()


def _rows() -> list[tuple[str, str]]:
    rows = urgency(3, 120)
    return [*rows, *rows[:10], ("please answer me at jane.roe@corp-mail.net at once", "yes")]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "desk")
    ids = made.send(_rows())
    made.judge(ids[3], edit="no", score=0.0)
    made.send(
        [(_rows()[n][0], "no") for n in range(20, 30)], first=1000, kind="shadow", of=ids[5], answered_by="spare/two"
    )
    return made


def _curate(run: Run, folder: Folder, *more: str) -> str:
    code, out, err = run("curate", TASK, "--config", str(folder.config), "--json", *more)
    assert code == 0, out + err
    return str(json.loads(out)["steps"]["curate"]["dataset"])


def _find_task(folder: Folder) -> None:
    store = folder.store()
    Sealer(store, folder.settings.upstreams).seal_once()
    discover(store, folder.settings, 10**18)
    store.keys.public_key()  # makes the key, which pseudonyms come from, before anything is copied
    store.close()


def test_steps_that_are_declared_make_the_dataset_and_its_card_says_what_they_did(folder: Folder, run: Run) -> None:
    _find_task(folder)
    code, out, _ = run("curate", TASK, "--fresh", "--config", str(folder.config))
    assert code == 0 and "best-answer" in out and "said before" in out
    dataset = _curate(run, folder, "--fresh")
    store = folder.store()
    record = store.control.datasets.get(dataset)
    assert record is not None
    rows = {sample.prompt: sample for sample in read_dataset(store.data / record.path, record.sha256)}
    store.close()
    best, exact, redact, _ = record.steps
    assert redact.changed <= 1
    assert set(best.reasons) == {"compared with: the incumbent won"}
    assert 0 < sum(best.reasons.values()) <= 10, "those beside rows that certify are none of our business"
    assert 0 < exact.reasons["said before"] <= 10, "repeated prompts that certify stay: they are how traffic is"
    edited = rows[_rows()[3][0]]
    assert edited.part == "certify" or (edited.answer, edited.origin, edited.changed) == ("no", "person", "best-answer")
    [mail] = [sample for prompt, sample in rows.items() if prompt.startswith("please answer me")]
    assert ("jane.roe" in mail.prompt) == (mail.part == "certify")
    code, card, _ = run("dataset", "show", dataset[:9], "--config", str(folder.config))
    assert code == 0
    for words in (dataset, "| redact |", "compared with: the incumbent won", "inc/gpt", "| own |", record.sha256):
        assert words in card
    assert "jane" not in card and "| en |" in card and f"freehold curate {TASK}" in card
    code, out, _ = run("dataset", "list", "--config", str(folder.config), "--json")
    assert [item["dataset_id"] for item in json.loads(out)] == [dataset]


def test_two_versions_are_compared_row_by_row(folder: Folder, run: Run) -> None:
    _find_task(folder)
    first = _curate(run, folder, "--fresh")
    new = folder.send([("a message nobody sent before", "yes")], first=5000)
    folder.config.write_text(CONFIG.format(terms="own") + '[[curate.steps]]\nstep = "length"\nmax_prompt = 90\n')
    second = _curate(run, folder, "--fresh")
    code, out, _ = run("dataset", "diff", first, second, "--config", str(folder.config), "--json")
    assert code == 0
    found = json.loads(out)
    changes = {change["trace_id"]: change for change in found["changes"]}
    assert changes[new[0]]["change"] == "added"
    removed = [change for change in found["changes"] if change["change"] == "removed"]
    assert removed and all(change["why"] == "length: prompt too long" for change in removed)
    added = [change["why"] for change in found["changes"] if change["change"] == "added" and change.get("why")]
    assert set(added) <= {"before: exact-duplicates: said before"}
    store = folder.store()
    before, after = (store.control.datasets.get(name) for name in (first, second))
    store.close()
    assert before and after and after.parent == first and before.pipeline_sha256 != after.pipeline_sha256
    assert found["same"] + len(removed) + sum(c["change"] == "changed" for c in found["changes"]) == before.rows
    code, out, _ = run("dataset", "diff", first, second, "--config", str(folder.config))
    assert code == 0 and "prompt too long" in out
    code, _, err = run("dataset", "diff", first, "ds_none", "--config", str(folder.config))
    assert code == 3 and "ds_none" in err


def test_exports_hold_what_may_be_used_and_nothing_that_certifies(folder: Folder, run: Run, tmp_path: Path) -> None:
    _find_task(folder)
    dataset = _curate(run, folder, "--fresh")
    config = ("--config", str(folder.config))
    counts = {"fit": 0, "tune": 0}
    for form in ("openai", "sharegpt", "parquet", "hf"):
        out = tmp_path / form
        code, text, err = run("dataset", "export", dataset, "--format", form, "--out", str(out), *config, "--json")
        assert code == 0, err
        counts = json.loads(text)["rows"]
        assert (out / ("README.md" if form == "hf" else "card.md")).exists()
    chats = [json.loads(line) for line in (tmp_path / "openai/fit.jsonl").read_text().splitlines()]
    assert len(chats) == counts["fit"] and [turn["role"] for turn in chats[0]["messages"]] == ["user", "assistant"]
    turns = json.loads((tmp_path / "sharegpt/tune.jsonl").read_text().splitlines()[0])["conversations"]
    assert [turn["from"] for turn in turns] == ["human", "gpt"]
    table = pl.read_parquet(tmp_path / "parquet/fit.parquet")
    assert table.height == counts["fit"] and {"trace_id", "terms", "verdict", "origin"} <= set(table.columns)
    train = pl.read_parquet(tmp_path / "hf/data/train-00000-of-00001.parquet")
    assert train.equals(table) and "split: validation" in (tmp_path / "hf/README.md").read_text()
    code, _, err = run(
        "dataset", "export", dataset, "--format", "hf", "--out", str(tmp_path / "c"), "--part", "certify", *config
    )
    assert code == 2 and "redact" in err and not (tmp_path / "c").exists()
    code, _, err = run("dataset", "export", dataset, "--format", "hf", "--out", str(tmp_path / "openai"), *config)
    assert code != 0 and str(tmp_path / "openai") in err


def test_a_hugging_face_folder_loads(folder: Folder, run: Run, tmp_path: Path) -> None:
    datasets: Any = pytest.importorskip("datasets", reason="needs freehold[train]")
    _find_task(folder)
    dataset = _curate(run, folder, "--fresh")
    config = ("--config", str(folder.config))
    code, text, _ = run(
        "dataset", "export", dataset, "--format", "hf", "--out", str(tmp_path / "hf"), *config, "--json"
    )
    loaded = datasets.load_dataset(str(tmp_path / "hf"), cache_dir=str(tmp_path / "cache"))
    rows = json.loads(text)["rows"]
    assert code == 0 and {name: len(split) for name, split in loaded.items()} == {
        "train": rows["fit"],
        "validation": rows["tune"],
    }
    assert loaded["train"][0]["prompt"]


def test_what_may_train_a_classifier_need_not_train_a_generative_model(tmp_path: Path, run: Run) -> None:
    folder = Folder(tmp_path / "desk", "openai-api", "")
    folder.send(urgency(3, 120))
    _find_task(folder)
    dataset = _curate(run, folder, "--fresh")
    arguments = ("dataset", "export", dataset, "--out", str(tmp_path / "out"), "--config", str(folder.config))
    code, _, err = run(*arguments, "--format", "openai")
    assert code == 6 and "generative model" in err and not (tmp_path / "out").exists()
    assert run(*arguments, "--format", "parquet")[0] == 0


_KILLED = """
import os, signal, sys
from freehold.cli.main import main
from freehold.curate import dataset, pipeline
from freehold.store import artifacts

def die(*given, **named):
    os.kill(os.getpid(), signal.SIGKILL)

where = sys.argv[1]
if where == "between steps":
    made = pipeline.make_step
    names = iter(range(99))
    pipeline.make_step = lambda *given: made(*given) if next(names) < 3 else die()
elif where == "draft":
    artifacts.sync_folder = die
else:
    written = dataset.write_dataset
    dataset.write_dataset = lambda *given: (written(*given), die())
main(sys.argv[2:])
"""


@pytest.mark.parametrize("where", ["between steps", "draft", "before it is recorded"])
def test_a_job_that_is_killed_leaves_nothing_half_and_gives_the_same_afterwards(
    folder: Folder, run: Run, where: str
) -> None:
    _find_task(folder)
    twin = folder.config.parent.with_name("twin")
    shutil.copytree(folder.config.parent, twin)
    command = [sys.executable, "-c", _KILLED, where, "curate", TASK, "--config", str(folder.config)]
    killed = subprocess.run(command, capture_output=True, timeout=120)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    datasets = folder.settings.data / "datasets"
    whole = [path for path in datasets.glob("*") if not path.name.startswith(".")] if datasets.exists() else []
    assert len(whole) == (where == "before it is recorded")
    dataset = _curate(run, folder)
    undisturbed = Folder(twin)
    assert dataset == _curate(run, undisturbed)
    assert [path.name for path in datasets.iterdir()] == [dataset.removeprefix("ds_")], "no draft is left"
