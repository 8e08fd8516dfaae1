"""`freehold scorer`, over a folder of recorded traffic."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from loop_fixtures import Desk, completion, incumbent_trace, urgency

from freehold.cli.main import main
from freehold.domain.traces import Feedback

Run = Callable[..., tuple[int, Any]]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Sixty answers, and three that were asked for twice, one of those otherwise; a candidate was asked about each."""
    desk = Desk(tmp_path / "freehold-data")
    desk.send(urgency(1, 60))
    desk.loop.until_idle()
    for number, (user, answer) in enumerate([("again", "yes"), ("again", "no"), ("odd", "yes")]):
        first = incumbent_trace(1000 + number, user, answer)
        desk.append(first)
        second = incumbent_trace(
            2000 + number, user, None, response=completion("YES"), kind="repeat", of=first.trace_id, reason=""
        )
        desk.append(second)
        desk.append(
            msgspec.structs.replace(second, trace_id=f"tr_{number:028}", kind="shadow", answered_by="inc/small")
        )
    yield desk
    desk.close()
    structlog.reset_defaults()


@pytest.fixture
def run(desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `freehold scorer …`: its exit code and what it printed (as JSON where it was asked for)."""
    config = tmp_path / "freehold.toml"
    config.write_text('[upstreams.inc]\nbase_url = "http://127.0.0.1:1/v1"\n')

    def call(*arguments: str) -> tuple[int, Any]:
        code = 0
        try:
            main(["scorer", *arguments, "--config", str(config)])
        except SystemExit as error:
            code = int(error.code or 0)
        out, err = capsys.readouterr()
        return code, json.loads(out) if "--json" in arguments else out + err

    return call


def test_guess_shows_the_reason_and_examples_then_set_uses_it_and_try_scores_pairs(desk: Desk, run: Run) -> None:
    task = desk.task_id
    code, shown = run("guess", task, "--json")
    assert code == 0 and shown["scorer"]["kind"] == "exact" and "different answers" in shown["reason"]
    assert [row["score"] for row in shown["examples"]] == [1.0, 0.0, 1.0]
    assert run("show", task, "--json")[1]["scorer"] is None  # a guess changes nothing
    assert run("try", task, "--json")[0] == 8

    code, text = run("set", task, "guessed")
    assert code == 0 and "exact" in text
    code, shown = run("show", task, "--json")
    assert (shown["scorer"]["kind"], shown["set_in"]) == ("exact", "the store") and shown["scorer"]["reason"]
    code, tried = run("try", task, "--json")
    assert (tried["pairs"], tried["failed"]) == (3, 0)
    assert [(row["second"], row["score"], row["harm"]) for row in tried["rows"]] == [
        ("asked twice", 1.0, 0.0),
        ("asked twice", 0.0, 1.0),
        ("asked twice", 1.0, 0.0),
    ]
    code, text = run("try", task, "--limit", "2")
    assert code == 0 and "2 pairs, mean loss 0.500; 0 could not be scored" in text
    assert run("set", task, "none")[0] == 0 and run("show", task, "--json")[1]["scorer"] is None


def test_what_cannot_be_scored_is_shown_with_its_reason_and_counts_as_lost(desk: Desk, run: Run) -> None:
    run("set", desk.task_id, "feedback")
    first, second = incumbent_trace(1000, "", "").trace_id, incumbent_trace(2000, "", "").trace_id
    desk._journal.append(Feedback(feedback_id="fb_00000001", trace_id=first, at_ns=1, score=1.0))
    desk._journal.append(Feedback(feedback_id="fb_00000002", trace_id=second, at_ns=2, score=0.25))
    code, tried = run("try", desk.task_id, "--json")
    assert code == 0 and tried["failed"] == 2
    assert [row["harm"] for row in tried["rows"]] == [0.75, 1.0, 1.0]
    assert "Nobody has scored" in tried["rows"][1]["failed"]


def test_options_are_checked_and_files_are_read(desk: Desk, run: Run, tmp_path: Path) -> None:
    tests = tmp_path / "tests.py"
    tests.write_text("assert f(1) == 2\n")
    code, made = run("set", desk.task_id, "python", "--option", f"tests=@{tests}", "--option", "seconds=2", "--json")
    assert code == 0 and made["scorer"]["tests"] == "assert f(1) == 2\n" and made["scorer"]["seconds"] == 2.0
    code, made = run("set", desk.task_id, "regex", "--option", "pattern=12", "--json")
    assert code == 0 and made["scorer"]["pattern"] == "12"
    for code, kind, option in [
        (2, "exact", "colour=1"),
        (2, "exact", "fold_case"),
        (2, "exact", "fold_case=perhaps"),
        (2, "numeric", "absolute=-1"),
        (2, "python", "tests=@/no/such/file"),
        (2, "telepathy", "a=1"),
        (8, "regex", "pattern=(["),
        (8, "sql", "database=/no/such.sqlite"),
    ]:
        given, shown = run("set", desk.task_id, kind, "--option", option, "--json")
        assert (given, bool(shown["error"]["hint"])) == (code, True), (kind, option)
    assert run("show", desk.task_id, "--json")[1]["scorer"]["kind"] == "regex"


def test_a_scorer_in_the_configuration_goes_first_and_is_not_set_over(desk: Desk, run: Run, tmp_path: Path) -> None:
    run("set", desk.task_id, "text")
    config = tmp_path / "freehold.toml"
    config.write_text(f'{config.read_text()}\n[tasks.{desk.task_id}.scorer]\nkind = "exact"\n')
    code, shown = run("show", desk.task_id, "--json")
    assert (shown["scorer"]["kind"], shown["set_in"]) == ("exact", "the configuration")
    code, refused = run("set", desk.task_id, "text", "--json")
    assert code == 2 and "configuration" in refused["error"]["message"]
