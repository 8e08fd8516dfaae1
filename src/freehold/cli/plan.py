"""`freehold plan`: what could move, before anything is changed: by a file of recorded outcomes, or by the traffic."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

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
from freehold.domain.errors import ConfigError, NotFound, RequestError

if TYPE_CHECKING:
    from freehold.curate.outcome_prices import Price
    from freehold.domain.plans import Plan

_MOST_CANDIDATES = 5
"""Every set of up to three of them is tried, in a cascade in every order."""
_LIMIT = 60_000
_SUFFIXES = (".parquet", ".csv", ".tsv", ".json", ".jsonl", ".ndjson")


@click.command("plan")
@click.argument("what", metavar="[FILE|TASK]", required=False)
@click.option("--incumbent", metavar="MODEL", help="The model that answers today.")
@click.option("--candidate", "candidates", multiple=True, metavar="MODEL", help="One that might; give it repeatedly.")
@click.option("--epsilon", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.02, show_default=True,
              help="Loss allowed, in points of score.")  # fmt: skip
@click.option("--delta", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.05, show_default=True,
              help="Chance allowed of certifying what loses more.")  # fmt: skip
@click.option("--risk", type=click.Choice(["traffic", "served"]), default="served", show_default=True,
              help="Average the loss over all requests, or over those that move.")  # fmt: skip
@click.option("--loss", type=click.Choice(["signed", "harm"]), default="signed", show_default=True,
              help="Let gains offset harm, or not.")  # fmt: skip
@click.option("--signal", type=click.Choice(["prompt", "cascade"]), default="prompt", show_default=True,
              help="Decide by the prompt alone, or look at a cheap answer first.")  # fmt: skip
@click.option("--price", "prices", multiple=True, metavar="MODEL=IN,OUT",
              help="Dollars per million tokens, or MODEL=DOLLARS per request; goes before the file's.")  # fmt: skip
@click.option("--limit", type=click.IntRange(1), default=_LIMIT, show_default=True, help="Most prompts to use.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the division into parts.")
@click.option("--html", "html", type=click.Path(dir_okay=False), metavar="FILE", help="Write a report as well.")
@click.option("--list", "listing", is_flag=True, help="Show the models in the file, and no more.")
@config_option
@json_option
def plan_command(
    what: str | None,
    incumbent: str | None,
    candidates: tuple[str, ...],
    epsilon: float,
    delta: float,
    risk: Literal["traffic", "served"],
    loss: Literal["signed", "harm"],
    signal: Literal["prompt", "cascade"],
    prices: tuple[str, ...],
    limit: int,
    seed: int,
    html: str | None,
    listing: bool,
    config: str | None,
    as_json: bool,
) -> None:
    """Say what could move to a cheaper model, at which certified loss, and what it would save.

    FILE holds recorded outcomes of several models on the same prompts, as Parquet, CSV or JSON lines with the columns
    prompt, model and score, and where known prompt_id, task, response, input_tokens, output_tokens, cost_usd and
    is_open_weight; or as logged chat completions with scores. Start with `freehold plan FILE`: it shows the models.

    Without FILE: say what each task of the recorded traffic (or TASK) still needs before it can move.
    """
    if not (incumbent or candidates or listing or html) and not _is_file(what):
        _standing(what, config, as_json)
        return
    if what is None:
        raise RequestError("No file was given.", "`freehold plan FILE`: a file of recorded outcomes.")
    path, given = Path(what), _prices(prices)
    if listing or not (incumbent or candidates or as_json):
        _list(path, given, as_json)
        return
    if incumbent is None or not candidates:
        missing = "--candidate" if incumbent else "--incumbent"
        raise RequestError(f"{missing} is missing.", f"`freehold plan {what} --list` shows the models there are.")
    if len(candidates) > _MOST_CANDIDATES:
        raise RequestError(
            f"{len(candidates)} candidates are more than {_MOST_CANDIDATES}.", "Leave out those that others beat."
        )

    def make(progress: Callable[[str, float], None]) -> Plan:
        from msgspec.structs import replace

        from freehold.curate.outcomes import read_outcomes

        progress(f"Reading {path.name}", 0.0)
        read = read_outcomes(path, incumbent, candidates, limit=limit, prices=given, answers=signal == "cascade")
        progress("Loading scikit-learn", 0.0)  # only now: most of what goes wrong goes wrong in the file
        from freehold.loop.ladders import Terms
        from freehold.loop.plan import make_plan

        terms = Terms(epsilon, delta, risk, loss, signal)
        plan = make_plan(read.outcomes, terms, left_out=read.left_out, seed=seed, progress=progress)
        return replace(plan, cost_sources=read.cost_sources)

    with _progress(quiet=as_json) as progress:
        plan = make(progress)
    _give(plan, path, html, as_json)


def _is_file(what: str | None) -> bool:
    """Whether a file is meant, not a task: it is there, or it is written like one."""
    if what is None:
        return False
    return Path(what).exists() or os.sep in what or Path(what).suffix in _SUFFIXES


def _prices(given: tuple[str, ...]) -> dict[str, Price]:
    from freehold.curate.outcome_prices import parse_price

    return dict(parse_price(text) for text in given)


def _list(path: Path, prices: dict[str, Price], as_json: bool) -> None:
    from freehold.cli.plan_view import show_models
    from freehold.curate.outcomes import list_models

    with _progress(quiet=as_json) as progress:
        progress(f"Reading {path.name}", 0.0)
        models = list_models(path, prices)
    if as_json:
        echo_json(models)
    else:
        show_models(str(path), models)


def _give(plan: Plan, path: Path, html: str | None, as_json: bool) -> None:
    from freehold.cli.plan_view import show_plan

    if html is not None:
        from freehold.cli.plan_report import report

        try:
            Path(html).write_text(report(plan, path.name), encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{html} cannot be written: {error.strerror}.", "Give `--html` another path.") from error
    if as_json:
        echo_json(plan)
        return
    show_plan(plan)
    if html is not None:
        click.echo(f"Report: {html}")


@contextmanager
def _progress(*, quiet: bool) -> Generator[Callable[[str, float], None]]:
    """Say on standard error what is being done; nothing where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    screen = Console(stderr=True)
    with Progress(*columns, console=screen, transient=True, disable=quiet or not screen.is_terminal) as shown:
        bar = shown.add_task("", total=1.0)
        yield lambda doing, share: shown.update(bar, description=doing, completed=share)


