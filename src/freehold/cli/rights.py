"""`freehold rights`: what may be done with a model, its answers and its students, and which clause says so."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Any

import click
import msgspec

from freehold.cli.common import config_option, console, echo_json, json_option, open_store, settings_at, table
from freehold.cli.rights_counsel import COUNSEL_COMMANDS
from freehold.cli.rights_duties import DUTY_COMMANDS
from freehold.cli.rights_ownership import ownership_command
from freehold.cli.rights_recall import recall_command
from freehold.cli.rights_texts import detect_command, diff_command
from freehold.domain.rights import ACTIONS, Action, Organisation, Ruling
from freehold.rights.words import NOTICE, basis

if TYPE_CHECKING:
    from freehold.config import Settings
    from freehold.domain.counsel import Decision
    from freehold.domain.rights import Asset
    from freehold.store import Store

_COLOUR = {"allow": "green", "duties": "yellow", "needs-counsel": "yellow", "deny": "red"}
_SCALE = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}
_action_option = click.Choice(ACTIONS)
_bases_option = click.option(
    "--base", "bases", multiple=True, metavar="NAME=LICENCE", help="The licence of a model that a folder's is made of."
)


class Amount(click.ParamType[int]):
    """A number that may end in K, M or B."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """`800M` → 800,000,000."""
        found = re.fullmatch(r"([\d_,.]+)\s*([kmb]?)", str(value).strip().lower())
        try:
            return round(float(found[1].replace(",", "").replace("_", "")) * _SCALE[found[2]]) if found else int(value)
        except ValueError:
            self.fail(f"{value!r} is no number: write 800000000, or 800M.", param, ctx)


@click.group("rights")
def rights_command() -> None:
    """Say what licences and terms allow, which clause says so, and what would change that."""


for _command in (*COUNSEL_COMMANDS, *DUTY_COMMANDS, ownership_command, recall_command, detect_command, diff_command):
    rights_command.add_command(_command)


@rights_command.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """List the licences and providers' terms that are known."""
    from freehold.rights import licences

    found = sorted(licences().values(), key=lambda entry: (bool(entry.hosts), entry.id))
    if as_json:
        echo_json(found)
        return
    made = table("Licences and terms", "id", "name", "version", "read", "of it was read", "clauses", right=("clauses",))
    for entry in found:
        verified = {"text": "the text", "part": "a part", "told": "what others tell", "nothing": "nothing"}
        made.add_row(entry.id, entry.name, entry.version, entry.read, verified[entry.verified], str(len(entry.clauses)))
    console().print(made)
    click.echo(NOTICE)


@rights_command.command("check")
@click.argument("asset")
@click.option("--action", type=_action_option, required=True, help="What is to be done.")
@_bases_option
@config_option
@json_option
def check_command(asset: str, action: Action, bases: tuple[str, ...], config: str | None, as_json: bool) -> None:
    """Say whether ACTION with ASSET is allowed: a student, dataset, upstream, licence or model folder.

    Ends with code 1 unless it is allowed, or allowed with duties.
    """
    store, settings, found = _asset_of(asset, config, bases)
    ruling = _rule(action, found, settings.organisation, _counsel(store, found))
    if as_json:
        echo_json(_document(ruling))
    else:
        _show(ruling)
    if ruling.outcome not in ("allow", "duties"):
        raise SystemExit(1)


@rights_command.command("explain")
@click.argument("asset")
@_bases_option
@config_option
@json_option
def explain_command(asset: str, bases: tuple[str, ...], config: str | None, as_json: bool) -> None:
    """Show the ruling on every action with ASSET, and all clauses that bear on it."""
    store, settings, found = _asset_of(asset, config, bases)
    counsel = _counsel(store, found)
    rulings = [_rule(action, found, settings.organisation, counsel) for action in ACTIONS]
    if as_json:
        echo_json([_document(ruling) for ruling in rulings])
        return
    made = table(f"What may be done with {found.asset_id}", "action", "verdict", "because", "duties")
    for ruling in rulings:
        first = ruling.findings[0] if ruling.findings else None
        because = f"{first.licence}/{first.clause}" if first else "your own"
        duties = "; ".join(duty.text or duty.kind for duty in ruling.duties)
        made.add_row(ruling.action, _coloured(ruling), because, duties)
    console().print(made)
    _show_clauses(rulings)
    click.echo(NOTICE)


