"""`freehold plan FILE` from end to end: what may move moves, and no evidence, or bad evidence, certifies nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from freehold.cli.main import main

WORDS = {
    "sums": ["add", "the", "numbers", "and", "give", "their", "total", "please"],
    "proofs": ["prove", "this", "theorem", "about", "prime", "ideals", "rigorously"],
}
GAPS = {"sums": 0.0, "proofs": 0.6}
"""How much more often the dear model is right."""


def write(path: Path, prompts: int, *, cheap: float = 0.001, right: float | None = None) -> Path:
    """Outcomes of a dear and a cheap model, equal on sums and far apart on proofs; seeded."""
    random = np.random.default_rng(7)
    rows: list[str] = []
    for number in range(prompts):
        task = ("sums", "proofs")[number % 2]
        prompt = " ".join(random.choice(WORDS[task], 6)) + f" {number}"
        chances = {"dear": (0.9, 0.01), "cheap": (0.9 - GAPS[task], cheap)}
        for model, (chance, cost) in chances.items():
            score = right if right is not None else float(random.random() < chance)
            row = {"prompt": prompt, "task": task, "model": model, "score": score, "cost_usd": cost}
            rows.append(json.dumps(row) + "\n")
    path.write_text("".join(rows))
    return path


Done = tuple[int, str, str]
"""Exit code, standard output, standard error."""


def process(*arguments: str | Path) -> Done:
    command = [sys.executable, "-m", "freehold.cli.main", "plan", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def plan(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """The command in this process, which has loaded everything already."""
    monkeypatch.setattr("freehold.config.logs.configure_logs", lambda level="info": None)

    def call(*arguments: str | Path) -> Done:
        code = 0
        try:
            main(["plan", *map(str, arguments)])
        except SystemExit as error:
            code = int(error.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return call


TERMS = ("--incumbent", "dear", "--candidate", "cheap", "--epsilon", "0.05", "--delta", "0.05", "--risk", "traffic")


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("plan") / "outcomes.jsonl", 1500)


def test_the_task_without_a_gap_moves_and_the_other_stays(
    evidence: Path, tmp_path: Path, plan: Callable[..., Done]
) -> None:
    code, out, err = process(evidence, *TERMS, "--json", "--html", tmp_path / "report.html")
    assert code == 0 and not err and out.count("\n") == 1
    found: dict[str, Any] = json.loads(out)
    tasks = {task["task"]: task for task in found["tasks"]}
    assert found["certified"] and found["rungs"] == ["cheap", "dear"] and found["rows"] == 1500
    assert tasks["sums"]["served"]["cheap"] > 0.8 and tasks["proofs"]["served"].get("cheap", 0.0) < 0.2
    assert found["loss_upper"] <= 0.05 and 0.35 < found["saving"] < 0.65
    assert found["cost_sources"] == {"dear": "the file", "cheap": "the file"}
    page = (tmp_path / "report.html").read_text()
    assert "requests can leave dear" in page and f"{found['saving']:.0%} of the dollars" in page and "<polyline" in page
    assert plan(evidence, *TERMS, "--json")[1] == out  # nothing is left to chance


def test_the_models_are_listed_and_the_next_command_is_said(evidence: Path, plan: Callable[..., Done]) -> None:
    listed = json.loads(plan(evidence, "--list", "--json")[1])
    assert [(item["model"], item["rows"], item["dollars"]) for item in listed] == [
        ("dear", 1500, pytest.approx(0.01)),
        ("cheap", 1500, pytest.approx(0.001)),
    ]
    code, out, _ = plan(evidence)
    assert code == 0 and f"freehold plan {evidence} --incumbent dear --candidate cheap" in out


@pytest.mark.parametrize(
    ("prompts", "cheap", "says"),
    [(5, 0.001, "Not enough evidence"), (60, 0.001, "Not enough evidence"), (300, 0.02, "No candidate is cheaper")],
)
def test_too_little_or_nothing_to_gain_certifies_nothing(
    prompts: int, cheap: float, says: str, tmp_path: Path, plan: Callable[..., Done]
) -> None:
    path = write(tmp_path / "few.jsonl", prompts, cheap=cheap)
    found = json.loads(plan(path, *TERMS, "--json")[1])
    assert not found["certified"] and says in found["reason"] and found["operating_point"] is None
    assert (found["saving"], found["served_share"], found["dollars"]) == (0.0, 0.0, 0.0)
    told = " ".join(plan(path, *TERMS)[1].split())
    assert told.startswith("Nothing can move") and says in told
    assert ("more than there are" in told) == (cheap == 0.001) == (found["needed"] is not None)


def test_scores_of_one_class_certify_nothing(tmp_path: Path, plan: Callable[..., Done]) -> None:
    code, out, _ = plan(write(tmp_path / "same.jsonl", 400, right=1.0), *TERMS, "--json")
    assert code == 5 and json.loads(out)["error"]["code"] == "not_enough_evidence"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--incumbent", "deer", "--candidate", "cheap"], 3, "'dear'"),
        (["--incumbent", "dear"], 2, "--candidate is missing"),
        (["--candidate", "cheap"], 2, "--incumbent is missing"),
        (["--incumbent", "dear", "--candidate", "dear"], 2, "all different"),
        (["--incumbent", "dear", "--candidate", "cheap", "--signal", "cascade"], 5, "were kept"),
        (["--incumbent", "dear", "--candidate", "cheap", "--price", "cheap"], 2, "is not a price"),
        (["--incumbent", "dear", "--candidate", "cheap", "--epsilon", "1.5"], 2, "epsilon"),
        (["--json"], 2, "--incumbent is missing"),
    ],
)
def test_what_cannot_be_done_is_said(
    arguments: list[str], code: int, says: str, evidence: Path, plan: Callable[..., Done]
) -> None:
    given, out, err = plan(evidence, *arguments)
    assert given == code and says in out + err and "Traceback" not in err


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path: Path, plan: Callable[..., Done]) -> None:
    code, out, err = plan(tmp_path / "none.parquet")
    assert code == 3 and not out and "There is no file" in err
