"""`freehold student train`: agents' runs become a student that is served; what may not be learned is not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from agent_runs import Harness
from cli_fixtures import Run
from cli_fixtures import quiet_logs as quiet_logs
from cli_fixtures import run as run
from tiny_models import make_model

from freehold.cli.students.server import _placed  # pyright: ignore[reportPrivateUsage]
from freehold.cli.students.training_bar import figures
from freehold.config import load_settings
from freehold.record.sealer import Sealer
from freehold.serving.engine import answer_all
from freehold.serving.folder import GenerativeManifest
from freehold.serving.server import FolderModels, Worker
from freehold.store import Store
from freehold.store.artifacts import check_files, read_student
from freehold.train.progress import Progress

CONFIG = """
[upstreams.inc]
base_url = "http://127.0.0.1:1/v1"
terms = "own"
"""
RECIPE = """
name = "runs"
about = "For tests."
max_answer_tokens = 16
[model]
from = "base"
[adapter]
rank = 4
[data]
context = 256
learn = "assistant"
[optimizer]
rate = 0.001
[run]
epochs = 1.0
batch_tokens = 1024
evaluate_every = 2
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: a configuration, a base model, a recipe."""
    (tmp_path / "freehold.toml").write_text(CONFIG)
    (tmp_path / "runs.toml").write_text(RECIPE)
    make_model(tmp_path / "models" / "tiny")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def exported(place: Path, run: Run) -> Path:
    """A run of many agents, recorded and exported."""
    harness = Harness(7)
    for number in range(30):
        agent = harness.agent(f"agent-{number}")
        agent.say()
        agent.tell("And then?")
        agent.say()
    settings = load_settings(place / "freehold.toml")
    settings.data.mkdir(exist_ok=True)
    store = Store.open(settings.data, settings.control_url)
    journal = store.open_journal()
    for trace in harness.traces():
        journal.append(trace)
    Sealer(store, settings.upstreams).seal_once()
    journal.close()
    store.close()
    code, out, err = run("episode", "export", "run-1", "--out", "runs.jsonl")
    assert code == 0, err or out
    return place / "runs.jsonl"


def rows_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_runs_become_an_adapter_that_is_served(place: Path, run: Run) -> None:
    rows = rows_of(exported(place, run))
    denied = {**rows[0], "freehold": {**rows[0]["freehold"], "terms": ["own", "google-consumer"]}}
    silent = {name: value for name, value in rows[1].items() if name != "freehold"}
    (place / "runs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [denied, silent, *rows[2:]]))
    train = ("student", "train", "runs.jsonl", "--recipe", "runs.toml", "--base", "tiny", "--to", "made", "--seed", "3")
    code, out, err = run(*train, "--json")
    assert code == 0, err or out
    told = json.loads(out)
    assert told["rows"]["refused"] == {"google-consumer": 1, "unknown": 1}
    assert told["rows"]["fit"] + told["rows"]["tune"] == 28 and told["rows"]["tune"] > 0
    assert (told["weights"], told["base"]) == ("adapter", "tiny") and told["fit"]["tune_loss"] > 0
    folder = place / "made"
    manifest, _ = read_student(folder, told["sha256"])
    check_files(folder, manifest)
    assert not list(place.glob(".made*")) and json.loads((folder / "training.json").read_text())["rows"]["fit"] > 0
    known = json.loads((folder / "manifest.json").read_bytes())
    student = GenerativeManifest(
        **{name: known[name] for name in GenerativeManifest.__struct_fields__ if name != "base"}
    )
    (answer,) = answer_all(folder, student, place / "models" / "tiny", ["Carry on."], None)
    assert answer.text
    placed = _placed(Path("made"), "", {}, None)
    assert placed.folder == place / "models" / "tiny" and placed.adapters == {"made": folder}
    worker = Worker(1)
    models = FolderModels(worker, placed.folder, name=placed.name, adapters=placed.adapters, slots=2)
    assert models.get("made").adapter is not None
    code, out, err = run("student", "export", "made", "--to", "made.gguf", "--json")
    assert code == 0, err or out
    code, _, err = run(*train)
    assert code == 2 and "There is something at" in err, "nothing is written over"


@pytest.mark.parametrize(
    ("changed", "arguments", "code", "said"),
    [
        ("terms", ("--base", "tiny"), 6, "the terms are unknown"),
        ("denied", ("--base", "tiny"), 6, "not legal advice"),
        ("empty", ("--base", "tiny"), 5, "it is empty"),
        ("odd", ("--base", "tiny"), 5, "Line 1 of"),
        ("", (), 2, "needs a base model"),
        ("", ("--base", "other"), 2, "There is no base model 'other'"),
        ("", ("--recipe", "dpo", "--base", "tiny"), 2, "no pairs of answers"),
        ("", ("--recipe", "tiny", "--base", "tiny"), 2, "takes no base"),
        ("licence", ("--base", "tiny"), 6, "Nobody knows the licence"),
    ],
)
def test_what_cannot_or_may_not_be_learned_is_refused_before_anything_is_begun(
    place: Path, run: Run, changed: str, arguments: tuple[str, ...], code: int, said: str
) -> None:
    told: dict[str, Any] = {"trajectory": "tj_1", "terms": ["own"]}
    if changed == "terms":
        told["terms"] = []
    elif changed == "denied":
        told["terms"] = ["google-consumer"]
    elif changed == "licence":
        shutil.rmtree(place / "models" / "tiny")
        make_model(place / "models" / "tiny", licence="")
    messages = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hello!"}]
    text = {"empty": "", "odd": "{"}.get(changed, json.dumps({"messages": messages, "freehold": told}) + "\n")
    (place / "runs.jsonl").write_text(text)
    given = run("student", "train", "runs.jsonl", "--to", "made", *arguments)
    assert given[0] == code and said in given[2], given
    assert not (place / "made").exists() and not (place / ".made.run").exists()


def test_the_page_shows_commands_that_there_are(place: Path, run: Run) -> None:
    page = (Path(__file__).parents[3] / "docs" / "students.md").read_text(encoding="utf-8")
    commands = [line.split()[1:] for line in page.splitlines() if line.startswith("freehold ")]
    ran = {" ".join(command[:2]): run(*command) for command in commands}
    assert {name: code for name, (code, _, _) in ran.items()} == {
        "episode export": 3, "student train": 5, "student serve": 1,
    }, ran  # fmt: skip


def test_the_bar_shows_what_matters() -> None:
    shown = figures(Progress(3, 9, 1.25, 1.5, 2345.6, 600.0, 0.0012))
    assert shown == "loss 1.250 (tune 1.500) · 2,346 tok/s · 10 min left · 1.2 Wh"
