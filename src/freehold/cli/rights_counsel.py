"""`freehold rights decide`, `decisions`, `withdraw`: what counsel decided, signed and listed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click
import msgspec

from freehold.cli.common import (
    config_option,
    day_ns,
    echo_json,
    find_task,
    json_option,
    open_store,
    settings_at,
    task_names,
)
from freehold.domain.counsel import Decision
from freehold.domain.errors import NotFound, RequestError
from freehold.domain.events import Event, EventKind
from freehold.domain.ids import new_id
from freehold.domain.rights import ACTIONS, Action, Duty
from freehold.rights.words import NOTICE

if TYPE_CHECKING:
    from freehold.config import Settings
    from freehold.store import Store
    from freehold.store.counsel import Listed


_COLOUR = {"in force": "green", "forged": "red"}


@click.command("decide")
@click.option("--terms", required=True, help="Id of the licence or terms that leave it to counsel.")
@click.option("--purpose", type=click.Choice(ACTIONS), required=True, help="What is allowed or denied.")
@click.option("--allow/--deny", default=None, help="The decision.", required=True)
@click.option("--until", required=True, metavar="DATE", help="Last day (UTC) on which it is in force.")
@click.option("--by", required=True, help="Who decided.")
@click.option("--task", help="Only for this task.")
@click.option("--asset", help="Only for this student, dataset or upstream.")
@click.option("--note", default="", help="Why, or where it is written down.")
@config_option
@json_option
def decide_command(
    terms: str, purpose: Action, allow: bool, until: str, by: str, config: str | None, as_json: bool, **scope: Any
) -> None:
    """Record a decision by counsel where a licence or terms need one; it is signed by this installation's key."""
    from freehold.store.counsel import put_signed

    _check_terms(terms, purpose)
    _, settings = settings_at(config)
    store = open_store(settings)
    decision = Decision(
        decision_id=new_id("cd"),
        terms=terms,
        purpose=purpose,
        allow=allow,
        decided_by=said_by(by, "--by"),
        until=day_to_come(until),
        task=find_task(store, scope["task"]).task_id if scope["task"] else "",
        asset=_asset_id(store, settings, scope["asset"]) if scope["asset"] else "",
        note=scope["note"],
        created_ns=time.time_ns(),
    )
    says = f"{decision.decided_by} {_of_decision(decision)}, until the end of {decision.until} (UTC)."
    with store.control.transaction():
        decision = put_signed(store, decision)
        tell(store, "counsel-decided", decision.task, says, {"decision": decision.decision_id})
        again = _look_again(store)
    if as_json:
        echo_json(decision)
        return
    click.echo(f"{decision.decision_id}: {says}")
    if again:
        click.echo(f"The loop looks again at what rights blocked: {', '.join(again)}.")
    click.echo(NOTICE)


@click.command("decisions")
@config_option
@json_option
def decisions_command(config: str | None, as_json: bool) -> None:
    """List decisions by counsel and fulfilled duties, and whether each is in force."""
    from freehold.store.counsel import listed

    _, settings = settings_at(config)
    store = open_store(settings)
    decisions, fulfilments = listed(store, "decisions"), listed(store, "fulfilments")
    if as_json:
        echo_json({"decisions": decisions, "fulfilments": fulfilments})
        return
    if not (decisions or fulfilments):
        click.echo("Nobody has decided or fulfilled anything yet.")
        return
    names = task_names(store)
    for item in (*decisions, *fulfilments):
        click.echo(_line(item, names))
    click.echo(NOTICE)


@click.command("withdraw")
@click.argument("record")
@config_option
@json_option
def withdraw_command(record: str, config: str | None, as_json: bool) -> None:
    """Withdraw a decision, or what was said of a duty, for good. RECORD: its id."""
    from freehold.store.counsel import withdraw

    _, settings = settings_at(config)
    store = open_store(settings)
    with store.control.transaction():
        gone = withdraw(store, record)
        tell(store, "counsel-withdrawn", gone.task, f"{record} was withdrawn.", {"record": record})
    if as_json:
        echo_json(gone)
        return
    click.echo(
        f"{record} is withdrawn. What serves under it goes on; `freehold doctor` tells what rights say of it now."
    )


