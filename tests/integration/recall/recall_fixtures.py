"""A copy of a desk whose task is owned, with two more tasks in force: one that a student of the first has taught, and
one that has nothing to do with it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from loop_fixtures import Desk, incumbent_trace, make_samples, urgency

from freehold.config import Settings, load_settings
from freehold.domain.evidence import Certificate, CertifiedRung, Dataset, Sample, Student, Verdict
from freehold.domain.policy import Ladder, LadderModel, Rung
from freehold.domain.recalls import Recall
from freehold.domain.releases import BuiltRelease
from freehold.domain.tasks import AnswerForm, Task
from freehold.domain.traces import Trace
from freehold.loop.recall import Wanted, recall_rows
from freehold.record.sealer import Sealer
from freehold.store import Store
from freehold.store.artifacts import dataset_sha256, write_dataset

CONFIG = """
data_dir = "data"
[gateway]
port = 0
[upstreams.inc]
base_url = "{url}"
models = ["gpt"]
terms = "own"
[upstreams.other]
base_url = "http://127.0.0.1:1/v1"
models = ["another"]
terms = "mit"
[loop]
epsilon = 0.1
delta = 0.1
min_samples = 600
growth = 1.2
"""
TAUGHT, APART = "task_taught", "task_apart"


class Branch:
    """The folder: `freehold.toml` and `data`."""

    def __init__(self, folder: Path, desk: Desk) -> None:
        assert desk.rung is not None
        shutil.copytree(desk.settings.data, folder / "data")
        self.folder = folder
        self.config = folder / "freehold.toml"
        self.point_at("http://127.0.0.1:1/v1")
        self.task = desk.task_id
        self.rung: Rung = desk.rung
        self.store = Store.open(self.settings.data, self.settings.control_url)
        self.store.keys.public_key()
        self._put(TAUGHT, f"student/{self.rung.student}")
        self._put(APART, "other/another")
        student = f"st_{TAUGHT}"
        self.store.control.releases.put(
            BuiltRelease(release_id="rl_1", student=student, task=TAUGHT, path="/r", manifest_sha256="", created_ns=1)
        )

    @property
    def settings(self) -> Settings:
        return load_settings(self.config)

    @property
    def option(self) -> tuple[str, str]:
        return ("--config", str(self.config))

    def point_at(self, url: str) -> None:
        """Have the incumbent answer at this address."""
        self.config.write_text(CONFIG.format(url=url))

    def record(self, numbers: range, answered_by: str = "inc/gpt", **changes: Any) -> list[str]:
        """Record and seal so many requests of the first task; returns the traces' ids."""
        journal = self.store.open_journal()
        ids: list[str] = []
        for number, (user, answer) in zip(numbers, urgency(numbers.start, len(numbers)), strict=True):
            trace: Trace = incumbent_trace(number, user, answer, answered_by=answered_by, **changes)
            journal.append(trace)
            ids.append(trace.trace_id)
        journal.close()
        Sealer(self.store, self.settings.upstreams).seal_once()
        return ids

    def in_force(self) -> set[str]:
        """Tasks that somebody else than the incumbent answers."""
        policy = self.store.control.current_policy()
        return {task for task, entry in policy.tasks.items() if entry.rungs or entry.ladder}

    def put_ladder(self, task: str, rented: str) -> str:
        """Put a ladder in force whose router was fitted to the answers of `rented`; returns its certificate's id."""
        original = self.store.control.certificates.get(f"ce_{task}")
        assert original is not None
        rung: CertifiedRung = msgspec.structs.replace(original.rungs[0], kind="model", name=rented, signal="ro_1")
        routed = msgspec.structs.replace(original, certificate_id=f"ce_ladder_{task}", rungs=(rung,))
        self.store.control.certificates.put(routed)
        model = LadderModel(name=rented.partition("/")[2])
        ladder = Ladder(router="ro_1", path="routers/ro_1", sha256="", models=(model,), signal="prompt",
                        certificate=routed.certificate_id, fingerprints=())  # fmt: skip
        self.store.control.change_task_policy(task, "For the test.", rungs=(), ladder=ladder)
        return routed.certificate_id

    @staticmethod
    def recall_at(folder: Path) -> Recall:
        """The report of recalling the incumbent in another copy."""
        settings = load_settings(folder / "freehold.toml")
        store = Store.open(settings.data, settings.control_url)
        found = recall_rows(store, settings, Wanted("provider", "inc"))
        store.close()
        return found

    def _put(self, task: str, answered_by: str) -> None:
        """A task with a student in force that was trained on answers of `answered_by`."""
        control = self.store.control
        samples = [
            msgspec.structs.replace(sample, trace_id=f"tr_{task}_{number:020x}", answered_by=answered_by)
            for number, sample in enumerate(make_samples(urgency(7, 30)))
        ]
        certificate, student = f"ce_{task}", f"st_{task}"
        control.tasks.put(Task(task_id=task, name=task, state="owned", created_ns=1, updated_ns=1))
        control.datasets.put(self._dataset(task, samples))
        control.students.put(
            Student(student_id=student, task=task, dataset_id=f"ds_{task}", kind="classifier", path=self.rung.path,
                    sha256=self.rung.sha256, verdicts=(), metrics={}, created_ns=1)
        )  # fmt: skip
        original = control.certificates.get(self.rung.certificate)
        assert original is not None
        control.certificates.put(_certificate(original, task, student, certificate))
        rung = msgspec.structs.replace(self.rung, student=student, certificate=certificate, fingerprints=())
        control.change_task_policy(task, "For the test.", rungs=(rung,))

    def _dataset(self, task: str, samples: list[Sample]) -> Dataset:
        sha256 = write_dataset(self.store.datasets_root / task, samples)
        assert sha256 == dataset_sha256(samples)
        verdict = Verdict(action="train_classifier", outcome="allow", subject="own", reason="own")
        return Dataset(dataset_id=f"ds_{task}", task=task, path=f"datasets/{task}", sha256=sha256, rows=len(samples),
                       parts={}, left_out={}, verdicts=(verdict,), form=AnswerForm(kind="label"), since_ns=0,
                       until_ns=1, created_ns=1)  # fmt: skip


def _certificate(original: Certificate, task: str, student: str, name: str) -> Certificate:
    """One with the first task's figures, for another student: only its names matter here."""
    rung: CertifiedRung = msgspec.structs.replace(original.rungs[0], name=student, signal=student)
    return msgspec.structs.replace(
        original, certificate_id=name, task=task, rungs=(rung,), dataset_id=f"ds_{task}", signature=""
    )


@pytest.fixture
def branch(owned_desk: Desk, tmp_path: Path) -> Iterator[Branch]:
    """See above."""
    made = Branch(tmp_path, owned_desk)
    yield made
    made.store.close()
