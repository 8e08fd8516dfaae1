"""Every command: help, one JSON document whatever happens, exit codes that scripts can use."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from cli_fixtures import Run
from loop_fixtures import Desk, urgency

from freehold.cli.main import COMMANDS, LazyGroup
from freehold.cli.main import freehold as group
from freehold.store.locks import exclusive

CONFIG = """
[upstreams.inc]
base_url = "http://127.0.0.1:1/v1"
terms = "{terms}"
[loop]
epsilon = {epsilon}
delta = 0.1
min_samples = 600
"""


@pytest.fixture
def shop(owned_desk: Desk, tmp_path: Path) -> Path:
    """A configuration over a copy of a data folder with one owned task."""
    shutil.copytree(owned_desk.settings.data, tmp_path / "freehold-data")
    return configured(tmp_path)


def configured(folder: Path, epsilon: float = 0.1, terms: str = "own") -> Path:
    path = folder / "freehold.toml"
    path.write_text(CONFIG.format(epsilon=epsilon, terms=terms))
    return path


def document(out: str) -> object:
    """The one document on standard output, on one line."""
    assert out.count("\n") == 1, out
    return json.loads(out)


def certificate_of(desk: Desk) -> str:
    assert desk.rung is not None
    return desk.rung.certificate


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, run: Run) -> None:
    code, out, err = run(name, "--help")
    assert code == 0 and not err
    assert out.startswith(f"Usage: freehold {name}")
    assert isinstance(group, LazyGroup)
    command = group.get_command(None, name)  # type: ignore[arg-type]
    assert command is not None
    for one in command.commands.values() if isinstance(command, click.Group) else [command]:
        explains_itself(one)


def explains_itself(command: click.Command) -> None:
    assert command.help
    options = {option for parameter in command.params for option in parameter.opts}
    assert "--json" in options
    assert all(
        getattr(p, "hidden", False) or getattr(p, "help", None) for p in command.params if p.opts[0][0] == "-"
    ), "an option without help"


@pytest.mark.parametrize(
    "command",
    [
        "tasks",
        "plan",
        "traces",
        "events",
        "ledger",
        "doctor",
        "tasks TASK",
        "plan TASK",
        "traces TRACE",
        "train TASK",
        "certificate list",
        "certificate list --task TASK",
        "certificate show CERT",
        "certificate verify CERT",
    ],
)
def test_json_is_one_document(command: str, shop: Path, owned_desk: Desk, run: Run) -> None:
    trace = json.loads(run("traces", "--json", "--limit", "1", "--config", str(shop))[1])[0]["trace_id"]
    words = command.replace("TASK", owned_desk.task_id).replace("TRACE", trace).split()
    words = [certificate_of(owned_desk) if word == "CERT" else word for word in words]
    code, out, err = run(*words, "--json", "--config", str(shop))
    found = document(out)
    assert found and not err
    assert code == (1 if command == "doctor" else 0)  # the upstream of these tests is not there
    code, plain, _ = run(*words, "--config", str(shop))
    with pytest.raises(json.JSONDecodeError):
        json.loads(plain)


def test_a_certificate_reads_as_a_report_and_is_verified(shop: Path, owned_desk: Desk, run: Run) -> None:
    name, config = certificate_of(owned_desk), ("--config", str(shop))
    code, out, _ = run("certificate", "verify", name[3:15], *config)
    said = " ".join(out.split())
    assert code == 0 and f"Certificate {name} holds." in out and "FAILS" not in out and "not done" not in out
    assert "With confidence 93.92%, the share of answers that differ from the incumbent's is at most 10.00%" in said
    assert "Requests to come are drawn like those of the evidence" in said
    data = shop.parent / "freehold-data"
    key = json.loads(run("certificate", "show", name, "--json", *config)[1])["certificate"]["public_key"]
    (shop.parent / "trusted").write_text(f"{key}\n")
    (shop.parent / "other").write_text("00" * 32)
    (shop.parent / "none").write_text("key")
    verify = ("certificate", "verify", name, "--no-deep", *config)
    assert run(*verify, "--key", str(shop.parent / "trusted"))[0] == 0
    assert run(*verify, "--key", str(shop.parent / "other"))[0] == 7
    assert run(*verify, "--key", str(shop.parent / "none"))[0] == 2
    [rows] = [path for path in data.glob("evidence/*/rows.parquet") if path.read_bytes()]
    rows.write_bytes(rows.read_bytes()[:-1] + b"?")
    code, out, err = run(*verify)
    assert (
        code == 7
        and "FAILS" in out
        and "evidence" in err
        and "rows.parquet" in err
        and f"Certificate {name} holds." not in out
    )
    code, out, err = run(*verify, "--json")
    report = document(out)
    assert code == 7 and not err and report["holds"] is False  # type: ignore[index]
    assert [c["name"] for c in report["checks"] if c["passed"] is False] == ["evidence"]  # type: ignore[index]


def test_rollback_and_loop_once_speak_json(shop: Path, owned_desk: Desk, run: Run) -> None:
    code, out, _ = run("rollback", owned_desk.task_id[5:13], "--json", "--config", str(shop))
    assert code == 0 and set(document(out)) == {"task", "policy"}  # type: ignore[arg-type]
    code, out, _ = run("tasks", "--json", "--config", str(shop))
    assert [task["state"] for task in document(out)] == ["rolled_back"]  # type: ignore[attr-defined]
    code, out, _ = run("loop", "--once", "--json", "--config", str(shop))
    assert code == 0 and document(out) == {"jobs": 0, "tasks": 1, "owned": []}


ERRORS = [
    (2, "config_error", "tasks --config /no/such/file.toml"),
    (2, "config_error", "up --config /no/such/file.toml"),
    (2, "invalid_request", "ledger --since yesterday --config SHOP"),
    (2, "usage_error", "events --limit none --config SHOP"),
    (2, "usage_error", "rollback --config SHOP"),
    (2, "usage_error", "nonsense"),
    (3, "not_found", "tasks nobody --config SHOP"),
    (3, "not_found", "traces tr_0000000000000000000000000000 --config SHOP"),
    (3, "not_found", "train nobody --config SHOP"),
    (3, "not_found", "certificate show ce_0000 --config SHOP"),
    (3, "not_found", "certificate list --task nobody --config SHOP"),
]


@pytest.mark.parametrize(("code", "name", "command"), ERRORS)
def test_errors_have_a_code_a_message_and_what_to_do(
    code: int, name: str, command: str, tmp_path: Path, run: Run
) -> None:
    words = command.replace("SHOP", str(configured(tmp_path))).split()
    given, out, err = run(*words, "--json")
    assert given == code and not err
    error = document(out)["error"]  # type: ignore[index]
    assert error["code"] == name and error["message"] and error["hint"]
    given, out, err = run(*words)
    assert (given, out) == (code, "") and err and "Traceback" not in err


def test_a_loop_without_end_has_no_json(tmp_path: Path, run: Run) -> None:
    code, out, _ = run("loop", "--json", "--config", str(configured(tmp_path)))
    assert code == 2 and "--once" in document(out)["error"]["message"]  # type: ignore[index]


def test_a_held_lock_not_enough_evidence_and_denied_rights_have_codes_of_their_own(
    shop: Path, owned_desk: Desk, run: Run
) -> None:
    task = owned_desk.task_id
    with exclusive(shop.parent / "freehold-data" / "loop.lock"):
        code, out, _ = run("loop", "--once", "--json", "--config", str(shop))
    assert code == 4 and document(out)["error"]["code"] == "lease_held"  # type: ignore[index]
    with exclusive(shop.parent / "freehold-data" / "locks" / f"move-{task}.lock"):
        code, out, _ = run("train", task, "--fresh", "--json", "--config", str(shop))
    assert code == 4 and document(out)["error"]["code"] == "lease_held"  # type: ignore[index]
    run("rollback", task, "--config", str(shop))  # evidence from before no longer counts
    code, out, _ = run("promote", task, "--fresh", "--json", "--config", str(shop))
    assert code == 5 and document(out)["error"]["code"] == "not_enough_evidence"  # type: ignore[index]


def test_traffic_under_terms_that_forbid_training_is_refused_with_its_own_code(tmp_path: Path, run: Run) -> None:
    desk = Desk(tmp_path / "freehold-data")
    desk.send(urgency(1, 300))
    desk.close()
    shop = configured(tmp_path, terms="unknown")
    assert run("loop", "--once", "--config", str(shop))[0] == 0
    code, out, _ = run("train", desk.task_id, "--fresh", "--json", "--config", str(shop))
    assert code == 6 and document(out)["error"]["code"] == "rights_denied"  # type: ignore[index]


def test_help_imports_nothing_heavy_and_comes_at_once() -> None:
    code = "import sys; sys.argv = ['freehold', '--help']; from freehold.cli.main import main\ntry: main()\nfinally: "
    code += "print(sorted(sys.modules), file=sys.stderr)"
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert time.monotonic() - began <= 2.5  # 0.1 s on an idle machine; the bound leaves room for a busy one
    loaded = set(json.loads(done.stderr.replace("'", '"')))
    assert not loaded & {"polars", "sklearn", "sqlalchemy", "rich", "numpy", "uvicorn", "msgspec", "structlog"}
    assert all(f"  {name} " in done.stdout for name in COMMANDS)
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import freehold"], check=True)
    assert time.monotonic() - began <= 1.5
