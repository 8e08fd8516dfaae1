"""Train students by variants of a recipe, and find the one whose loss on the tune rows is least.

Trials that do worse than half of the others did by the same step are stopped early. Certify rows are never touched:
what a sweep finds is certified as any student is.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from freehold.domain.errors import ConfigError, EvidenceError, RequestError, TrainingError
from freehold.domain.evidence import Sample
from freehold.train.generative.fit import fit
from freehold.train.generative.launch import TrainBy, train_here
from freehold.train.generative.prepare import Prepared, prepare
from freehold.train.generative.spec import SPEC, Spec, read_json, write_examples, write_json
from freehold.train.progress import Progress
from freehold.train.recipes import Recipe
from freehold.train.recipes.load import check_recipe
from freehold.train.recipes.write import toml_value

MOST_TRIALS = 200
GRACE_LOOKS = 2
"""Looks at the tune rows that every trial gets."""
LEAST = 2
"""Other trials that a median is made of."""
_HERE = "freehold.train.generative.sweep"
_RUN = "run"
_LOSS, _STEP = "tune_loss", "step"


class Variant(NamedTuple):
    """A recipe, and what is changed in it."""

    settings: dict[str, Any]
    """`table.field` → value."""
    recipe: Recipe


class Trial(NamedTuple):
    """What came of a variant."""

    number: int
    """From 1."""
    settings: dict[str, Any]
    tune_loss: float | None
    """The least on the tune rows; None if it failed before its first look."""
    steps: int
    stopped_early: bool
    """By the median rule; a recipe's own patience is part of the recipe."""
    seconds: float
    error: str = ""
    """Why it failed; empty if it did not."""


Done = Callable[[Trial], None]
Curve = list[tuple[int, float]]
"""(step, loss on the tune rows) in order of step."""


def variants_of(recipe: Recipe, over: Sequence[str]) -> list[Variant]:
    """Every combination of what `over` lists, each `TABLE.FIELD=VALUE,VALUE,…` with values as in TOML.

    Raises:
        RequestError: that is not its form, there is no such field, or there are too many.
        ConfigError: a variant is no recipe.
    """
    axes = [_axis(text) for text in over]
    if len({name for name, _ in axes}) < len(axes):
        raise RequestError("A field is given twice.", "Give all its values at once: --over optimizer.rate=0.01,0.03.")
    combined = [dict(values) for values in itertools.product(*([(name, v) for v in values] for name, values in axes))]
    if len(combined) > MOST_TRIALS:
        raise RequestError(f"These are {len(combined)} students.", f"Sweep over {MOST_TRIALS} at most at a time.")
    return [Variant(settings, _changed(recipe, settings)) for settings in combined]


def sweep_here(
    variants: Sequence[Variant], samples: Sequence[Sample], base: Path | None, seed: int, done: Done, by: TrainBy
) -> list[Trial]:
    """One variant after the other, trained by `by`; `done` is told of each.

    Raises:
        EvidenceError, TrainingError: a dataset nobody could learn from, or all variants failed; see `prepare`.
    """
    trials: list[Trial] = []
    curves: list[Curve] = []
    for number, variant in enumerate(variants, 1):
        rule = _Median(curves, GRACE_LOOKS * variant.recipe.run.evaluate_every)
        trials.append(_tried(number, variant, _prepared(samples, variant.recipe, base, seed), seed, rule, by))
        curves.append(rule.curve)
        done(trials[-1])
    _check_any(trials)
    return trials


