"""How often the way from outlook to certificate ends in a promise that is not kept, over many drawn populations.

Only the student is a stand-in: a prompt says what its signal is, so that the true loss of any threshold is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from freehold.domain.evidence import Dataset, Sample, Student
from freehold.domain.tasks import AnswerForm, Task
from freehold.evaluate import begin_attempt, certify, outlook
from freehold.evaluate.floor import Floor
from freehold.store import Store
from freehold.upstreams.student import StudentAnswer

# The package's functions bear the names of the modules they live in.
certify_module = import_module("freehold.evaluate.certify")
outlook_module = import_module("freehold.evaluate.outlook")
EPSILON, DELTA = 0.1, 0.1
ROUNDS = 60
Rates = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]


class _SaysItsSignal:
    def answer(self, prompt: str) -> StudentAnswer:
        return StudentAnswer("yes", float(prompt), 0.0)


class _Population(NamedTuple):
    """Signals uniform in [0, 1]; the chance of being wrong at each, as certified and as the fit rows claim."""

    wrong_at: Rates
    claimed_at: Rates

    def draw(self, rng: np.random.Generator, n: int, rates: Rates) -> tuple[Any, Any]:
        signals = rng.random(n).round(6)
        return signals, rng.random(n) < rates(signals)

    def true_loss(self, threshold: float) -> float:
        signals = np.linspace(max(threshold, 0.0), 1.0, 2001)
        return float(self.wrong_at(signals).mean())


HONEST = _Population(lambda s: 0.3 * (1 - s), lambda s: 0.3 * (1 - s))
OPTIMIST = _Population(lambda s: 0.16 * (1 - s) + 0.05, lambda s: 0.001 * (1 - s))
HOPELESS = _Population(lambda s: np.full_like(s, EPSILON + 0.002), lambda s: 0.001 * (1 - s))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("population")
    store = Store.open(folder, f"sqlite:///{folder / 'control.sqlite'}")
    store.control.tasks.put(Task(task_id="task_x", name="x", epsilon=EPSILON, delta=DELTA))
    yield store
    store.close()


def _promise(store: Store, monkeypatch: pytest.MonkeyPatch, population: _Population, seed: int) -> float | None:
    """The threshold certified in at most three attempts, each on fresh evidence; None if there is none."""
    rng = np.random.default_rng(seed)
    store.control.tasks.put(Task(task_id="task_x", name="x", epsilon=EPSILON, delta=DELTA))
    for attempt in range(3):
        signals, wrong = population.draw(rng, 400, population.claimed_at)
        tensors = {
            "fit_uniform": np.ones(400, bool),
            "fit_novelty": np.zeros(400),
            "fit_wrong": wrong,
            "fit_signals": signals,
            "tune_signals": population.draw(rng, 60, population.wrong_at)[0],
            "tune_novelty": np.zeros(60),
        }
        certify_signals, certify_wrong = population.draw(rng, 300, population.wrong_at)
        rows = [
            Sample(
                trace_id=f"tr_{i:08x}",
                at_ns=i,
                prompt=str(signal),
                answer="no" if lost else "yes",
                part="certify",
                terms="own",
                input_tokens=0,
                output_tokens=0,
                uniform=True,
            )
            for i, (signal, lost) in enumerate(zip(certify_signals.tolist(), certify_wrong.tolist(), strict=True))
        ]
        name = f"{seed}-{attempt}-{population.true_loss(0.0)}"
        with monkeypatch.context() as patch:
            for module in (outlook_module, certify_module):
                patch.setattr(module, "read_dataset", lambda *_, rows=rows: rows)
                patch.setattr(module, "evidence_of", lambda store, _, name=name: _evidence(store, name))
            patch.setattr(certify_module, "dataset_file_sha256", lambda *_: "")
            patch.setattr(outlook_module, "read_student", lambda *_, tensors=tensors: ({}, tensors))
            patch.setattr(
                certify_module, "answers_of", lambda *given: [_SaysItsSignal().answer(one) for one in given[2]]
            )
            patch.setattr(outlook_module, "self_disagreement", lambda *_: Floor(0, 0))
            view = outlook(store, f"st_{name}")
            if view.chance < 0.3:
                continue
            done = certify(store, view, begin_attempt(store, view), 1)
        if done.certificate is not None:
            certificate = store.control.certificates.get(done.certificate)
            assert certificate is not None
            return certificate.thresholds[0]
    return None


def _evidence(store: Store, name: str) -> tuple[Student, Dataset, Task | None]:
    dataset = Dataset(
        dataset_id=f"ds_{name}",
        task="task_x",
        path="",
        sha256=name,
        rows=0,
        parts={},
        left_out={},
        verdicts=(),
        form=AnswerForm(kind="label"),
        since_ns=0,
        until_ns=0,
        created_ns=1,
    )
    student = Student(
        student_id=f"st_{name}",
        task="task_x",
        dataset_id=dataset.dataset_id,
        kind="classifier",
        path="",
        sha256=name,
        verdicts=(),
        metrics={},
        created_ns=1,
    )
    store.control.datasets.put(dataset)
    store.control.students.put(student)
    return student, dataset, store.control.tasks.get("task_x")


@pytest.mark.parametrize(
    ("population", "least_promoted"),
    [(HONEST, 0.3), (OPTIMIST, 0.05), (HOPELESS, 0.0)],
    ids=["honest", "optimist", "hopeless"],
)
def test_promises_are_broken_no_more_often_than_delta(
    store: Store, monkeypatch: pytest.MonkeyPatch, population: _Population, least_promoted: float
) -> None:
    promises = [_promise(store, monkeypatch, population, seed) for seed in range(ROUNDS)]
    kept = [threshold for threshold in promises if threshold is not None]
    broken = sum(population.true_loss(threshold) > EPSILON for threshold in kept)
    assert broken / ROUNDS <= DELTA + 3 * math.sqrt(DELTA * (1 - DELTA) / ROUNDS)
    assert len(kept) / ROUNDS >= least_promoted
