"""What is forgotten is in no file of the data folder any more, whatever was interrupted, and a receipt says so."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from forget_fixtures import MARKER, SUBJECT, UPSTREAMS, House, exchange, places_with

from freehold.curate.poisoning.aside import put_aside
from freehold.domain.errors import CertificateError, NotFound
from freehold.domain.ids import new_id
from freehold.domain.traces import Feedback
from freehold.gateway.cache.forget import delete_unrecorded
from freehold.record.forgetting.forget import Kept, Ways, forget, look
from freehold.record.forgetting.receipts import check_receipt, is_about, read_receipt
from freehold.record.sealer import Sealer
from freehold.store.traces.read import read_feedback, read_traces

HERE = Path(__file__)


def ways_of(house: House, withdrawn: list[str] | None = None, **more: object) -> Ways:
    def clear(kept: Kept) -> int:
        return delete_unrecorded(house.data / "cache", kept)

    def withdraw(task: str, reason: str) -> None:
        assert withdrawn is not None and "had to be forgotten" in reason
        withdrawn.append(task)
        house.store.control.change_task_policy(task, reason, rungs=())

    return Ways(clear_cache=clear, withdraw=withdraw, wait_seconds=20.0, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> House:
    """Filled once; tests work on copies."""
    house = House(tmp_path_factory.mktemp("house"))
    house.fill()
    house.store.close()
    return house


@pytest.fixture
def house(filled: House, tmp_path: Path) -> House:
    shutil.copytree(filled.data, tmp_path / "data")
    made = House(tmp_path / "data")
    made.mine, made.others = filled.mine[:], filled.others[:]
    return made


def all_is_gone(house: House) -> None:
    # The dataset and its student stay without --datasets, and are named in the receipt.
    assert set(places_with(house.data, MARKER, SUBJECT)) == {
        "datasets/one/samples.parquet",
        "students/one/manifest.json",
    }
    assert sorted(house.ids()) == sorted(house.others)
    feedback = read_feedback(house.store)
    assert "said nobody" in feedback.get_column("comment").to_list() and feedback.height == 7
    assert house.cached() == 1
    assert not (house.data / "summaries").exists(), "sums by key are worked out again"


def test_a_forgotten_subject_is_nowhere(house: House) -> None:
    before = places_with(house.data, MARKER)
    assert {place.split("/")[0] for place in before} >= {"traces", "feedback", "journal", "journal-damaged", "cache"}
    seen = look(house.store, "subject", SUBJECT)
    assert seen.removed["journals"] == 1 and seen.removed["traces"] == len(house.mine) - 1
    assert places_with(house.data, MARKER) == before, "looking removes nothing"
    receipt = forget(house.store, UPSTREAMS, "subject", SUBJECT, ways=ways_of(house))
    all_is_gone(house)
    assert receipt.removed == {
        "journals": 1,
        "traces": len(house.mine) - 1,
        "feedback": 6,
        "messages": 2,
        "copies of journal segments": 2,
        "half-written datasets": 1,
        "imports": 2,
        "cached answers": 1,
    }
    [holder] = receipt.holders
    assert (holder.name, holder.rows, holder.students, holder.certificates) == ("ds_1", 3, ("st_1",), ("ce_1",))
    assert holder.in_force == ("task_test",) and not holder.removed
    assert SUBJECT.encode() not in msgspec.json.encode(receipt)
    assert [event.kind for event in house.store.control.events(1)] == ["forgotten"]


def test_datasets_and_students_go_too_where_asked_and_their_task_goes_back_first(house: House) -> None:
    withdrawn: list[str] = []
    steps: list[str] = []

    def at_step(step: str) -> None:
        if step == "copies":  # the files are gone: by then nothing may be served from them
            assert withdrawn == ["task_test"]
        steps.append(step)

    receipt = forget(
        house.store, UPSTREAMS, "subject", SUBJECT, datasets=True, ways=ways_of(house, withdrawn, at_step=at_step)
    )
    assert places_with(house.data, MARKER, SUBJECT) == []
    assert receipt.holders[0].removed and "remove" in steps
    assert not (house.data / "students" / "one").exists()


class Killed(BaseException):
    """As if the process had died."""


def test_interrupted_at_every_step_it_carries_on(house: House, tmp_path: Path) -> None:
    steps: list[str] = []
    trial = tmp_path / "trial"
    shutil.copytree(house.data, trial)
    forget(House(trial).store, UPSTREAMS, "subject", SUBJECT, ways=ways_of(House(trial), at_step=steps.append))
    assert steps[:2] == ["tombstone", "journals"] and steps[-1] == "receipt" and len(steps) >= 10
    whole = House(trial).store.control.erasures.list()[0].receipt
    assert whole is not None
    for number, name in enumerate(steps):
        shutil.rmtree(trial)
        shutil.copytree(house.data, trial)
        again = House(trial)
        again.others = house.others
        left = [number]

        def at_step(_name: str, left: list[int] = left) -> None:
            if left[0] == 0:
                raise Killed
            left[0] -= 1

        with pytest.raises(Killed):
            forget(again.store, UPSTREAMS, "subject", SUBJECT, ways=ways_of(again, at_step=at_step))
        receipt = forget(again.store, UPSTREAMS, "subject", SUBJECT, ways=ways_of(again))
        all_is_gone(again)
        assert (receipt.removed, receipt.traces_sha256) == (whole.removed, whole.traces_sha256), name
        assert len(receipt.holders) == 1 and len(again.store.control.erasures.list()) == 1
        again.store.close()


def test_killed_again_and_again_it_carries_on(house: House) -> None:
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    for kill_at in (3, 4, 5, 0):
        command = [sys.executable, str(HERE.parent / "forget_fixtures.py"), str(house.data), str(kill_at)]
        done = subprocess.run(command, capture_output=True, env=environment, timeout=120, check=False)
        assert done.returncode == (-signal.SIGKILL if kill_at else 0), done.stderr.decode()
    [erasure] = house.store.control.erasures.list()
    assert erasure.state == "done" and erasure.receipt is not None
    assert erasure.receipt.removed["traces"] == len(house.mine) - 1
    forget(house.store, UPSTREAMS, "subject", SUBJECT, ways=ways_of(house))  # now with a cache to clear
    all_is_gone(house)


def test_what_comes_late_is_dropped_and_what_is_new_is_kept(house: House) -> None:
    audited = house.mine[0]
    before = time.time_ns()
    forget(house.store, UPSTREAMS, "subject", SUBJECT, ways=ways_of(house))
    late = exchange(1, subject=SUBJECT, at_ns=before)
    imported = exchange(2, body={"safety_identifier": SUBJECT}, marked=True, at_ns=before - 10**15, source="openai")
    about = exchange(3, kind="shadow", of=audited, marked=True)
    about_late = exchange(4, kind="audit", of=late.trace_id, marked=True)
    fresh = exchange(5, subject=SUBJECT)
    writer = house.store.open_journal()
    for record in (late, imported, about, about_late, fresh):
        writer.append(record)
    writer.append(Feedback(feedback_id=new_id("fb"), trace_id=audited, at_ns=time.time_ns(), comment=MARKER))
    writer.close()
    report = Sealer(house.store, UPSTREAMS).seal_once()
    assert (report.records, report.forgotten) == (6, 5)
    assert set(house.ids()) == {*house.others, fresh.trace_id}
    assert not house.store.feedback.scan().collect().get_column("comment").str.contains(MARKER).any()


def test_what_was_imported_and_is_imported_again_is_dropped_whatever_time_it_has(house: House) -> None:
    old = exchange(1, subject=SUBJECT, source="openai-chat", at_ns=1)
    for _ in range(2):
        writer = house.store.open_journal()
        writer.append(old)
        writer.close()
        Sealer(house.store, UPSTREAMS).seal_once()
        forget(house.store, UPSTREAMS, "subject", SUBJECT, ways=ways_of(house))
        again = msgspec.structs.replace(
            old, at_ns=time.time_ns(), subject=None
        )  # some exports do not say when or whose
        writer = house.store.open_journal()
        writer.append(again)
        writer.close()
        assert Sealer(house.store, UPSTREAMS).seal_once().forgotten == 1
    assert old.trace_id not in house.ids()


def test_a_subject_that_was_put_aside_is_forgotten_there_too(house: House) -> None:
    quarantine = put_aside(house.store, "subject", SUBJECT, "It lies.")
    assert not any(SUBJECT in event.message for event in house.store.control.events())
    forget(house.store, UPSTREAMS, "subject", SUBJECT, ways=ways_of(house))
    left = house.store.control.quarantines.get(quarantine.quarantine_id)
    assert left is not None and left.lifted_ns and SUBJECT not in left.value


def test_a_live_writer_gives_its_segment_up(house: House) -> None:
    writer = house.store.open_journal()
    writer.append(exchange(1, subject=SUBJECT))
    writer.append(exchange(2, subject="somebody"))
    try:
        forget(house.store, UPSTREAMS, "subject", SUBJECT, ways=ways_of(house))
        assert not places_with(house.data / "journal", MARKER, SUBJECT)
        kept = exchange(3, subject="somebody")
        writer.append(kept)
        Sealer(house.store, UPSTREAMS).seal_once()
        assert kept.trace_id in house.ids()
    finally:
        writer.close()


@pytest.mark.parametrize("kind", ["key", "episode", "trace"])
def test_by_key_episode_and_trace(house: House, kind: str) -> None:
    rows = read_traces(house.store).filter(episode="run-1")
    value = {"key": "key_a", "episode": "run-1", "trace": rows["trace_id"][0]}[kind]
    wanted = {"key": rows.filter(key="key_a"), "episode": rows, "trace": rows.head(1)}[kind]["trace_id"].to_list()
    before = set(house.ids())
    receipt = forget(house.store, UPSTREAMS, kind, value, ways=ways_of(house))  # type: ignore[arg-type]
    assert before - set(house.ids()) == set(wanted)
    assert receipt.kind == kind and receipt.removed["feedback"] == (kind == "episode")


def test_a_receipt_is_worth_what_its_signature_is(house: House, tmp_path: Path) -> None:
    receipt = forget(house.store, UPSTREAMS, "subject", SUBJECT, ways=ways_of(house))
    path = tmp_path / "receipt.json"
    path.write_bytes(msgspec.json.encode(receipt))
    key = house.store.keys.public_key()
    check_receipt(read_receipt(path), key)
    assert is_about(house.store, receipt, "subject", SUBJECT)
    assert not is_about(house.store, receipt, "subject", "somebody") and not is_about(
        house.store, receipt, "key", SUBJECT
    )
    for forged in (
        msgspec.structs.replace(receipt, removed={"traces": 0}),
        msgspec.structs.replace(receipt, public_key="0" * 64),
    ):
        with pytest.raises(CertificateError):
            check_receipt(forged, key)
    with pytest.raises(NotFound):
        forget(house.store, UPSTREAMS, "subject", "", ways=ways_of(house))
