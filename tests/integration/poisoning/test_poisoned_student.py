"""One malicious key sends 5% wrong feedback: what is learned with and without what bounds it, and what is put aside."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from cli_fixtures import Run
from loop_fixtures import Desk, incumbent_trace, urgency
from poisoned_rows import LEARN, accuracy, curated, rows_with, unheard

from freehold.config import Settings
from freehold.config.poisoning_settings import FeedbackTrust, Influence
from freehold.config.settings import CurateSettings
from freehold.curate import build_dataset
from freehold.curate.poisoning.aside import in_force, lift, put_aside
from freehold.curate.poisoning.canaries import is_canary
from freehold.domain.errors import NotFound
from freehold.domain.evidence import Dataset
from freehold.domain.ids import new_id
from freehold.domain.traces import Feedback
from freehold.store import Store
from freehold.store.artifacts import read_dataset


def test_five_percent_of_wrong_feedback_does_a_student_no_harm() -> None:
    rows = rows_with(1500, ("evil",), 0.05, seed=3)
    held_out = urgency(99, 1000, mistakes=0.0)
    without_it = accuracy(curated(unheard(rows, ["evil"]), LEARN), held_out)
    unprotected = accuracy(curated(rows, LEARN), held_out)
    protected = accuracy(curated(rows, Influence(), FeedbackTrust(), LEARN), held_out)
    assert protected >= without_it - 0.005 and protected >= 0.97
    assert unprotected <= protected


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """700 exchanges of 10 keys, one of which says of 30 right answers that they are wrong."""
    made = Desk(tmp_path / "freehold-data", min_samples=100)
    journal = made.store.open_journal()
    for number, (text, answer) in enumerate(urgency(1, 700)):
        key = "key_evil" if number % 20 == 0 else f"key_{number % 9}"
        trace = incumbent_trace(number, text, answer, key=key)
        journal.append(trace)
        score = 0.0 if key == "key_evil" else 1.0
        journal.append(
            Feedback(feedback_id=new_id("fb"), trace_id=trace.trace_id, at_ns=time.time_ns(), score=score, key=key)
        )
    journal.close()
    made.loop._sealer.seal_once()
    made.loop.turn()  # finds the task
    yield made
    made.close()


def built(store: Store, settings: Settings, task: str) -> Dataset:
    return build_dataset(store, settings, task, time.time_ns())


def test_what_is_put_aside_stays_out_until_it_is_lifted(desk: Desk) -> None:
    before = built(desk.store, desk.settings, desk.task_id)
    quarantine = put_aside(desk.store, "key", "key_evil", "It lies.")
    assert put_aside(desk.store, "key", "key_evil", "Again.") == quarantine and in_force(desk.store) == [quarantine]
    without = built(desk.store, desk.settings, desk.task_id)
    assert without.left_out["quarantined key"] == 35 and without.rows == before.rows - 35
    samples = read_dataset(desk.store.data / without.path, without.sha256)
    one = next(sample for sample in samples if sample.part == "fit")
    certifies = next(sample for sample in samples if sample.part == "certify")
    put_aside(desk.store, "trace", one.trace_id, "Odd.")
    put_aside(desk.store, "trace", certifies.trace_id, "Odd, too, but it certifies.")
    third = built(desk.store, desk.settings, desk.task_id)
    kept = {sample.trace_id for sample in read_dataset(desk.store.data / third.path, third.sha256)}
    assert one.trace_id not in kept and certifies.trace_id in kept
    for item in in_force(desk.store, desk.task_id):
        lift(desk.store, item.quarantine_id)
    assert built(desk.store, desk.settings, desk.task_id).dataset_id == before.dataset_id
    with pytest.raises(NotFound):
        lift(desk.store, quarantine.quarantine_id)
    kinds = [event.kind for event in desk.store.control.events()]
    assert kinds.count("quarantined") == 3 and kinds.count("quarantine-lifted") == 3


def test_canaries_are_planted_to_be_fitted_on_only(desk: Desk) -> None:
    settings = msgspec.structs.replace(desk.settings, curate=CurateSettings(canaries=20))
    dataset = built(desk.store, settings, desk.task_id)
    samples = read_dataset(desk.store.data / dataset.path, dataset.sha256)
    planted = [sample for sample in samples if is_canary(sample)]
    assert len(planted) == 20 and {sample.part for sample in planted} == {"fit"}
    assert built(desk.store, settings, desk.task_id) == dataset, "they are the same again"


def test_the_command_names_the_key_and_puts_it_aside(desk: Desk, tmp_path: Path, run: Run) -> None:
    (tmp_path / "freehold.toml").write_text('[upstreams.inc]\nbase_url = "http://127.0.0.1:1/v1"\nterms = "own"\n')
    code, out, err = run("quarantine", "report", desk.task_id, "--json", "--config", str(tmp_path / "freehold.toml"))
    assert code == 0, err
    assert msgspec.json.decode(out)["named"] == ["key_evil"]
    config = ("--config", str(tmp_path / "freehold.toml"))
    code, out, _ = run("quarantine", "report", desk.task_id, *config)
    assert "put it aside" in out and "freehold quarantine add --key key_evil" in out
    assert run("quarantine", "add", "--key", "key_evil", *config)[0] == 0
    code, out, _ = run("quarantine", "list", "--json", *config)
    [item] = msgspec.json.decode(out)
    assert item["value"] == "key_evil"
    assert run("quarantine", "lift", item["quarantine_id"][:9], *config)[0] == 0
    assert run("quarantine", "lift", item["quarantine_id"], *config)[0] == 3
    assert run("quarantine", "add", *config)[0] == 2