def sweep_on_ray(
    variants: Sequence[Variant], samples: Sequence[Sample], base: Path | None, seed: int, done: Done, address: str
) -> list[Trial]:
    """As many variants side by side as the cluster has room for; `done` is told of each at the end.

    A base model must be at the same path on every node.

    Raises:
        ConfigError: there is no cluster.
        EvidenceError, TrainingError: as `sweep_here`.
    """
    from freehold.runners.ray_tune import Stopping, run_trials  # it needs an extra

    files = [_files(variant.recipe, _prepared(samples, variant.recipe, base, seed), seed) for variant in variants]
    cpus = [variant.recipe.run.workers * variant.recipe.run.threads for variant in variants]
    grace = GRACE_LOOKS * max(variant.recipe.run.evaluate_every for variant in variants)
    ended = run_trials(address, f"{_HERE}:work", files, cpus, Stopping(_LOSS, _STEP, grace, LEAST))
    trials: list[Trial] = []
    for number, (variant, told) in enumerate(zip(variants, ended, strict=True), 1):
        last = told.last
        stopped = not told.error and not last.get("over", False)
        found = (last.get("best"), last.get(_STEP, 0), stopped, last.get("seconds", last.get("time_total_s", 0.0)))
        trials.append(Trial(number, variant.settings, *found, told.error))
        done(trials[-1])
    _check_any(trials)
    return trials


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The trial with the least loss among those that were trained to their end; the first of equals."""
    whole = [trial for trial in trials if trial.tune_loss is not None and not trial.stopped_early and not trial.error]
    return min(whole, key=lambda trial: (trial.tune_loss, trial.number), default=None)


def work(folder: Path, tell: Callable[[dict[str, Any]], None]) -> None:
    """One trial on a node: train what lies in `folder`, and tell of the loss on the tune rows."""
    run = folder / _RUN
    spec = read_json(run / SPEC, Spec)
    assert spec is not None
    curve: Curve = []

    def watch(progress: Progress) -> None:
        if progress.tune_loss is not None:
            curve.append((progress.step, progress.tune_loss))
            best = min(loss for _, loss in curve)
            tell({_STEP: progress.step, _LOSS: progress.tune_loss, "best": best, "over": False})

    done = train_here(run, spec, watch)
    tell({_STEP: done.steps, _LOSS: done.tune_loss, "best": done.tune_loss, "seconds": done.seconds, "over": True})


class _Stop(Exception):
    """A trial is worse than half of the others were."""


class _Median:
    """Stops a trial whose best loss is worse than the median of what the others' losses were on average by its step
    (Golovin et al. 2017, "Google Vizier", section 3.2.2)."""

    def __init__(self, others: Sequence[Curve], grace: int) -> None:
        self._others = list(others)
        self._grace = grace
        self.curve: Curve = []

    def __call__(self, progress: Progress) -> None:
        if progress.tune_loss is None:
            return
        self.curve.append((progress.step, progress.tune_loss))
        if progress.step < self._grace or progress.step == progress.steps:
            return
        by_now = [[loss for step, loss in other if step <= progress.step] for other in self._others]
        means = [statistics.fmean(losses) for losses in by_now if losses]
        if len(means) >= LEAST and min(loss for _, loss in self.curve) > statistics.median(means):
            raise _Stop


def _tried(number: int, variant: Variant, prepared: Prepared, seed: int, rule: _Median, by: TrainBy) -> Trial:
    began, steps = time.monotonic(), [0]

    def watch(progress: Progress) -> None:
        steps.append(progress.step)
        rule(progress)

    with tempfile.TemporaryDirectory(prefix="freehold-trial-") as folder:
        try:
            done = fit(Path(folder), variant.recipe, prepared.fit, prepared.tune, seed, prepared.start, watch, by)
        except _Stop:
            best = min(loss for _, loss in rule.curve)
            return Trial(number, variant.settings, best, steps[-1], True, time.monotonic() - began)
        except TrainingError as error:
            return Trial(number, variant.settings, None, steps[-1], False, time.monotonic() - began, str(error))
    return Trial(number, variant.settings, done.tune_loss, done.steps, False, done.seconds)


def _files(recipe: Recipe, prepared: Prepared, seed: int) -> dict[str, bytes]:
    """A run's folder as `fit` would make it."""
    with tempfile.TemporaryDirectory(prefix="freehold-trial-") as folder:
        run = Path(folder)
        digest = write_examples(run, {"fit": prepared.fit, "tune": prepared.tune})
        write_json(run / SPEC, Spec(recipe=recipe, seed=seed, start=prepared.start, data_sha256=digest))
        return {f"{_RUN}/{path.name}": path.read_bytes() for path in run.iterdir()}


def _prepared(samples: Sequence[Sample], recipe: Recipe, base: Path | None, seed: int) -> Prepared:
    found = prepare(samples, recipe, base, seed)
    if not found.tune:
        raise EvidenceError("The dataset has no tune rows to choose by.", "Curate it again with more traffic.")
    return found


def _check_any(trials: Sequence[Trial]) -> None:
    if all(trial.error for trial in trials):
        raise TrainingError(f"All trials failed. The first: {trials[0].error}", "Mend the recipe and sweep again.")


def _axis(text: str) -> tuple[str, list[Any]]:
    name, equals, values = text.partition("=")
    try:
        parsed: list[Any] = tomllib.loads(f"values = [{values}]")["values"]
    except tomllib.TOMLDecodeError:
        parsed = []
    if not (equals and name.count(".") == 1 and parsed):
        raise RequestError(
            f"--over {text!r} is not TABLE.FIELD=VALUE,VALUE.",
            'For example --over optimizer.rate=0.01,0.03 or --over \'optimizer.kind="adamw","muon"\'.',
        )
    return name.strip(), parsed


def _changed(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    told = msgspec.to_builtins(recipe)
    for name, value in settings.items():
        table, _, field = name.partition(".")
        if not isinstance(told.get(table), dict):
            raise RequestError(f"The recipe has no table [{table}].", "`freehold recipes show` shows what it has.")
        told[table][field] = value
    words = ", ".join(f"{name} = {toml_value(value)}" for name, value in settings.items())
    try:
        changed = msgspec.convert(told, Recipe)
    except msgspec.ValidationError as error:
        raise ConfigError(f"With {words}: {error}.", "`freehold recipes show` shows every field.") from error
    for problem in check_recipe(changed):
        raise ConfigError(f"With {words}: {problem.what}", problem.hint)
    return changed
