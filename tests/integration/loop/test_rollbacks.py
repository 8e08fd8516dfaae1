"""After promotion: a drifted student goes, its evidence with it, and only what came after moves the task again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from loop_fixtures import Desk, urgency

from freehold.config import TaskSettings
from freehold.curate import build_dataset
from freehold.domain.errors import EvidenceError, NotFound
from freehold.domain.evidence import Certificate
from freehold.loop import Loop
from freehold.promote import promote, roll_back
from freehold.store.artifacts import read_dataset

OTHER = {"yes": "no", "no": "yes"}


def _certificate(desk: Desk) -> Certificate:
    rung = desk.rung
    certificate = desk.store.control.certificates.get(rung.certificate) if rung else None
    assert certificate is not None
    return certificate


@pytest.fixture(scope="module")
def drifted(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A desk that was promoted, served well for a while, and then drifted until it was rolled back."""
    desk = Desk(tmp_path_factory.mktemp("drifted"), epsilon=0.1, delta=0.1, min_samples=400, growth=3.0, audit_rate=0.3)
    desk.send(urgency(1, 600))
    desk.loop.until_idle()
    first = _certificate(desk)
    for part in range(3):
        desk.send(urgency(50 + part, 200))
        assert not desk.loop.turn().rolled_back, "a good student stays"
    good_until = len(desk.served)
    rows = [(prompt, OTHER[answer]) for prompt, answer in urgency(90, 600)]
    for start in range(0, 600, 50):
        desk.send(rows[start : start + 50])
        if desk.loop.turn().rolled_back:
            break
    yield desk, first, good_until
    desk.close()


def test_a_drifted_student_is_withdrawn_with_its_evidence_in_the_event(drifted: Any) -> None:
    desk, first, good_until = drifted
    assert desk.rung is None and len(desk.served) < good_until + 600
    [event] = desk.events("rolled-back")
    assert event.evidence["certificate"] == first.certificate_id and event.evidence["student"] == first.rungs[0].name
    assert event.evidence["audits"] > 30 and event.evidence["losses"] > 10
    assert 0 <= event.evidence["lower"] < event.evidence["upper"] <= 1 and event.evidence["epsilon"] == 0.1
    task = desk.store.control.tasks.get(desk.task_id)
    assert (
        task.state == "rolled_back" and task.evidence_since_ns == event.at_ns and "audited answers differ" in task.note
    )
    assert task.attempts == 1, "what was spent stays spent"
    entry = desk.store.control.current_policy().tasks[desk.task_id]
    assert entry.rungs == () and entry.repeat_rate > 0


def test_the_old_certificate_cannot_come_back(drifted: Any) -> None:
    desk, first, _ = drifted
    with pytest.raises(EvidenceError, match="before"):
        promote(desk.store, desk.settings, first.certificate_id, 1)
    with pytest.raises(NotFound, match="no student in force"):
        roll_back(desk.store, desk.settings, desk.task_id, "again", {}, 1)
    assert desk.rung is None


def test_only_evidence_from_after_the_rollback_moves_it_again(drifted: Any) -> None:
    desk, first, _ = drifted
    since = desk.store.control.tasks.get(desk.task_id).evidence_since_ns
    turned = [(prompt, OTHER[answer]) for prompt, answer in urgency(91, 1400)]
    desk.send(turned)
    desk.loop.until_idle()
    second = _certificate(desk)
    assert second.certificate_id != first.certificate_id and second.attempt == 2
    dataset = desk.store.control.datasets.get(second.dataset_id)
    rows = read_dataset(desk.store.data / dataset.path, dataset.sha256)
    assert dataset.since_ns == rows[0].at_ns >= since and len(rows) == 1400
    right = [desk.student(desk.rung).answer(prompt).text == answer for prompt, answer in turned[:100]]
    assert sum(right) > 80, "it learnt the new ways"


def test_after_promotion_audits_and_thinned_escalations_are_the_uniform_samples(tmp_path: Path) -> None:
    desk = Desk(tmp_path, epsilon=0.1, delta=0.1, min_samples=400, growth=5.0, audit_rate=0.2)
    desk.send(urgency(1, 500))
    desk.loop.until_idle()
    certificate = _certificate(desk)
    rung = desk.rung
    assert rung is not None
    # A stricter rung than the certified one, so that about half is escalated.
    signals = sorted(desk.student(rung).answer(prompt).signal for prompt, _ in urgency(5, 200))
    entry = desk.store.control.current_policy().tasks[desk.task_id]
    strict = msgspec.structs.replace(entry, rungs=(msgspec.structs.replace(rung, threshold=signals[100]),))
    policy = desk.store.control.current_policy()
    desk.store.control.publish_policy(msgspec.structs.replace(policy, tasks={desk.task_id: strict}), policy.version)
    before = len(desk.served)
    desk.send(urgency(7, 1000))
    owned = sum(desk.served[before:])
    desk.loop.turn()
    dataset = build_dataset(desk.store, desk.settings, desk.task_id, 10**18)
    rows = [
        row for row in read_dataset(desk.store.data / dataset.path, dataset.sha256) if row.at_ns > certificate.issued_ns
    ]
    uniform = sum(row.uniform for row in rows)
    assert uniform == pytest.approx(0.2 * 1000, abs=50)
    assert len(rows) - uniform == pytest.approx(0.8 * (1000 - owned), abs=70)
    assert dataset.left_out["answered by a student"] == owned
    desk.close()


def test_a_tighter_epsilon_or_a_task_that_may_not_move_withdraws_the_rung(tmp_path: Path) -> None:
    for number, task in enumerate((TaskSettings(epsilon=0.01), TaskSettings(move=False))):
        desk = Desk(tmp_path / str(number), epsilon=0.1)
        desk.send(urgency(7, 900))
        desk.loop.until_idle()
        assert desk.rung is not None
        settings = msgspec.structs.replace(desk.settings, tasks={desk.task_id: task})
        turn = Loop(desk.store, settings).turn()
        assert turn.rolled_back == (desk.task_id,) and desk.rung is None
        assert desk.events("rolled-back")[0].message.endswith(("are allowed.", "does not move."))
        desk.close()
