"""`freehold student train`: a student of agents' runs, from a file of them."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from freehold.cli.common import config_option, echo_json, json_option, settings_at
from freehold.cli.students.counsel import decided
from freehold.cli.students.training_bar import training_bar
from freehold.domain.errors import ConfigError
from freehold.rights.words import NOTICE

if TYPE_CHECKING:
    from freehold.config import Settings
    from freehold.train.generative.runs import Base, MadeOfRuns, Runs
    from freehold.train.recipes import Recipe


@click.command("train")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--recipe", "wanted", default="trajectory", show_default=True, metavar="NAME|FILE",
              help="trajectory, lora, full, or a file of one's own.")  # fmt: skip
@click.option("--base", metavar="NAME", help="The base model  [default: the recipe's, else that of [students]].")
@click.option("--to", type=click.Path(path_type=Path), required=True, metavar="FOLDER",
              help="The student's folder, which does not exist yet.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), help="Of all that is drawn  [default: of the configuration].")
@config_option
@json_option
def train_command(
    file: Path, wanted: str, base: str | None, to: Path, seed: int | None, config: str | None, as_json: bool
) -> None:
    """Train a student on FILE: rows of `freehold episode export --format chat`.

    Rows whose terms do not permit training are refused; a tenth of the trajectories says when to stop. FOLDER then
    holds `model/` or `adapter/`, which `freehold student serve FOLDER`, `freehold student export FOLDER` and vLLM
    take. A run that was stopped is carried on with by the same command.
    """
    from freehold.rights import TrainingJudge
    from freehold.store import exclusive
    from freehold.store.counsel import today
    from freehold.train.recipes import load_recipe

    _, settings = settings_at(config)
    recipe = load_recipe(wanted)
    _require_extra()
    from freehold.train.generative.places import place_of
    from freehold.train.generative.runs import check_place, read_runs, train_on_runs

    to = to.absolute()
    check_place(recipe, to)
    judge = TrainingJudge("distil", decided(settings), today(), settings.organisation)
    runs = read_runs(file, judge)
    found = _base(settings, recipe, base)
    place = hashlib.sha256(str(to).encode()).hexdigest()[:24]
    drawn = settings.loop.seed if seed is None else seed
    with (
        exclusive(settings.data / "locks" / f"student-{place}.lock"),
        training_bar(quiet=as_json) as watch,
    ):
        made = train_on_runs(runs, recipe, found, drawn, to, watch, place_of(settings))
    _show(runs, made, as_json)


def _require_extra() -> None:
    """Find out that what trains is there before anything is read.

    Raises:
        ConfigError: it is not.
    """
    missing = [name for name in ("torch", "transformers", "tokenizers", "safetensors") if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"A student cannot be trained: {missing[0]} is not installed.",
            "Run `pip install freehold[train]` (without a GPU: `pip install torch==2.13.0` first).",
        )


def _base(settings: Settings, recipe: Recipe, named: str | None) -> Base | None:
    """The base model, its rights and hashes looked at; None: from random weights."""
    from freehold.serving.bases import find_base
    from freehold.train.generative.runs import Base
    from freehold.train.recipes import Scratch

    if isinstance(recipe.model, Scratch):
        if named:
            raise ConfigError(
                f"The recipe {recipe.name} begins with random weights, and takes no base.", "Leave --base away."
            )
        return None
    wanted = named or recipe.model.name or settings.students.base
    if not wanted:
        raise ConfigError(
            f"The recipe {recipe.name} needs a base model, and none is named.",
            "Give --base NAME; `freehold models` lists what there is.",
        )
    found = find_base(settings, wanted, decided(settings, wanted))
    return Base(found.used, found.folder)


def _show(runs: Runs, made: MadeOfRuns, as_json: bool) -> None:
    fit = made.fit
    if as_json:
        rows = {"fit": len(runs.fit), "tune": len(runs.tune), "refused": runs.refused, "left_out": made.left_out}
        base = made.manifest.base
        return echo_json(
            {
                "folder": str(made.folder),
                "sha256": made.sha256,
                "weights": made.manifest.weights,
                "base": None if base is None else base.name,
                "rows": rows,
                "verdicts": runs.verdicts,
                "fit": fit._asdict(),
            }
        )
    tuned = "" if fit.tune_loss is None else f", {fit.tune_loss:.3f} on {len(runs.tune):,} to tune by"
    click.echo(f"{len(runs.fit):,} trajectories learned in {fit.steps:,} steps: loss {fit.fit_loss:.3f}{tuned}.")
    for terms, count in runs.refused.most_common():
        click.echo(f"{count:,} rows refused: nothing permits training on answers under the terms {terms}.")
    for reason, count in made.left_out.most_common():
        click.echo(f"{count:,} left out: {reason}.")
    click.echo(
        f"{fit.tokens:,} tokens, {fit.seconds:.0f} s, {fit.kilowatt_hours * 1000:.1f} Wh. The student is in "
        f"{made.folder}: `freehold student serve {made.folder}`."
    )
    click.echo(NOTICE)
