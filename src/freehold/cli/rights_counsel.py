"""`freehold rights decide`, `decisions`, `withdraw`, `fulfil`, `duties`: what people decided and did about rights."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click
import msgspec

from freehold.cli.common import (
    config_option,
    console,
    day_ns,
    echo_json,
    find_task,
    json_option,
    open_store,
    settings_at,
    table,
    task_names,
)
from freehold.domain.counsel import Decision, Fulfilment
from freehold.domain.errors import NotFound, RequestError
from freehold.domain.events import Event, EventKind
from freehold.domain.ids import new_id
from freehold.domain.rights import ACTIONS, Action, Duty, DutyKind
from freehold.rights.words import NOTICE

if TYPE_CHECKING:
    from freehold.config import Settings
    from freehold.promote import ServingRights
    from freehold.store import Store
    from freehold.store.counsel import Listed


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
        decided_by=_said(by, "--by"),
        until=_day(until),
        task=find_task(store, scope["task"]).task_id if scope["task"] else "",
        asset=_asset_id(store, settings, scope["asset"]) if scope["asset"] else "",
        note=scope["note"],
        created_ns=time.time_ns(),
    )
    says = f"{decision.decided_by} {_of_decision(decision)}, until the end of {decision.until} (UTC)."
    with store.control.transaction():
        decision = put_signed(store, decision)
        _tell(store, "counsel-decided", decision.task, says, {"decision": decision.decision_id})
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
    made = table("Decisions and fulfilled duties", "id", "state", "what", "for", "by", "until", "note or evidence")
    for item in (*decisions, *fulfilments):
        made.add_row(*_row(item, names))
    console().print(made)
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
        _tell(store, "counsel-withdrawn", gone.task, f"{record} was withdrawn.", {"record": record})
    if as_json:
        echo_json(gone)
        return
    click.echo(
        f"{record} is withdrawn. What serves under it goes on; `freehold doctor` tells what rights say of it now."
    )


@click.command("fulfil")
@click.argument("asset")
@click.argument("duty", type=click.Choice(get_args(DutyKind)))
@click.option("--evidence", required=True, help="What was done, in words; or a file that shows it.")
@click.option("--by", required=True, help="Who says so.")
@click.option("--until", default="", metavar="DATE", help="Last day for which it holds; a recurring duty needs one.")
@click.option("--text", default="", help="Which one, by how its words begin, where there are several of a kind.")
@config_option
@json_option
def fulfil_command(
    asset: str, duty: DutyKind, evidence: str, by: str, until: str, text: str, config: str | None, as_json: bool
) -> None:
    """Record that a duty was fulfilled. ASSET: a student, a task (all its students), or a licence or terms."""
    from freehold.store.counsel import put_signed

    _, settings = settings_at(config)
    store = open_store(settings)
    name, task = _scope(store, asset)
    found = _chosen(_duties_of(store, settings, name, task), duty, text, asset)
    if duty == "recurring" and not until:
        raise RequestError(f"{found.text!r} comes again and again.", "Say with --until DATE when it is due next.")
    shown = _evidence(evidence)
    fulfilment = Fulfilment(
        fulfilment_id=new_id("fu"),
        asset=name,
        duty=duty,
        text=found.text,
        evidence=shown[0],
        evidence_sha256=shown[1],
        fulfilled_by=_said(by, "--by"),
        until=_day(until) if until else "",
        task=task,
        created_ns=time.time_ns(),
    )
    says = f"{by} has fulfilled {_of_duty(found)} for {asset}."
    with store.control.transaction():
        fulfilment = put_signed(store, fulfilment)
        _tell(store, "duty-fulfilled", task, says, {"fulfilment": fulfilment.fulfilment_id})
    if as_json:
        echo_json(fulfilment)
        return
    click.echo(f"{fulfilment.fulfilment_id}: {says} What waited for it goes on with the loop's next turn.")


@click.command("duties")
@click.argument("wanted", metavar="[STUDENT|TASK]", required=False)
@config_option
@json_option
def duties_command(wanted: str | None, config: str | None, as_json: bool) -> None:
    """List the duties of what serves and of what waits to serve, and by what evidence each is met.

    Ends with code 1 if one is unmet, or if rights do not permit serving it.
    """
    from freehold.promote import objection

    _, settings = settings_at(config)
    store = open_store(settings)
    found = _rights_of(store, settings, wanted)
    clear = all(objection(rights) is None for rights in found)
    if as_json:
        shown = [
            {"task": one.task, "asset": one.asset.asset_id, "rulings": one.rulings, "duties": one.duties}
            for one in found
        ]
        echo_json({"served": shown, "clear": clear, "notice": NOTICE})
    elif not found:
        click.echo("Nothing serves or waits to: there are no duties.")
    else:
        _show_duties(found, task_names(store))
    if not clear:
        raise SystemExit(1)


COUNSEL_COMMANDS: tuple[click.Command, ...] = (
    decide_command,
    decisions_command,
    withdraw_command,
    fulfil_command,
    duties_command,
)


def _show_duties(found: list[ServingRights], names: dict[str, str]) -> None:
    from rich.markup import escape

    from freehold.promote import objection

    made = table("Duties", "task", "asset", "duty", "because of", "state", "evidence")
    for rights in found:
        task = names.get(rights.task, rights.task)
        for duty in rights.duties:
            state = {"unmet": "[red]unmet[/]", "standing": "stands", "fulfilled": "[green]fulfilled[/]"}
            clause = f"{duty.licence}/{duty.clause}, {duty.source}, {duty.date}"
            cells = (task, rights.asset.asset_id, _of_duty(duty.duty), clause)
            made.add_row(*map(escape, cells), state.get(duty.state, duty.state), escape(duty.why))
        if not rights.duties:
            made.add_row(escape(task), escape(rights.asset.asset_id), "none", "", "", "")
    console().print(made)
    for rights in found:
        if error := objection(rights):
            click.secho(str(error), fg="red")
        for duty in rights.unmet[1:]:
            click.secho(f"And: `{duty.todo}`.", fg="red")
    click.echo(NOTICE)


def _rights_of(store: Store, settings: Settings, wanted: str | None) -> list[ServingRights]:
    """Of one student; of what serves a task or waits to (else of its newest student); or of all that does."""
    from freehold.loop.steps import result_of, waiting_jobs
    from freehold.promote import certified_rights, rights_in_force
    from freehold.promote.rights import asset_of_student, serving_rights

    student = store.control.students.get(wanted) if wanted else None
    if student is not None:
        return [
            serving_rights(store, settings, find_task(store, student.task), asset_of_student(store, student.student_id))
        ]
    task = find_task(store, wanted) if wanted else None
    found = rights_in_force(store, settings)
    for job in waiting_jobs(store, task.task_id if task else None):
        attempt = result_of(job, "certify")
        found += certified_rights(store, settings, attempt["certificate"]) if attempt else []
    if task is None:
        return found
    of_task = [rights for rights in found if rights.task == task.task_id]
    newest = store.control.students.list(task.task_id, 1, newest_first=True)
    return of_task or [serving_rights(store, settings, task, asset_of_student(store, one.student_id)) for one in newest]


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


def _scope(store: Store, asset: str) -> tuple[str, str]:
    """What a fulfilment names: an asset, and a task; see `Fulfilment`."""
    from freehold.rights import licences

    student = store.control.students.get(asset)
    if student is not None:
        return student.student_id, student.task
    if asset in licences():
        return asset, ""
    return "", find_task(store, asset).task_id


def _duties_of(store: Store, settings: Settings, asset: str, task: str) -> list[Duty]:
    """All duties that an asset, or a task's students, can bring, whatever is done with it."""
    from freehold.promote.rights import asset_of_student
    from freehold.rights import licences, rule
    from freehold.store.counsel import today

    if asset and not task:
        return [duty for clause in licences()[asset].clauses for duty in clause.duties]
    students = [asset] if asset else [one.student_id for one in store.control.students.list(task)]
    assets = [asset_of_student(store, name) for name in students]
    return [
        duty
        for one in assets
        for action in ACTIONS
        for duty in rule(action, one, settings.organisation, today()).duties
    ]


