"""A promotion that rights keep back waits, says for what, and goes on by itself once that is settled."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from cli_fixtures import Run
from counsel_fixtures import decided
from loop_fixtures import Desk, urgency

from freehold.dashboard.pages import Asked, overview
from freehold.dashboard.pages import task as task_page
from freehold.domain.errors import RightsPending
from freehold.domain.rights import Organisation
from freehold.loop import Move, open_move
from freehold.promote import objection, rights_in_force
from freehold.store.counsel import put_signed, today

LLAMA = """
data_dir = "."
[upstreams.inc]
base_url = "http://127.0.0.1:1/v1"
terms = "llama-3.1"
[loop]
epsilon = 0.1
delta = 0.1
min_samples = 600
"""


OBJECTS = "nothing that answers was taken back"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """The incumbent is a Llama 3.1: whoever serves a model that was trained on its answers has a duty."""
    made = Desk(tmp_path, "llama-3.1", epsilon=0.1, delta=0.1, min_samples=600)
    (tmp_path / "freehold.toml").write_text(LLAMA)
    made.send(urgency(1, 900))
    made.loop.until_idle()
    yield made
    made.close()


def test_a_duty_is_waited_for_and_its_fulfilment_moves_the_task(desk: Desk, run: Run) -> None:
    config = ["--config", str(Path(desk.settings.data) / "freehold.toml")]
    [job] = desk.store.control.jobs.list()
    assert job.state == "waiting" and desk.rung is None and job.steps[-1].name == "certify"
    code, out, _ = run("tasks", *config)
    assert "waits" in out and "llama-3.1/students-name" in out and "freehold rights fulfil" in out
    assert "not legal advice" in " ".join(out.split())
    assert desk.loop.turn().started is None, "nothing has changed: it is not tried again"
    with pytest.raises(RightsPending, match="students-name"):
        Move(desk.store, desk.settings, job).run()

    code, out, _ = run("rights", "duties", "--json", *config)
    told = json.loads(out)
    [served] = told["served"]
    assert code == 1 and not told["clear"] and [duty["state"] for duty in served["duties"]] == ["unmet"]
    task = desk.store.control.tasks.get(desk.task_id)
    assert task is not None and task.state == "blocked" and task.attempts == 1
    evidence = ("--by", "Product", "--evidence", "It is called Llama Desk")
    code, out, _ = run("rights", "fulfil", task.name, "name-prefix", *evidence, *config)
    assert code == 0

    assert desk.loop.turn().started == desk.task_id
    done = desk.store.control.jobs.get(job.job_id)
    assert done is not None and done.state == "done" and desk.rung is not None
    task = desk.store.control.tasks.get(desk.task_id)
    assert task is not None and task.state == "owned" and task.attempts == 1, "no δ was spent again"
    code, out, _ = run("rights", "duties", task.name, *config)
    assert code == 0 and "It is called Llama Desk" in " ".join(out.split()) and "Not legal advice" in out


def test_facts_may_settle_it_as_well(desk: Desk) -> None:
    inside = Organisation(serves_public=False)
    desk.settings = msgspec.structs.replace(desk.settings, organisation=inside)
    desk.loop.use(desk.settings)
    assert desk.loop.turn().started == desk.task_id and desk.rung is not None


def test_while_it_waits_nothing_is_certified_again_until_there_is_much_more(desk: Desk) -> None:
    desk.send(urgency(2, 400))
    desk.loop.until_idle()
    assert len(desk.store.control.jobs.list()) == 1
    desk.send(urgency(3, 600))
    desk.loop.until_idle()
    states = [job.state for job in desk.store.control.jobs.list()]
    assert states == ["failed", "waiting"], "the newer certificate waits in the older one's place"
    newest = open_move(desk.store, desk.task_id)
    assert newest is not None and newest.state == "waiting"


def test_an_expired_decision_no_longer_permits_what_it_permitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    desk = Desk(tmp_path, "google-gemini-api", epsilon=0.1, delta=0.1, min_samples=600)
    desk.send(urgency(1, 900))
    desk.loop.until_idle()
    [task] = desk.store.control.tasks.list()
    assert task.state == "blocked" and "freehold rights decide --terms google-gemini-api" in task.note
    put_signed(desk.store, decided("google-gemini-api", "train_classifier", today().isoformat()))
    desk.store.control.tasks.change(task.task_id, lambda fresh: msgspec.structs.replace(fresh, samples_at_look=0))
    desk.loop.until_idle()
    assert desk.rung is not None
    [rights] = rights_in_force(desk.store, desk.settings)
    assert objection(rights) is None and rights.rulings[0].outcome == "allow"
    assert "by counsel, until" in page(desk, "/")[1] and OBJECTS not in page(desk, "/")[0]

    tomorrow = today() + datetime.timedelta(days=1)
    monkeypatch.setattr("freehold.store.counsel.today", lambda: tomorrow)
    monkeypatch.setattr("freehold.promote.rights.today", lambda: tomorrow)
    [rights] = rights_in_force(desk.store, desk.settings)
    error = objection(rights)
    assert isinstance(error, RightsPending) and "needs-counsel" in str(error) and "not legal advice" in str(error)
    assert desk.rung is not None, "what serves is reported, not taken away"
    first, of_task = page(desk, "/")
    assert OBJECTS in first
    for shown in (first, of_task):
        assert "google-gemini-api: needs-counsel" in shown and "Not legal advice" in shown
    (tmp_path / "freehold.toml").write_text(LLAMA.replace("llama-3.1", "google-gemini-api"))
    code, out, _ = run("doctor", "--json", "--config", str(tmp_path / "freehold.toml"))
    levels = {check["what"]: check["level"] for check in json.loads(out.splitlines()[-1])}
    assert (
        code == 1 and levels[f"rights of {desk.rung.student}"] == "error" and levels["rights: decisions"] == "warning"
    )
    desk.close()


def page(desk: Desk, host: str) -> tuple[str, str]:
    """The overview and the task's page, as text."""
    return (
        overview(desk.store, Asked(desk.settings, host, {}, {})),
        task_page(desk.store, Asked(desk.settings, host, {"task_id": desk.task_id}, {})),
    )
