"""`freehold keys` and `freehold teams`: who may call, for what, and how much."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from freehold.cli.common import config_option, console, echo_json, json_option, open_store, settings_at, table
from freehold.domain.errors import RequestError

if TYPE_CHECKING:
    from freehold.access import KeyDesk
    from freehold.access.desk import NewSecret
    from freehold.config import Settings
    from freehold.store import Store

Command = TypeVar("Command", bound=Callable[..., Any])
_NONE = "none"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def limit_options(command: Command) -> Command:
    """The limits of a key or a team; `none` takes one away."""
    for flag, name, what in (
        ("--dollars-per-month", "dollars_per_month", "Dollars per UTC calendar month."),
        ("--dollars-per-day", "dollars_per_day", "Dollars per UTC day."),
        ("--tpm", "tokens_per_minute", "Tokens per minute, in and out."),
        ("--rpm", "requests_per_minute", "Requests per minute."),
    ):
        command = click.option(flag, name, metavar="NUMBER", help=f"{what} `none`: no limit.")(command)
    return command


def scope_options(command: Command) -> Command:
    """What a key may be used for."""
    for option in (
        click.option("--expires", metavar="DATE", help="When it ends (2027-01-31, UTC). `none`: never."),
        click.option("--tasks", multiple=True, metavar="GLOB", help="Task it may be used for; may be repeated."),
        click.option("--models", multiple=True, metavar="GLOB", help="Model it may ask for; may be repeated."),
        click.option("--team", metavar="TEAM", help="Name or id of its team. `none`: of no team."),
    ):
        command = option(command)
    return command


@click.group("keys")
def keys_command() -> None:
    """Make, list, change, rotate and revoke virtual keys, and show what they used."""


@keys_command.command("create")
@click.argument("name")
@scope_options
@limit_options
@config_option
@json_option
def create_key(name: str, config: str | None, as_json: bool, **said: Any) -> None:
    """Make a key called NAME. Its text is printed once and kept nowhere."""
    from freehold.access.fields import KeyFields, convert

    settings, store = _open(config)
    desk = _desk(settings, store)
    first = not desk.all_keys() and not settings.access.required and not settings.gateway.api_key_env
    _print_secret(desk.create(convert(KeyFields, {"name": name, **_fields(said)})), as_json)
    if first:
        click.echo("It is the first one: from now on the gateway asks every caller for a key.", err=True)


@keys_command.command("list")
@click.option("--all", "every", is_flag=True, help="Revoked ones, too.")
@config_option
@json_option
def list_keys(every: bool, config: str | None, as_json: bool) -> None:
    """List the keys, with what they used today."""
    from freehold.access.windows import DAY

    settings, store = _open(config)
    desk = _desk(settings, store)
    names = {team.team_id: team.name for team in desk.all_teams()}
    today = {row.holder: row for row in store.control.access.spent(int(time.time()) // DAY * DAY)}
    documents: list[dict[str, Any]] = []
    for key in desk.all_keys():
        if every or key.revoked_ns is None:
            row = today.get(key.key_id)
            used = {"requests_today": row.requests if row else 0, "dollars_today": row.nanousd / 1e9 if row else 0.0}
            documents.append({**_key_document(key, names), **used})
    if as_json:
        echo_json(documents)
        return
    if not documents:
        click.echo("No keys yet: `freehold keys create NAME` makes one. Until then nobody is asked for a key.")
        return
    made = table("Keys", "name", "key", "state", "team", "models", "limits", "today", right=("today",))
    for document in documents:
        made.add_row(
            document["name"],
            " ".join(document["shown"]),
            document["state"],
            document["team_name"] or "–",
            ", ".join(document["models"]) or "all",
            _limits_text(document),
            f"{document['requests_today']:,} / ${document['dollars_today']:.2f}",
        )
    console().print(made, markup=False)


@keys_command.command("show")
@click.argument("key")
@config_option
@json_option
def show_key(key: str, config: str | None, as_json: bool) -> None:
    """Show KEY (its name or id) whole, without its text, which is kept nowhere."""
    settings, store = _open(config)
    desk = _desk(settings, store)
    names = {team.team_id: team.name for team in desk.all_teams()}
    _print_one(_key_document(desk.key(key), names), as_json)


@keys_command.command("update")
@click.argument("key")
@click.option("--name", metavar="NAME", help="Another name.")
@scope_options
@limit_options
@config_option
@json_option
def update_key(key: str, config: str | None, as_json: bool, **said: Any) -> None:
    """Change what is said of KEY; what is not named stays. Every worker follows within two seconds."""
    from freehold.access.fields import KeyFields, convert

    settings, store = _open(config)
    desk = _desk(settings, store)
    changed = desk.update(key, convert(KeyFields, _fields(said)))
    _print_one(_key_document(changed, {team.team_id: team.name for team in desk.all_teams()}), as_json)


@keys_command.command("rotate")
@click.argument("key")
@click.option("--grace", default="0s", show_default=True, metavar="TIME", help="How long the old one goes on: 30m, 2d.")
@config_option
@json_option
def rotate_key(key: str, grace: str, config: str | None, as_json: bool) -> None:
    """Give KEY a new secret, printed once; the old one ends, at once or after a grace time."""
    settings, store = _open(config)
    _print_secret(_desk(settings, store).rotate(key, _seconds(grace)), as_json)


@keys_command.command("revoke")
@click.argument("key")
@config_option
@json_option
def revoke_key(key: str, config: str | None, as_json: bool) -> None:
    """End KEY for good; every worker follows within two seconds."""
    settings, store = _open(config)
    revoked = _desk(settings, store).revoke(key)
    if as_json:
        echo_json(_key_document(revoked, {}))
    else:
        click.echo(f"{revoked.name} is revoked.")


@keys_command.command("usage")
@click.option("--since", metavar="DATE", help="From this day on (YYYY-MM-DD, UTC) [default: the first of the month].")
@click.option(
    "--by", type=click.Choice(["key", "team", "day"]), default="key", show_default=True, help="One line each."
)
@click.option("--live", is_flag=True, help="As workers count it, to the second; else the ledger, from the traces.")
@config_option
@json_option
def usage_command(since: str | None, by: Any, live: bool, config: str | None, as_json: bool) -> None:
    """Show requests, tokens and dollars of each key, team or day."""
    from freehold.access.documents import day_of

    settings, store = _open(config)
    first = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-01")
    began = day_of(since or first)
    rows = _live_usage(settings, store, began, by) if live else _ledger_usage(settings, store, began, by)
    if as_json:
        echo_json({"since": since or first, "by": by, "source": "live" if live else "ledger", "data": rows})
        return
    if not rows:
        click.echo(f"Nothing was used with a key since {since or first}.")
        return
    made = table(
        f"Use since {since or first}", by, "requests", "tokens", "dollars", right=("requests", "tokens", "dollars")
    )
    for row in rows:
        label = row.get("day") or row["name"]
        made.add_row(label, f"{row['requests']:,}", f"{row['tokens']:,}", f"${row['dollars']:,.4f}")
    console().print(made, markup=False)


@click.group("teams")
def teams_command() -> None:
    """Make, list and change teams: keys that share limits."""


@teams_command.command("create")
@click.argument("name")
@limit_options
@config_option
@json_option
def create_team(name: str, config: str | None, as_json: bool, **said: Any) -> None:
    """Make a team called NAME."""
    from freehold.access.documents import team_document
    from freehold.access.fields import TeamFields, convert

    settings, store = _open(config)
    made = _desk(settings, store).create_team(convert(TeamFields, {"name": name, **_fields(said)}))
    _print_one(team_document(made), as_json)


@teams_command.command("list")
@config_option
@json_option
def list_teams(config: str | None, as_json: bool) -> None:
    """List the teams."""
    from freehold.access.documents import team_document

    settings, store = _open(config)
    documents = [team_document(team) for team in _desk(settings, store).all_teams()]
    if as_json:
        echo_json(documents)
        return
    made = table("Teams", "name", "limits")
    for document in documents:
        made.add_row(document["name"], _limits_text(document))
    console().print(made, markup=False)


@teams_command.command("update")
@click.argument("team")
@click.option("--name", metavar="NAME", help="Another name.")
@limit_options
@config_option
@json_option
def update_team(team: str, config: str | None, as_json: bool, **said: Any) -> None:
    """Change what is said of TEAM (its name or id)."""
    from freehold.access.documents import team_document
    from freehold.access.fields import TeamFields, convert

    settings, store = _open(config)
    _print_one(team_document(_desk(settings, store).update_team(team, convert(TeamFields, _fields(said)))), as_json)


@teams_command.command("remove")
@click.argument("team")
@config_option
@json_option
def remove_team(team: str, config: str | None, as_json: bool) -> None:
    """Remove TEAM; no key may belong to it any more."""
    from freehold.access.documents import team_document

    settings, store = _open(config)
    _print_one(team_document(_desk(settings, store).remove_team(team)), as_json)


def _open(config: str | None) -> tuple[Settings, Store]:
    _, settings = settings_at(config)
    return settings, open_store(settings)


def _desk(settings: Settings, store: Store) -> KeyDesk:
    from freehold.access import KeyDesk

    return KeyDesk(settings, store.control, by="command")


def _key_document(key: Any, names: dict[str, str]) -> dict[str, Any]:
    from freehold.access.documents import key_document

    return key_document(key, names)


def _fields(said: dict[str, Any]) -> dict[str, Any]:
    """What was said on the command line as fields; `none` becomes None, what was not said is left out."""
    fields: dict[str, Any] = {}
    for name, value in said.items():
        if value is None or value == ():
            continue
        if value == _NONE or value == (_NONE,):
            fields[name] = () if name in ("models", "tasks") else None
        elif name in ("requests_per_minute", "tokens_per_minute", "dollars_per_day", "dollars_per_month"):
            fields[name] = _number(name, value)
        else:
            fields[name] = value
    return fields


def _number(name: str, text: str) -> float:
    try:
        return float(text) if name.startswith("dollars") else int(text.replace("_", ""))
    except ValueError as error:
        raise RequestError(f"{text!r} is not a number.", f"Say how many for {name}, or none.") from error


def _seconds(text: str) -> float:
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not number.isdigit():
        raise RequestError(f"{text!r} is not a time.", "Write it as 90s, 30m, 12h or 7d.")
    return float(int(number) * _UNITS[unit])


def _print_secret(made: NewSecret, as_json: bool) -> None:
    if as_json:
        echo_json({"key": made.text, **_key_document(made.key, {})})
        return
    click.echo(made.text)
    click.echo(f"That is the key {made.key.name!r} ({made.key.key_id}). It is shown this once: keep it now.", err=True)


def _print_one(document: dict[str, Any], as_json: bool) -> None:
    if as_json:
        echo_json(document)
        return
    made = table(document["name"], "", "")
    for name, value in document.items():
        made.add_row(name.replace("_", " "), _text(value))
    console().print(made, markup=False)


def _text(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return ", ".join(str(item) for item in cast(Sequence[Any], value))
    return "–" if value is None else str(value)


def _limits_text(document: dict[str, Any]) -> str:
    parts: list[str] = []
    for name, what in (("requests_per_minute", "rpm"), ("tokens_per_minute", "tpm")):
        if document[name] is not None:
            parts.append(f"{document[name]:,} {what}")
    for name, what in (("dollars_per_day", "day"), ("dollars_per_month", "month")):
        if document[name] is not None:
            parts.append(f"${document[name]:,.2f}/{what}")
    return ", ".join(parts) or "none"


def _live_usage(settings: Settings, store: Store, began: int, by: Any) -> list[dict[str, Any]]:
    from freehold.access.documents import usage_documents

    desk = _desk(settings, store)
    return usage_documents(store.control.access.spent(began), desk.all_keys(), desk.all_teams(), by)


def _ledger_usage(settings: Settings, store: Store, began: int, by: str) -> list[dict[str, Any]]:
    """What the traces say, added up by the ledger: sealed or not."""
    from freehold.ledger.keys import usage
    from freehold.record.derive import Deriver

    desk = _desk(settings, store)
    keys, teams = desk.all_keys(), {team.team_id: team.name for team in desk.all_teams()}
    rows = usage(store, began * 1_000_000_000, derive=Deriver(settings.upstreams))
    if by == "key":
        names = {key.key_id: key.name for key in keys}
        return [{"key_id": key, "name": names.get(key, key), **used._asdict()} for key, used in rows.keys.items()]
    if by == "day":
        return [{"day": day, **used._asdict()} for day, used in rows.days.items()]
    return [
        {"team_id": team, "name": teams.get(team, team), **used._asdict()}
        for team, used in rows.by_team({key.key_id: key.team for key in keys if key.team}).items()
    ]
