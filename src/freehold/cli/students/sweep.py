"""`freehold sweep`: several students by variants of a recipe, and which is best on rows that none of them learned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from freehold.cli.common import (
    config_option,
    console,
    echo_json,
    find_task,
    json_option,
    open_store,
    settings_at,
    table,
)
from freehold.domain.errors import NotFound, RightsError, TrainingError

if TYPE_CHECKING:
    from freehold.config import Settings
    from freehold.domain.evidence import Dataset
    from freehold.domain.tasks import Task
    from freehold.store import Store
    from freehold.train.generative.sweep import Trial, Variant


@click.command("sweep")
@click.argument("task")
@click.option("--recipe", "wanted", metavar="NAME|FILE", help="Recipe to vary [default: the task's].")
@click.option("--over", multiple=True, required=True, metavar="TABLE.FIELD=V,V", help="Values to try; may be repeated.")
@click.option(
    "--write", "target", type=click.Path(path_type=Path), metavar="FILE", help="Write the best recipe as TOML."
)
@config_option
@json_option
def sweep_command(
    task: str, wanted: str | None, over: tuple[str, ...], target: Path | None, config: str | None, as_json: bool
) -> None:
    """Train a student of TASK by every combination of settings, and compare them on the tune rows.

    Trials that do worse than most are stopped early. With `[runner] kind = "ray"` they run side by side on the cluster.
    Nothing is promoted, and no certify row is looked at: `[tasks.NAME.student] recipe` puts the best recipe in force.
    """
    from freehold.train.generative.sweep import best_of, variants_of
    from freehold.train.recipes import load_recipe, recipe_toml

    path, settings = settings_at(config)
    store = open_store(settings)
    found = find_task(store, task)
    recipe = load_recipe(wanted or settings.recipe_name(found), path.parent)
    variants = variants_of(recipe, over)
    dataset = _dataset(store, found)

    def say(trial: Trial) -> None:
        if not as_json:
            click.echo(f"{trial.number} of {len(variants)}: {_settings(trial)}: {_outcome(trial)}", err=True)

    trials = _trials(store, settings, dataset, variants, say)
    best = best_of(trials)
    if best is None:
        raise TrainingError("No trial was trained to its end.", "Sweep over fewer or other values.")
    chosen = variants[best.number - 1].recipe
    if target is not None:
        target.write_text(recipe_toml(chosen), encoding="utf-8")
    if as_json:
        return echo_json(
            {
                "task": found.task_id,
                "dataset": dataset.dataset_id,
                "trials": [trial._asdict() for trial in trials],
                "best": best.number,
                "recipe": chosen,
                "file": str(target) if target is not None else None,
            }
        )
    shown = table(f"{found.name} · {dataset.dataset_id}", *_COLUMNS, right=_COLUMNS[2:])
    for trial in trials:
        row = (
            str(trial.number),
            _settings(trial),
            _loss(trial),
            str(trial.steps),
            _early(trial),
            f"{trial.seconds:.1f}",
        )
        shown.add_row(*row, style="bold" if trial is best else None)
    console().print(shown)
    where = f"Written to {target}." if target is not None else "`--write FILE` writes its recipe."
    click.echo(f"Trial {best.number} is best. {where}")


_COLUMNS = ("trial", "settings", "tune loss", "steps", "stopped early", "seconds")


def _trials(
    store: Store, settings: Settings, dataset: Dataset, variants: list[Variant], say: Callable[[Trial], None]
) -> list[Trial]:
    from freehold.store.artifacts import read_dataset
    from freehold.train.generative.places import place_of
    from freehold.train.generative.sweep import sweep_here, sweep_on_ray
    from freehold.train.recipes import Scratch

    samples = read_dataset(store.data / dataset.path, dataset.sha256)
    model = variants[0].recipe.model
    base = None if isinstance(model, Scratch) else _base_folder(store, settings, dataset, model.name)
    seed = settings.loop.seed
    if settings.runner.kind == "ray":
        return sweep_on_ray(variants, samples, base, seed, say, settings.runner.address)
    return sweep_here(variants, samples, base, seed, say, place_of(settings))


def _base_folder(store: Store, settings: Settings, dataset: Dataset, name: str) -> Path:
    from freehold.serving.bases import find_base
    from freehold.store.counsel import decisions

    task = store.control.tasks.get(dataset.task)
    own = settings.task(task.name, task.task_id).student.base if task is not None else None
    wanted = name or own or settings.students.base
    return find_base(settings, wanted, decisions(store, dataset.task, wanted)).folder


def _dataset(store: Store, task: Task) -> Dataset:
    from freehold.store.recalls import check_not_recalled

    datasets = [dataset for dataset in store.control.datasets.list() if dataset.task == task.task_id]
    if not datasets:
        raise NotFound(f"{task.name} has no dataset yet.", f"Run `freehold curate {task.task_id}` first.")
    newest = max(datasets, key=lambda dataset: dataset.created_ns)
    if not any(verdict.permits for verdict in newest.verdicts):
        raise RightsError(f"No verdict on dataset {newest.dataset_id} permits training.", "See its left-out rows.")
    check_not_recalled(store, "dataset", newest.dataset_id)
    return newest


def _settings(trial: Trial) -> str:
    return ", ".join(f"{name} = {value}" for name, value in trial.settings.items())


def _outcome(trial: Trial) -> str:
    if trial.error:
        return f"failed: {trial.error}"
    early = f", stopped early at step {trial.steps}" if trial.stopped_early else ""
    return f"tune loss {_loss(trial)}{early}, {trial.seconds:.1f} s"


def _loss(trial: Trial) -> str:
    return "failed" if trial.error else "" if trial.tune_loss is None else f"{trial.tune_loss:.4f}"


def _early(trial: Trial) -> str:
    return "yes" if trial.stopped_early else "no"
