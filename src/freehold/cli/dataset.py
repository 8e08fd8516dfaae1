"""`freehold dataset`: the datasets that were built, what is in them, how they differ, and copies for other programs."""

from __future__ import annotations

import time
from collections import Counter
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
    task_names,
    when,
)

if TYPE_CHECKING:
    from rich.table import Table

    from freehold.curate.diff import DatasetDiff
    from freehold.curate.export import Format
    from freehold.domain.evidence import Dataset, Part, StepCount

_SHOWN = 20
_GENERATIVE = frozenset(("openai", "sharegpt"))
"""Formats that generative models are trained from."""


@click.group("dataset")
def dataset_command() -> None:
    """List datasets, show one, compare two, export one."""


@dataset_command.command("list")
@click.option("--task", help="Of one task only (name or id).")
@config_option
@json_option
def list_command(task: str | None, config: str | None, as_json: bool) -> None:
    """List datasets, newest first."""
    _, settings = settings_at(config)
    store = open_store(settings)
    wanted = find_task(store, task).task_id if task else None
    found = store.control.datasets.list(wanted, newest_first=True)
    if as_json:
        echo_json(found)
        return
    if not found:
        click.echo("No datasets yet: `freehold curate TASK` builds one.")
        return
    names = task_names(store)
    made = table("Datasets", "id", "task", "made", "rows", "parts", "steps", right=("rows",))
    for item in found:
        parts = ", ".join(f"{part} {count}" for part, count in sorted(item.parts.items()))
        steps = ", ".join(step.step for step in item.steps) or "–"
        task_name = names.get(item.task, item.task)
        made.add_row(item.dataset_id[:11], task_name, when(item.created_ns), str(item.rows), parts, steps)
    console().print(made)


@dataset_command.command("show")
@click.argument("dataset")
@config_option
@json_option
def show_command(dataset: str, config: str | None, as_json: bool) -> None:
    """Show DATASET's card (its id, or how that begins)."""
    from freehold.curate.card import CARD
    from freehold.curate.diff import dataset_of

    _, settings = settings_at(config)
    store = open_store(settings)
    found = dataset_of(store, dataset)
    card = store.data / found.path / CARD
    if as_json:
        echo_json(found)
    elif card.exists():
        click.echo(card.read_text(encoding="utf-8"))
    else:
        _show_record(found)


def _show_record(dataset: Dataset) -> None:
    """Of a dataset that was made before there were cards."""
    made = table(dataset.dataset_id, "reason rows were left out", "rows", right=("rows",))
    for reason, count in dataset.left_out.items():
        made.add_row(reason, str(count))
    console().print(made)


@dataset_command.command("diff")
@click.argument("before")
@click.argument("after")
@click.option("--limit", type=click.IntRange(0, 1_000_000), default=_SHOWN, show_default=True, help="Rows to show.")
@config_option
@json_option
def diff_command(before: str, after: str, limit: int, config: str | None, as_json: bool) -> None:
    """Compare two datasets row by row: from BEFORE to AFTER."""
    from freehold.curate.diff import dataset_of, diff_datasets

    _, settings = settings_at(config)
    store = open_store(settings)
    found = diff_datasets(store, dataset_of(store, before).dataset_id, dataset_of(store, after).dataset_id)
    if as_json:
        echo_json(found)
        return
    _show_diff(found, limit)


def _show_diff(found: DatasetDiff, limit: int) -> None:
    summary = table(f"{found.before[:11]} → {found.after[:11]}", "change", "why", "rows", right=("rows",))
    counts = Counter((change.change, change.why or "not recorded") for change in found.changes)
    for (change, why), count in sorted(counts.items()):
        summary.add_row(change, why, str(count))
    summary.add_row("the same", "", str(found.same))
    console().print(summary)
    if limit and found.changes:
        rows = table(f"First {min(limit, len(found.changes))} rows", "trace", "change", "part", "fields", "why")
        for change in found.changes[:limit]:
            part = f"{change.part_before} → {change.part}" if change.part_before else change.part
            rows.add_row(change.trace_id, change.change, part, ", ".join(change.fields), change.why)
        console().print(rows)


@dataset_command.command("export")
@click.argument("dataset")
@click.option("--format", "form", type=click.Choice(["openai", "sharegpt", "parquet", "hf"]), required=True,
              help="Chats as JSON Lines, tables as Parquet, or a folder for Hugging Face's datasets.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to make.")
@click.option("--part", "parts", type=click.Choice(["fit", "tune", "certify"]), multiple=True, default=("fit", "tune"),
              show_default=True, help="Which parts; whoever trains on certify voids every certificate.")  # fmt: skip
@click.option("--for", "purpose", type=click.Choice(["classifier", "generative"]),
              help="What it shall train; rights are judged for it [default: generative for chats].")  # fmt: skip
@config_option
@json_option
def export_command(
    dataset: str,
    form: Format,
    out: Path,
    parts: tuple[Part, ...],
    purpose: str | None,
    config: str | None,
    as_json: bool,
) -> None:
    """Write DATASET for another program."""
    from freehold.curate.export import export_dataset
    from freehold.rights.words import in_words

    _, settings = settings_at(config)
    store = open_store(settings)
    generative = form in _GENERATIVE if purpose is None else purpose == "generative"
    use = "distil" if generative else "train_classifier"
    wanted = tuple(dict.fromkeys(parts))
    exported = export_dataset(store, dataset, out.absolute(), form, use, wanted, time.time_ns(), settings.organisation)
    if as_json:
        echo_json(exported)
        return
    written = ", ".join(f"{count} {part}" for part, count in exported.rows.items())
    click.echo(f"{exported.dataset}: {written} rows in {out}.")
    for reason, count in exported.left_out.items():
        click.echo(f"  {count} left out: {reason}")
    for verdict in exported.verdicts:
        click.echo(f"  {in_words(verdict)}")


def steps_table(title: str, steps: tuple[StepCount, ...]) -> Table:
    """What each step took and gave."""
    made = table(title, "step", "took", "gave", "changed", "why rows went", right=("took", "gave", "changed"))
    for step in steps:
        reasons = ", ".join(f"{count} {reason}" for reason, count in step.reasons.items())
        made.add_row(step.step, str(step.took), str(step.gave), str(step.changed), reasons)
    return made
