"""`freehold rights decide`, `decisions`, `withdraw`, `fulfil`, `duties`, and what became of `[[counsel]]`."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from cli_fixtures import Run

CONFIG = """
[upstreams.openai]
base_url = "https://api.openai.com/v1"
"""
DISTIL = ("--terms", "openai-api", "--purpose", "distil", "--until", "2999-01-01", "--by", "A. Counsel")


@pytest.fixture
def config(tmp_path: Path) -> list[str]:
    path = tmp_path / "freehold.toml"
    path.write_text(CONFIG)
    return ["--config", str(path)]


def outcome(run: Run, config: list[str], asset: str = "openai") -> str:
    return json.loads(run("rights", "check", asset, "--action", "distil", "--json", *config)[1])["outcome"]


def test_a_decision_settles_what_was_left_to_counsel_until_it_is_withdrawn(run: Run, config: list[str]) -> None:
    assert outcome(run, config) == "needs-counsel"
    code, out, _ = run("rights", "decide", *DISTIL, "--allow", "--note", "memo 7", *config)
    assert code == 0 and "Not legal advice" in out and "until the end of 2999-01-01 (UTC)" in out
    decision = out.split(":")[0]
    assert outcome(run, config) == "allow"
    code, out, _ = run("rights", "check", "openai", "--action", "distil", *config)
    assert "allowed by A. Counsel, until 2999-01-01" in " ".join(out.split())
    told = json.loads(run("rights", "decisions", "--json", *config)[1])
    [item] = told["decisions"]
    assert item["state"] == "in force" and item["record"]["note"] == "memo 7" and item["record"]["signature"]
    assert run("rights", "withdraw", decision, *config)[0] == 0
    assert outcome(run, config) == "needs-counsel"
    code, out, _ = run("rights", "decisions", *config)
    assert code == 0 and "withdrawn" in out
    kinds = [event["kind"] for event in json.loads(run("events", "--json", *config)[1])]
    assert kinds.count("counsel-decided") == kinds.count("counsel-withdrawn") == 1


def test_a_decision_about_one_asset_is_about_no_other(run: Run, config: list[str]) -> None:
    assert run("rights", "decide", *DISTIL, "--deny", "--asset", "openai", *config)[0] == 0
    assert (outcome(run, config), outcome(run, config, "openai-api")) == ("deny", "needs-counsel")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("--until", "2020-01-01"), "is over"),
        (("--until", "soon"), "is not a day"),
        (("--terms", "nobody"), "There are no terms"),
        (("--terms", "xai"), "leaves nothing"),
        (("--by", " "), "names nobody"),
        (("--task", "none"), "There is no task"),
        (("--asset", "none"), "nothing called"),
    ],
)
def test_a_decision_that_could_not_count_is_refused(
    run: Run, config: list[str], change: tuple[str, str], says: str
) -> None:
    code, _, err = run("rights", "decide", *DISTIL, "--allow", *change, *config)
    assert code != 0 and says in err
    assert "Nobody has decided" in run("rights", "decisions", *config)[1]


def test_evidence_is_words_or_a_file_by_its_hash(run: Run, config: list[str], tmp_path: Path) -> None:
    shown = tmp_path / "page.png"
    shown.write_bytes(b"\x89PNG")
    who = ("--by", "Product")
    code, out, _ = run("rights", "fulfil", "llama-3.1", "display", "--evidence", str(shown), *who, "--json", *config)
    told = json.loads(out)
    assert code == 0 and told["text"] == "Built with Llama" and told["asset"] == "llama-3.1" and "task" not in told
    assert (told["evidence"], told["evidence_sha256"]) == ("page.png", hashlib.sha256(b"\x89PNG").hexdigest())
    code, out, _ = run("rights", "duties", *config)
    assert code == 0 and "no duties" in out


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (("llama-3.1", "registration"), "has no such duty"),
        (("gemma-tou-2025-03-24", "use-policy"), "--text"),
        (("apertus-apache-plus-aup", "recurring"), "--until DATE"),
        (("openai-api", "not-distributed"), "standing duty"),
        (("nothing", "display"), "There is no task"),
    ],
)
def test_what_is_no_duty_is_not_fulfilled(run: Run, config: list[str], asked: tuple[str, str], says: str) -> None:
    code, _, err = run("rights", "fulfil", *asked, "--evidence", "done", "--by", "Product", *config)
    assert code != 0 and says in err


def test_an_old_file_says_what_to_do_instead(run: Run, config: list[str], tmp_path: Path) -> None:
    old = (
        '[[counsel]]\nterms = "openai-api"\npurpose = "distil"\nallow = true\ndecided_by = "x"\nuntil = "2999-01-01"\n'
    )
    (tmp_path / "freehold.toml").write_text(CONFIG + old)
    code, _, err = run("tasks", *config)
    assert code == 2 and "[[counsel]] is no setting any more" in err and "freehold rights decide" in err


def test_doctor_names_what_was_forged(run: Run, config: list[str], tmp_path: Path) -> None:
    import sqlite3
    from contextlib import closing

    assert run("rights", "decide", *DISTIL, "--deny", *config)[0] == 0
    with closing(sqlite3.connect(tmp_path / "freehold-data/control.sqlite")) as database, database:
        database.execute("UPDATE decisions SET body = replace(body, '\"allow\":false', '\"allow\":true')")
    assert outcome(run, config) == "needs-counsel"
    code, out, _ = run("doctor", "--json", *config)
    [found] = [check for check in json.loads(out) if check["what"] == "rights: decisions"]
    assert code == 1 and found["level"] == "error" and "counts for nothing" in found["says"]