COUNSEL_COMMANDS: tuple[click.Command, ...] = (
    decide_command,
    decisions_command,
    withdraw_command,
)


def _check_terms(terms: str, purpose: Action) -> None:
    """Counsel decides what a text leaves open, and nothing else."""
    from freehold.rights import licences

    entry = licences().get(terms)
    if entry is None:
        raise NotFound(f"There are no terms {terms!r}.", "`freehold rights list` shows those that are known.")
    open_to = [clause for clause in entry.clauses if clause.outcome == "needs-counsel"]
    if not any(purpose in clause.actions for clause in open_to):
        asked = sorted({action for clause in open_to for action in clause.actions})
        raise RequestError(
            f"{terms} leaves nothing about {purpose} to counsel: no clause asks for a decision.",
            f"Where it does: {', '.join(asked) or 'nowhere'}. `freehold rights explain {terms}` shows every clause.",
        )


def _asset_id(store: Store, settings: Settings, wanted: str) -> str:
    from freehold.release.lineage import find_asset

    return find_asset(store, settings, wanted).asset_id


def said_by(name: str, option: str) -> str:
    """Who answers for a record.

    Raises:
        RequestError: nobody is named.
    """
    if not name.strip():
        raise RequestError(f"{option} names nobody.", "Say who answers for it.")
    return name.strip()


def day_to_come(text: str) -> str:
    """The day as it was given, if it has not ended.

    Raises:
        RequestError: it is no day, or over.
    """
    from freehold.store.counsel import today

    day_ns(text)
    if text < today().isoformat():
        raise RequestError(f"{text} is over.", "Name a day that is to come.")
    return text


def tell(store: Store, kind: EventKind, task: str, message: str, evidence: dict[str, Any]) -> None:
    """Keep an event of it, for `freehold events` and the dashboard."""
    now = time.time_ns()
    event = Event(event_id=new_id("ev"), at_ns=now, kind=kind, task=task, message=message, evidence=evidence)
    store.control.add_event(event)


def _look_again(store: Store) -> list[str]:
    """Let the loop look at tasks that rights blocked before training; those that wait for promotion go on anyway."""
    from freehold.loop.steps import waiting_jobs

    waiting = {job.task for job in waiting_jobs(store)}
    blocked = [task for task in store.control.tasks.list() if task.state == "blocked" and task.task_id not in waiting]
    for task in blocked:
        store.control.tasks.change(task.task_id, lambda fresh: msgspec.structs.replace(fresh, samples_at_look=0))
    return [task.name for task in blocked]


def _line(item: Listed, names: dict[str, str]) -> str:
    record, state = item.record, click.style(item.state, fg=_COLOUR.get(item.state, "yellow"))
    if record is None:
        return f"{item.record_id} {state}: it cannot be read."
    scope = ", ".join(filter(None, (record.asset, names.get(record.task, record.task)))) or "everything"
    until = f", until {record.until}" if record.until else ""
    if isinstance(record, Decision):
        told = f"{record.decided_by} {_of_decision(record)}, for {scope}{until}. {record.note}"
    else:
        what = duty_words(Duty(record.duty, record.text))
        told = f"{record.fulfilled_by} fulfilled {what}, for {scope}{until}. {record.evidence}"
    return f"{item.record_id} {state}: {told}".rstrip()


def _of_decision(decision: Decision) -> str:
    """`allows distil under openai-api`."""
    return f"{'allows' if decision.allow else 'denies'} {decision.purpose} under {decision.terms}"


def duty_words(duty: Duty) -> str:
    """`display: Built with Llama`."""
    return f"{duty.kind}: {duty.text}" if duty.text else duty.kind