@rights_command.command("what-if")
@click.option("--monthly-users", type=Amount(), help="As if there were so many.")
@click.option("--annual-revenue", type=Amount(), help="US dollars.")
@click.option("--monthly-revenue", type=Amount(), help="US dollars, of products that models answer in.")
@click.option("--company-in", help="As if the organisation were there (ISO 3166-1 alpha-2).")
@click.option("--users-in", multiple=True, help="As if there were users there; may be given several times.")
@click.option("--distributes-weights/--keeps-weights", default=None, help="Whether weights are given to others.")
@click.option("--sells-ai-services/--sells-none", default=None, help="Whether it competes with providers.")
@click.option("--commercial/--not-commercial", default=None, help="Whether the use is commercial.")
@config_option
@json_option
def what_if_command(config: str | None, as_json: bool, **facts: Any) -> None:
    """Show which rulings on everything you have would change if the organisation's facts were others."""
    from freehold.release.lineage import all_assets

    _, settings = settings_at(config)
    changed = {name: value for name, value in facts.items() if value not in (None, ())}
    supposed = msgspec.structs.replace(settings.organisation, **changed)
    rows: list[tuple[Asset, Ruling, Ruling]] = []
    store = open_store(settings)
    for asset in all_assets(store, settings):
        counsel = _counsel(store, asset)
        for action in ACTIONS:
            before = _rule(action, asset, settings.organisation, counsel)
            after = _rule(action, asset, supposed, counsel)
            if (before.outcome, before.duties) != (after.outcome, after.duties):
                rows.append((asset, before, after))
    if as_json:
        echo_json([{"before": _document(before), "after": _document(after)} for _, before, after in rows])
        return
    if not rows:
        click.echo("Nothing would change.")
        return
    from rich.markup import escape

    made = table("What would change", "asset", "action", "now", "then", "because")
    for asset, before, after in rows:
        decisive = (after if after.findings else before).findings[0]
        made.add_row(
            asset.asset_id, after.action, _coloured(before), _coloured(after), escape(decisive.why or decisive.says)
        )
    console().print(made)
    click.echo(NOTICE)


def _asset_of(wanted: str, config: str | None, bases: tuple[str, ...]) -> tuple[Store, Settings, Asset]:
    from freehold.release.lineage import find_asset

    given = {name: licence for name, _, licence in (base.partition("=") for base in bases)}
    if not all(given.values()):
        raise click.BadParameter("Write --base as NAME=LICENCE, with a licence that `freehold rights list` shows.")
    _, settings = settings_at(config)
    store = open_store(settings)
    return store, settings, find_asset(store, settings, wanted, given)


def _counsel(store: Store, asset: Asset) -> tuple[Decision, ...]:
    """Counsel's decisions that are about an asset."""
    from freehold.store.counsel import decisions

    made = store.control.students.get(asset.asset_id) or store.control.datasets.get(asset.asset_id)
    return decisions(store, made.task if made is not None else "", asset.asset_id)


def _rule(action: Action, asset: Asset, organisation: Organisation, counsel: tuple[Decision, ...]) -> Ruling:
    from freehold.rights import rule
    from freehold.store.counsel import today

    return rule(action, asset, organisation, today(), decisions=counsel)


def _document(ruling: Ruling) -> dict[str, Any]:
    return {**msgspec.to_builtins(ruling), "notice": NOTICE}


def _coloured(ruling: Ruling) -> str:
    return f"[{_COLOUR[ruling.outcome]}]{ruling.outcome}[/]"


def _show(ruling: Ruling) -> None:
    action = ruling.action.replace("_", " ")
    click.secho(f"{ruling.outcome}: {action} {ruling.asset_id} ({ruling.date})", fg=_COLOUR[ruling.outcome])
    for duty in ruling.duties:
        click.echo(f"  duty: {duty.kind}: {duty.text}")
    _show_clauses([ruling])
    click.echo(NOTICE)


def _show_clauses(rulings: list[Ruling]) -> None:
    """Each clause once, with what it says, why it applies, and where it was read."""
    findings = [finding for ruling in rulings for finding in ruling.findings]
    found = {(finding.licence, finding.clause, finding.why): finding for finding in findings}
    for finding in found.values():
        click.echo()
        click.echo(f"{finding.licence}/{finding.clause}: {click.style(finding.outcome, fg=_COLOUR[finding.outcome])}")
        click.echo(_indented(finding.says))
        if finding.why:
            click.echo(_indented(f"Applies: {finding.why}."))
        if finding.source:
            click.echo(_indented(basis(finding.source, f"read {finding.date}")))
    click.echo()


def _indented(text: str) -> str:
    return textwrap.fill(text, width=min(console().width, 100), initial_indent="  ", subsequent_indent="  ")