def _chosen(duties: list[Duty], kind: DutyKind, text: str, asset: str) -> Duty:
    """The one duty that is meant.

    Raises:
        RequestError: none, or several; or it is a standing one, which no act fulfils.
    """
    from freehold.rights.duties import STANDING

    if kind in STANDING:
        raise RequestError(
            f"{kind} is a standing duty: it is met by not doing something, not by a record.",
            "[organisation] in the configuration says what is done: `freehold rights duties` shows how it stands.",
        )
    known = tuple(dict.fromkeys(duties))
    found = [duty for duty in known if duty.kind == kind and duty.text.startswith(text)]
    if len(found) == 1:
        return found[0]
    if found:
        words = "; ".join(repr(duty.text) for duty in found)
        raise RequestError(f"{asset} has several duties of the kind {kind}: {words}.", "Choose one with --text.")
    there = "; ".join(_of_duty(duty) for duty in known if duty.kind not in STANDING)
    raise RequestError(f"{asset} has no such duty.", f"It has: {there or 'none'}. `freehold rights duties` lists them.")


def _asset_id(store: Store, settings: Settings, wanted: str) -> str:
    from freehold.release.lineage import find_asset

    return find_asset(store, settings, wanted).asset_id


def _evidence(given: str) -> tuple[str, str]:
    """What is kept of the evidence: words as they are; of a file, its name and the hash of its bytes."""
    if not given.strip():
        raise RequestError("--evidence says nothing.", "Say what was done, or name a file that shows it.")
    path = Path(given)
    try:
        if not path.is_file():
            return given, ""
        with path.open("rb") as file:
            return path.name, hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RequestError(f"{given} cannot be read: {error.strerror}.", "Name a file that can be read.") from error


