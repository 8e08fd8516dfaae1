"""A tiny generative student, trained from rows and certified in a data folder of its own: no traffic, no loop."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Sequence
from pathlib import Path

from freehold.config import Settings, load_settings
from freehold.domain.evidence import Certificate, Dataset, Sample, Student, Verdict
from freehold.domain.scoring import JsonScorer, Scorer
from freehold.domain.tasks import AnswerForm, Task
from freehold.evaluate import begin_attempt, certify, outlook
from freehold.store import Store
from freehold.store.artifacts import write_dataset
from freehold.train import train_student

TASK = "t_paint"
THINGS = ("door", "fence", "gate", "wall", "roof", "bench")
COLOURS = ("red", "green", "blue", "white", "black")
RECIPE = """
name = "toy"
about = "For tests."
max_answer_tokens = 40
[model]
{model}
[data]
context = 64
[optimizer]
kind = "{optimizer}"
rate = {rate}
matrix_rate = 0.03
[run]
epochs = {epochs}
batch_tokens = 768
precision = "float32"
workers = {workers}
evaluate_every = 20
patience = 0
"""
SCRATCH = 'from = "scratch"\nhidden = 32\nlayers = 2\nheads = 2\nintermediate = 64\nvocabulary = 300'
CONFIG = """
data_dir = "data"
[upstreams.inc]
base_url = "http://127.0.0.1:1/v1"
terms = "own"
[loop]
epsilon = 0.2
delta = 0.1
[students]
recipe = "{recipe}"
base = "{base}"
[models]
folders = ["models"]
{more}
"""


def orders(n: int, seed: int = 0) -> list[Sample]:
    """What to paint in which colour, and both as JSON; the parts in turn."""
    draw = random.Random(seed)
    parts = itertools.cycle(("fit", "fit", "fit", "tune", "certify", "certify"))
    rows: list[Sample] = []
    for number, part in zip(range(n), parts, strict=False):
        thing, colour = draw.choice(THINGS), draw.choice(COLOURS)
        prompt = draw.choice(("paint the {} {}", "the {} should be {}", "make our {} {} please")).format(thing, colour)
        rows.append(
            Sample(
                trace_id=f"tr_{number:028x}", at_ns=number + 1, prompt=prompt,
                answer=f'{{"thing": "{thing}", "colour": "{colour}"}}', part=part,  # type: ignore[arg-type]
                terms="own", input_tokens=20, output_tokens=9, uniform=True, answered_by="inc/gpt",
            )
        )  # fmt: skip
    return rows


class GenerativeDesk:
    """A data folder with a dataset, its task and, once it was trained, its student.

    Args:
        folder: `freehold.toml`, `recipe.toml`, `data/` and `models/` are in it.
        model, optimizer, rate, epochs, workers: of the recipe.
        base: of the recipe, where it names none.
        scorer: of the task.
        rows, samples: how many orders, or others.
        more: at the end of the configuration.
    """

    def __init__(
        self,
        folder: Path,
        *,
        model: str = SCRATCH,
        optimizer: str = "muon",
        rate: float = 0.03,
        epochs: float = 12,
        workers: int = 1,
        base: str = "",
        scorer: Scorer | None = None,
        rows: int = 600,
        samples: Sequence[Sample] | None = None,
        more: str = "",
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.config = folder, folder / "freehold.toml"
        recipe = folder / "recipe.toml"
        told = {"model": model, "optimizer": optimizer, "rate": rate, "epochs": epochs, "workers": workers}
        recipe.write_text(RECIPE.format(**told), encoding="utf-8")
        self.config.write_text(CONFIG.format(recipe=recipe, base=base, more=more), encoding="utf-8")
        self.settings: Settings = load_settings(self.config)
        self.store = Store.open(self.settings.data, self.settings.control_url)
        self.samples = orders(rows) if samples is None else list(samples)
        self.dataset = self._curated(self.samples)
        form = AnswerForm(kind="open")
        known = Task(task_id=TASK, name="paint", form=form, scorer=scorer or JsonScorer(), epsilon=0.2, delta=0.1)
        self.store.control.tasks.put(known)

    def _curated(self, samples: Sequence[Sample]) -> Dataset:
        digest = write_dataset(self.store.data / "datasets" / "ds_paint", list(samples))
        dataset = Dataset(
            dataset_id="ds_paint",
            task=TASK,
            path="datasets/ds_paint",
            sha256=digest,
            rows=len(samples),
            parts={part: sum(sample.part == part for sample in samples) for part in ("fit", "tune", "certify")},
            left_out={},
            verdicts=(Verdict(action="distil", outcome="allow", subject="own", reason="The organisation's own."),),
            form=AnswerForm(kind="open"),
            since_ns=1,
            until_ns=len(samples),
            created_ns=len(samples),
        )
        self.store.control.datasets.put(dataset)
        return dataset

    def train(self) -> Student:
        """Train the student; a second time it is the same."""
        return train_student(self.store, self.settings, self.dataset.dataset_id, time.time_ns())

    def certify(self, student: Student) -> Certificate:
        """A certificate for it."""
        view = outlook(self.store, student.student_id)
        attempt = certify(self.store, view, begin_attempt(self.store, view), time.time_ns())
        assert attempt.certificate is not None, attempt.reason
        certificate = self.store.control.certificates.get(attempt.certificate)
        assert certificate is not None
        return certificate

    def close(self) -> None:
        """Close the store."""
        self.store.close()
