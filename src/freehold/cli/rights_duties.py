"""`freehold rights fulfil`, `duties`: what must be done for what serves, and what was done of it."""

from __future__ import annotations

import hashlib
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from freehold.cli.common import (
    config_option,
    console,
    echo_json,
    find_task,
    json_option,
    open_store,
    settings_at,
    task_names,
)
from freehold.cli.rights_counsel import day_to_come, duty_words, said_by, tell
from freehold.domain.counsel import Fulfilment
from freehold.domain.errors import RequestError
from freehold.domain.ids import new_id
from freehold.domain.rights import ACTIONS, Duty, DutyKind
from freehold.rights.words import NOTICE, basis

if TYPE_CHECKING:
    from freehold.config import Settings
    from freehold.promote import ServingRights
    from freehold.store import Store

_STATES = {
    "standing": ("stands", "green"),
    "construction": ("met", "green"),
    "fulfilled": ("fulfilled", "green"),
    "unmet": ("unmet", "red"),
}


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
        fulfilled_by=said_by(by, "--by"),
        until=day_to_come(until) if until else "",
        task=task,
        created_ns=time.time_ns(),
    )
    says = f"{by} fulfilled {duty_words(found)}, for {asset}."
    with store.control.transaction():
        fulfilment = put_signed(store, fulfilment)
        tell(store, "duty-fulfilled", task, says, {"fulfilment": fulfilment.fulfilment_id})
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


DUTY_COMMANDS: tuple[click.Command, ...] = (fulfil_command, duties_command)


def _show_duties(found: list[ServingRights], names: dict[str, str]) -> None:
    from freehold.promote import objection

    for rights in found:
        click.secho(f"{names.get(rights.task, rights.task)} · {rights.asset.asset_id}", bold=True)
        for duty in rights.duties:
            word, colour = _STATES[duty.state]
            click.echo(f"  {click.style(word, fg=colour)}: {duty_words(duty.duty)}")
            click.echo(_indented(f"{duty.licence}/{duty.clause}: {duty.says} {basis(duty.source, duty.date)}"))
            click.echo(_indented(f"{duty.why[:1].upper()}{duty.why[1:]}."))
            if duty.todo:
                click.echo(f"    {duty.todo}")
        if rights.refusal is not None:
            click.secho(_indented(str(objection(rights))), fg="red")
        elif not rights.duties:
            click.echo("  It may serve, and nothing has to be done for it.")
    click.echo(NOTICE)


def _indented(text: str) -> str:
    width = min(console().width, 100)
    return textwrap.fill(text, width, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)


def _rights_of(store: Store, settings: Settings, wanted: str | None) -> list[ServingRights]:
    """Of one student; of what serves a task or waits to (else of its newest student); or of all that does."""
    from freehold.loop.rights import rights_at_work
    from freehold.promote.rights import asset_of_student, serving_rights

    if wanted is None:
        return rights_at_work(store, settings)
    student = store.control.students.get(wanted)
    task = find_task(store, student.task if student is not None else wanted)
    if student is None:
        found = rights_at_work(store, settings, task.task_id)
        newest = store.control.students.list(task.task_id, 1, newest_first=True)
        if found or not newest:
            return found
        student = newest[0]
    return [serving_rights(store, settings, task, asset_of_student(store, student.student_id))]


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
    there = "; ".join(duty_words(duty) for duty in known if duty.kind not in STANDING)
    raise RequestError(f"{asset} has no such duty.", f"It has: {there or 'none'}. `freehold rights duties` lists them.")


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
