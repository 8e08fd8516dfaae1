"""`freehold ladder`: which models answer a task before its incumbent, on what evidence, and how much is wanted."""

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
from freehold.domain.errors import EvidenceError
from freehold.domain.statements import statement

if TYPE_CHECKING:
    from freehold.config import Settings
    from freehold.domain.tasks import Task
    from freehold.store import Store


class _ShowByDefault(click.Group):
    """`freehold ladder TASK` is `freehold ladder show TASK`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            args = ["show", *args]
        return super().resolve_command(ctx, args)


@click.group("ladder", cls=_ShowByDefault)
def ladder_command() -> None:
    """Show which models answer a task before the incumbent, and on what evidence: `freehold ladder TASK`."""


@ladder_command.command("show")
@click.argument("task")
@config_option
@json_option
def show_command(task: str, config: str | None, as_json: bool) -> None:
    """Show TASK's ladder with what each rung answers, costs and loses; or how much evidence is still wanted."""
    _, settings = settings_at(config)
    store = open_store(settings)
    found = find_task(store, task)
    view = _view(store, settings, found)
    if as_json:
        echo_json(view)
        return
    if view["rungs"]:
        _draw(view)
    else:
        click.echo(f"{found.name}: no ladder is in force.")
    click.echo(_evidence_line(settings, view))
    if view["outlook"] is not None and not view["rungs"]:
        click.echo(_outlook_line(view["outlook"]))


@ladder_command.command("try")
@click.argument("task")
@click.option("--fresh", is_flag=True, help="Begin anew on today's evidence instead of carrying on.")
@config_option
@json_option
def try_command(task: str, fresh: bool, config: str | None, as_json: bool) -> None:
    """Look for a ladder for TASK now; certify and promote it if it will probably hold. An attempt spends some of δ."""
    from freehold.loop import LadderMove, new_ladder, open_ladder
    from freehold.record.sealer import Sealer

    _, settings = settings_at(config)
    store = open_store(settings)
    Sealer(store, settings.upstreams).seal_once()
    found = find_task(store, task)
    job = None if fresh else open_ladder(store, found.task_id)
    move = LadderMove(store, settings, job or new_ladder(store, found.task_id))
    if as_json:
        job = move.run()
    else:
        with console().status(f"Looking for a ladder: {found.name}"):
            job = move.run()
    laid, attempt = move.result("lay"), move.result("certify")
    if attempt is None or attempt["certificate"] is None:
        reason = laid["reason"] if attempt is None else attempt["reason"]
        raise EvidenceError(f"No ladder moves: {reason}", "More traffic brings more evidence: `freehold ladder TASK`.")
    if as_json:
        echo_json({"task": found.task_id, "job": job.job_id, "certificate": attempt["certificate"],
                   "saving": attempt["saving"], "rungs": attempt["rungs"]})  # fmt: skip
        return
    _draw(_view(store, settings, found))


def _view(store: Store, settings: Settings, task: Task) -> dict[str, Any]:
    from freehold.curate import count_shadows
    from freehold.loop import latest_laid, wanted_rows
    from freehold.loop.ladder_view import ladder_view

    ladder = ladder_view(store, store.control.current_policy().tasks.get(task.task_id))
    laid = latest_laid(store, task.task_id)
    counts = count_shadows(store, {task.task_id: task.evidence_since_ns})
    return {
        "task": task.task_id,
        "name": task.name,
        "signal": ladder.signal if ladder else None,
        "certificate": ladder.certificate.certificate_id if ladder else None,
        "statement": statement(ladder.certificate) if ladder else None,
        "saving": ladder.saving if ladder else None,
        "rungs": ladder.rungs if ladder else (),
        "scored_requests": counts.get(task.task_id, 0),
        "wanted": (laid.needed if laid else None) or wanted_rows(task, settings.candidates.risk),
        "outlook": None if laid is None else {"saving": laid.saving, "rungs": laid.rungs, "signal": laid.signal,
                                              "reason": laid.reason},
    }  # fmt: skip


def _draw(view: dict[str, Any]) -> None:
    made = table(
        f"{view['name']}: a {view['signal']} ladder", "rung", "answered", "of all", "on the evidence", "loss there",
        "$ per request", right=("answered", "of all", "on the evidence", "loss there", "$ per request"),
    )  # fmt: skip
    for row in view["rungs"]:
        made.add_row(
            f"{row.rung} (incumbent)" if row.incumbent else row.rung,
            f"{row.answered:,}",
            f"{row.share:.1%}",
            _figure(row.certified_share, "{:.1%}"),
            _figure(row.loss, "{:.2%}"),
            _figure(row.dollars, "{:.6f}"),
        )
    console().print(made)
    if view["saving"] is not None:
        click.echo(f"On the evidence it saved {view['saving']:.1%} of the dollars.")
    click.echo(f"{view['statement']}\n`freehold certificate verify {view['certificate']}` computes it again.")


def _figure(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)


def _evidence_line(settings: Settings, view: dict[str, Any]) -> str:
    have = f"{view['scored_requests']:,}"
    if view["rungs"]:
        return f"Evidence for the next ladder: {have} requests that candidates answered too."
    if not settings.candidates.models:
        return "No candidates are configured: name models under [candidates]."
    if view["scored_requests"] < view["wanted"]:
        return f"Nothing moves yet: {have} of about {view['wanted']:,} scored requests."
    return f"{have} requests that candidates answered too."


def _outlook_line(outlook: dict[str, Any]) -> str:
    if outlook["reason"]:
        return f"Last look: {outlook['reason']}"
    return f"Last look: {' → '.join(outlook['rungs'])} would save {outlook['saving']:.0%} of the dollars."
