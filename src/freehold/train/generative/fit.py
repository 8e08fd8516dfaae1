"""Train a generative student's weights: the one way in. Torch is loaded by the processes that this starts only."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from freehold.domain.errors import EvidenceError
from freehold.train.generative.encode import Encoded
from freehold.train.generative.launch import TrainBy, train_here
from freehold.train.generative.spec import (
    CHECKPOINT,
    SPEC,
    BaseStart,
    Fit,
    Pair,
    ScratchStart,
    Spec,
    Start,
    disk_error,
    read_json,
    write_examples,
    write_json,
    write_pairs,
)
from freehold.train.progress import Progress
from freehold.train.recipes import Recipe

__all__ = ["BaseStart", "Fit", "Pair", "ScratchStart", "Start", "fit", "fit_preferences"]

RUN = "run"


def fit(
    folder: Path,
    recipe: Recipe,
    fit: Sequence[Encoded],
    tune: Sequence[Encoded],
    seed: int,
    start: Start,
    watch: Callable[[Progress], None],
    train_by: TrainBy = train_here,
) -> Fit:
    """Train on `fit`, keep the weights that were best on `tune`, and write them to `folder/model` or `folder/adapter`.

    What is under way lies in `folder/run`: called again with the same arguments after a crash, it goes on from the last
    checkpoint, to the same bytes. A base's tokenizer files are not copied. `train_by`: where its workers run, here or
    on a cluster (`cluster.RayWorkers`), which gives the same bytes.

    Raises:
        EvidenceError: there is nothing to learn.
        TrainingError: memory, disk, a loss that is no number, a base that does not fit; nothing is written but what a
            later call needs to go on.
    """
    if not any(example.learn.any() for example in fit):
        raise EvidenceError("No fit row has a token to learn.", "Look at the dataset's answers and [data] context.")
    run = _run_folder(folder)
    digest = write_examples(run, {"fit": fit, "tune": [example for example in tune if example.learn.any()]})
    return _done(run, Spec(recipe=recipe, seed=seed, start=start, data_sha256=digest), watch, train_by)


def fit_preferences(
    folder: Path,
    recipe: Recipe,
    fit: Sequence[Pair],
    tune: Sequence[Pair],
    seed: int,
    start: BaseStart,
    watch: Callable[[Progress], None],
    train_by: TrainBy = train_here,
) -> Fit:
    """As `fit`, by preferences (`method = "dpo"`): `start` is what was trained before.

    Raises:
        EvidenceError: there is no pair.
        TrainingError: as `fit`.
    """
    if not fit:
        raise EvidenceError("There is no pair of answers to prefer one of.", "Collect feedback, or use method sft.")
    run = _run_folder(folder)
    digest = write_pairs(run, {"fit": fit, "tune": tune})
    return _done(run, Spec(recipe=recipe, seed=seed, start=start, data_sha256=digest), watch, train_by)


def _done(run: Path, spec: Spec, watch: Callable[[Progress], None], train_by: TrainBy) -> Fit:
    if read_json(run / SPEC, Spec) != spec:
        (run / CHECKPOINT).unlink(missing_ok=True)  # of another run
        write_json(run / SPEC, spec)
    result = train_by(run, spec, watch)
    shutil.rmtree(run, ignore_errors=True)
    return result


def _run_folder(folder: Path) -> Path:
    run = folder / RUN
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(run, error) from error
    return run