def _standing(wanted: str | None, config: str | None, as_json: bool) -> None:
    """What each task of the recorded traffic still needs."""
    from freehold.loop import latest_outlook

    _, settings = settings_at(config)
    store = open_store(settings)
    try:
        tasks = [find_task(store, wanted)] if wanted else store.control.tasks.list()
    except NotFound as error:
        raise NotFound(error.message, f"{error.hint} If a file is meant: there is none of that name.") from error
    rows: list[dict[str, Any]] = []
    for item in tasks:
        view = latest_outlook(store, item.task_id)
        rows.append(
            {
                "task": item.task_id,
                "name": item.name,
                "state": item.state,
                "agreement": view.agreement if view else None,
                "coverage": view.coverage if view else None,
                "chance": view.chance if view else None,
                "certify_rows": view.certify_rows if view else 0,
                "certify_rows_needed": view.needed if view else None,
                "note": item.note,
            }
        )
    if as_json:
        echo_json(rows)
        return
    made = table("Plan", "task", "state", "agreement", "would cover", "chance", "what stands in the way",
                 right=("agreement", "would cover", "chance"))  # fmt: skip
    for row in rows:
        figures = ["–" if row[key] is None else f"{row[key]:.0%}" for key in ("agreement", "coverage", "chance")]
        made.add_row(row["name"], row["state"], *figures, row["note"])
    console().print(made)
