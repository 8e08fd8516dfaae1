"""`freehold release list` and `show`: which were built, what is in one, and what it lacks to be more open."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from freehold.cli.common import (
    config_option,
    console,
    echo_json,
    json_option,
    open_store,
    settings_at,
    table,
    task_names,
    when,
)

if TYPE_CHECKING:
    from freehold.domain.rights import Ruling
    from freehold.release.inventory import Inventory
    from freehold.release.standards import MofReport, OsaidReport

_COLOUR = {"verified": "green", "present": "yellow", "declared": "dim"}
_UNSEEN = "As the folder says of itself: nothing was verified now (`freehold release verify DIR --key KEY` does)."


@click.command("show")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@json_option
def show_command(folder: Path, as_json: bool) -> None:
    """Show what is declared, present and verified in the release DIR, and what openness still lacks."""
    from freehold.release.layout import read_inventory
    from freehold.release.standards import mof_class, osaid_report

    inventory, manifest = read_inventory(folder)
    openness, definition = mof_class(inventory), osaid_report(inventory)
    if as_json:
        echo_json({"inventory": inventory, "files": manifest.files, "mof": openness, "osaid": definition})
        return
    _show_head(inventory)
    _show_items(inventory)
    _show_openness(openness, definition)
    _show_rights(inventory)
    click.echo(_UNSEEN)


@click.command("list")
@config_option
@json_option
def list_command(config: str | None, as_json: bool) -> None:
    """List the releases that were built here, newest first."""
    _, settings = settings_at(config)
    store = open_store(settings)
    found = store.control.releases.list(newest_first=True)
    if as_json:
        echo_json(found)
        return
    if not found:
        click.echo("No releases yet: `freehold release build STUDENT --out DIR --name NAME` builds one.")
        return
    names = task_names(store)
    made = table("Releases", "id", "task", "student", "built", "folder")
    for release in found:
        place = release.path if Path(release.path).is_dir() else f"{release.path} (not there)"
        made.add_row(
            release.release_id, names.get(release.task, release.task), release.student, when(release.created_ns), place
        )
    console().print(made)


def _show_head(inventory: Inventory) -> None:
    evaluation, costs, run = inventory.evaluation, inventory.costs, inventory.training.run
    click.echo(f"{inventory.name} ({inventory.release_id}), {when(inventory.created_ns)}: {inventory.description}")
    weights = inventory.weights
    what = f"{weights.labels} labels" if weights.kind == "classifier" else weights.architecture.rstrip(".")
    click.echo(f"{weights.parameters:,} parameters, {what}. {evaluation.statement}")
    if weights.base is not None:
        needed = "needs" if weights.adapter else "was made from"
        click.echo(f"It {needed} {weights.base.name} ({weights.base.licence}), SHA-256 {weights.base.revision}.")
    click.echo(f"{evaluation.finding} Certificate {evaluation.certificate_id}.")
    if run is None or costs.kilowatt_hours is None:
        click.echo("Trained on an unknown machine, at unknown cost: it kept no record.")
        return
    click.echo(
        f"Trained in {run.cpu_seconds:.1f} CPU seconds (measured) on {run.machine.cpu}: "
        f"{costs.kilowatt_hours * 1000:.3g} Wh and ${costs.dollars:.2g}, "
        f"assuming {costs.watts_per_core:g} W and ${costs.dollars_per_core_hour:g} an hour per core."
    )


def _show_items(inventory: Inventory) -> None:
    from rich.markup import escape

    made = table("What is in it", "what", "state", "file", "bytes", "licence", "note", right=("bytes",))
    for item in inventory.items:
        state = f"[{_COLOUR[item.state]}]{item.state}[/]"
        size = f"{item.bytes:,}" if item.bytes else ""
        made.add_row(item.role, state, item.path or "–", size, item.licence or "–", escape(item.note))
    console().print(made)


def _show_openness(openness: MofReport, definition: OsaidReport) -> None:
    click.echo(f"Model Openness Framework: {openness.name}.")
    standing = next((standing for standing in openness.standings if not standing.reached), None)
    if standing is not None:
        click.echo(f"Missing for {standing.name}:")
        for missing in standing.missing:
            click.echo(f"  - {missing}")
    click.echo(f"Open Source AI Definition 1.0: {'met' if definition.meets else 'not met'}, by our reading.")
    for missing in definition.missing:
        click.echo(f"  - {missing}")


def _show_rights(inventory: Inventory) -> None:
    rights = inventory.rights
    for what, ruling in (("the weights", rights.distribute), ("the rows", rights.distribute_data)):
        click.echo(f"To give {what} to others, on {ruling.date}: {ruling.outcome}. {_because(ruling)}")
    if not inventory.data.shipped:
        click.echo(f"The rows are not in it. {inventory.data.why_not_shipped}")
    for duty in rights.duties:
        click.echo(f"  Duty {duty.licence}/{duty.clause} ({duty.source}, {duty.date}): {duty.kind}: {duty.how}")
    click.echo(rights.notice)


def _because(ruling: Ruling) -> str:
    if not ruling.findings:
        return "All that it was made of is the organisation's own, as declared in its configuration."
    found = ruling.findings[0]
    return f"{found.licence}/{found.clause}: {found.says} ({', '.join(filter(None, (found.source, found.date)))})"