def _said(name: str, option: str) -> str:
    if not name.strip():
        raise RequestError(f"{option} names nobody.", "Say who answers for it.")
    return name.strip()


def _day(text: str) -> str:
    """The day as it was given, if it has not ended.

    Raises:
        RequestError: it is no day, or over.
    """
    from freehold.store.counsel import today

    day_ns(text)
    if text < today().isoformat():
        raise RequestError(f"{text} is over.", "Name a day that is to come.")
    return text


def _tell(store: Store, kind: EventKind, task: str, message: str, evidence: dict[str, Any]) -> None:
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


def _row(item: Listed, names: dict[str, str]) -> tuple[str, ...]:
    from rich.markup import escape

    record = item.record
    colour = {"in force": "green", "forged": "red"}.get(item.state, "yellow")
    state = f"[{colour}]{item.state}[/]"
    if record is None:
        return item.record_id, state, "cannot be read", "", "", "", ""
    scope = ", ".join(filter(None, (record.asset, names.get(record.task, record.task)))) or "all"
    if isinstance(record, Decision):
        cells = (_of_decision(record), scope, record.decided_by, record.until, record.note)
    else:
        what = _of_duty(Duty(record.duty, record.text))
        cells = (what, scope, record.fulfilled_by, record.until or "for good", record.evidence)
    return (item.record_id, state, *map(escape, cells))


def _of_decision(decision: Decision) -> str:
    """`allows distil under openai-api`."""
    return f"{'allows' if decision.allow else 'denies'} {decision.purpose} under {decision.terms}"


def _of_duty(duty: Duty) -> str:
    return f"{duty.kind}: {duty.text}" if duty.text else duty.kind
