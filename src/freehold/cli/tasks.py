"""`freehold tasks`: what the traffic is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
from freehold.domain.statements import finding

if TYPE_CHECKING:
    from freehold.domain.evidence import Certificate
    from freehold.domain.tasks import Task
    from freehold.store import Store


@click.command("tasks")
@click.argument("task", required=False)
@config_option
@json_option
def tasks_command(task: str | None, config: str | None, as_json: bool) -> None:
    """List the tasks, or show TASK whole."""
    _, settings = settings_at(config)
    store = open_store(settings)
    if task is not None:
        _show_one(store, find_task(store, task), as_json)
        return
    tasks = store.control.tasks.list()
    if as_json:
        echo_json([{**_row(store, item), "note": item.note} for item in tasks])
        return
    if not tasks:
        click.echo("No tasks yet: they are found once requests have passed through and `freehold loop` has run.")
        return
    made = table("Tasks", "id", "name", "state", "answers", "covers", "loss ≤", "ε", right=("covers", "loss ≤", "ε"))
    for item in tasks:
        row = _row(store, item)
        made.add_row(
            item.task_id.removeprefix("task_")[:8],
            item.name,
            item.state,
            item.form.kind if item.form else "?",
            _percent(row["coverage"]),
            _percent(row["loss_upper"], 2),
            _percent(item.epsilon, 2),
        )
    console().print(made)
    _show_blocked(store, tasks)


def _show_blocked(store: Store, tasks: list[Task]) -> None:
    """Why rights keep tasks back: before training, or (also of a task that is owned) before a promotion."""
    from freehold.loop.steps import waiting_jobs

    waiting = {job.task: job.error for job in waiting_jobs(store)}
    for task in tasks:
        reason = waiting.get(task.task_id) or (task.note if task.state == "blocked" else "")
        if reason:
            click.secho(f"{task.name} {'waits' if task.task_id in waiting else 'is blocked'}: {reason}", fg="yellow")


def _show_one(store: Store, task: Task, as_json: bool) -> None:
    from freehold.loop.steps import waiting_jobs

    certificate = _certificate(store, task)
    monitor = store.control.monitors.get(certificate.certificate_id) if certificate else None
    if as_json:
        echo_json({"task": task, "certificate": certificate, "monitor": monitor})
        return
    made = table(task.name, "", "")
    rows: list[tuple[str, str]] = [
        ("id", task.task_id),
        ("state", task.state),
        ("answers", task.form.reason if task.form else "not known yet"),
        ("allowed", f"loss ε = {task.epsilon:.2%} per served request, with confidence 1 − δ = {1 - task.delta:.0%}"),
        ("attempts", str(task.attempts)),
    ]
    if certificate is not None:
        bound = f"{finding(certificate)} Loss ≤ {certificate.loss_upper:.2%}"
        rows += [("certificate", certificate.certificate_id), ("certified", bound)]
        rows += [("covers", f"{certificate.coverage:.1%} of requests")]
    if monitor is not None:
        interval = f"{monitor.lower:.2%} to {monitor.upper:.2%} from {monitor.audits} audits"
        rows.append(("loss while serving", interval))
    rows += [("waits for", job.error) for job in waiting_jobs(store, task.task_id) if job.error != task.note]
    for name, value in [*rows, ("now", task.note)]:
        made.add_row(name, value)
    console().print(made)


def _certificate(store: Store, task: Task) -> Certificate | None:
    entry = store.control.current_policy().tasks.get(task.task_id)
    return store.control.certificates.get(entry.rungs[0].certificate) if entry and entry.rungs else None


def _row(store: Store, task: Task) -> dict[str, Any]:
    certificate = _certificate(store, task)
    return {
        "task": task.task_id,
        "name": task.name,
        "state": task.state,
        "form": task.form.kind if task.form else None,
        "epsilon": task.epsilon,
        "coverage": certificate.coverage if certificate else None,
        "loss_upper": certificate.loss_upper if certificate else None,
        "certificate": certificate.certificate_id if certificate else None,
        "attempts": task.attempts,
    }


def _percent(value: float | None, digits: int = 0) -> str:
    """A share, or a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}%}"
