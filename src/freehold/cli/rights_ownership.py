"""`freehold rights ownership`: how much of each task is your own, point by point, with the evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec

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

if TYPE_CHECKING:
    from freehold.domain.ownership import Ownership, TaskOwnership


@click.command("ownership")
@click.option("--task", "wanted", metavar="TASK", help="Only this task [default: all].")
@click.option("--evidence", is_flag=True, help="Show what each answer rests on.")
@config_option
@json_option
def ownership_command(wanted: str | None, evidence: bool, config: str | None, as_json: bool) -> None:
    """Say how much of each task is your own: weights hashed now, rights judged now, each point with its evidence."""
    from freehold.release.ownership import ownership
    from freehold.rights.words import NOTICE

    _, settings = settings_at(config)
    store = open_store(settings)
    task_id = find_task(store, wanted).task_id if wanted else ""
    found = ownership(store, settings, task_id)
    if as_json:
        echo_json(_document(found, NOTICE))
        return
    if not found.tasks:
        click.echo("There is no task yet: send traffic through the gateway first.")
        return
    for task in found.tasks:
        _show(task, evidence)
    click.secho(f"Owned: {found.got} of {found.possible} points, one for each question and task.", bold=True)
    click.echo(NOTICE)


def _show(task: TaskOwnership, evidence: bool) -> None:
    from rich.markup import escape

    by = ", ".join(task.answered_by) or "the incumbent"
    made = table(
        f"{escape(task.name)}: {task.got} of {task.possible} · answered by {escape(by)}", "", "question", "answer"
    )
    for point in task.points:
        sign = f"[{'green' if point.got else 'yellow'}]{point.got}/{point.possible}[/]"
        lines = [point.answer, *(f"· {said}" for said in point.evidence if evidence)]
        lines += [f"→ {point.todo}"] if point.todo else []
        lines += [f"  {point.command}"] if evidence else []
        made.add_row(sign, point.asked, escape("\n".join(lines)))
    console().print(made)


def _document(found: Ownership, notice: str) -> dict[str, Any]:
    tasks = [
        {
            **msgspec.to_builtins(task),
            "got": task.got,
            "possible": task.possible,
            "points": [{**msgspec.to_builtins(point), "asked": point.asked} for point in task.points],
        }
        for task in found.tasks
    ]
    return {
        "got": found.got,
        "possible": found.possible,
        "checked_ns": found.checked_ns,
        "tasks": tasks,
        "notice": notice,
    }
