"""`freehold models`: the base models that students may be made from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec

from freehold.cli.common import config_option, console, echo_json, json_option, settings_at, table
from freehold.cli.students.counsel import decided
from freehold.rights.words import NOTICE

if TYPE_CHECKING:
    from freehold.domain.evidence import Verdict
    from freehold.serving.bases import Listed

_COLOUR = {"allow": "green", "duties": "yellow", "needs-counsel": "yellow", "deny": "red"}


@click.group("models", invoke_without_command=True)
@config_option
@json_option
@click.pass_context
def models_command(context: click.Context, config: str | None, as_json: bool) -> None:
    """List the base models in the configured folders and of the configured hub names.

    See docs/base-models.md.
    """
    if context.invoked_subcommand is not None:
        return
    from freehold.serving.bases import list_bases

    _, settings = settings_at(config)
    found = list_bases(settings, decided(settings))
    if as_json:
        echo_json([_document(one) for one in found])
        return
    if not found:
        click.echo("No base models: put their folders into one of [models] folders, or names into [models] hub.")
        return
    _show_table(found)
    for one in found:
        if one.problem:
            click.secho(f"{one.name}: {one.problem}", fg="yellow")
            click.echo(f"  {one.hint}")
    click.echo(NOTICE)


@models_command.command("show")
@click.argument("name")
@config_option
@json_option
def show_command(name: str, config: str | None, as_json: bool) -> None:
    """Show the base model NAME whole: what it needs, and what may be done with it."""
    from freehold.domain.errors import NotFound
    from freehold.serving.bases import list_bases

    _, settings = settings_at(config)
    found = next((one for one in list_bases(settings, decided(settings)) if one.name == name), None)
    if found is None:
        raise NotFound(f"There is no base model {name!r}.", "`freehold models` lists what there is.")
    if as_json:
        echo_json(_document(found))
        return
    made = table(name, "", "")
    for label, text in _rows(found):
        made.add_row(label, text)
    console().print(made)
    if found.problem:
        click.secho(found.problem, fg="yellow")
        click.echo(f"  {found.hint}")
    click.echo(NOTICE)


@models_command.command("check")
@click.argument("name")
@click.option("--accept", is_flag=True, help="Take the files as they are now: a change was meant.")
@config_option
@json_option
def check_command(name: str, accept: bool, config: str | None, as_json: bool) -> None:
    """Hash every file of the base model NAME, and compare with what it was when it was first used.

    Ends with code 1 where a file has changed and --accept was not given.
    """
    from freehold.serving.bases import check_hashes

    _, settings = settings_at(config)
    checked = check_hashes(settings, name, accept=accept)
    if as_json:
        echo_json({**msgspec.to_builtins(checked, enc_hook=str), "accepted": accept})
    else:
        for file, digest in checked.files.items():
            click.echo(f"{digest}  {file}")
        click.echo(f"{checked.sha256}  all of them")
        for change in checked.changed:
            click.secho(f"{change} since {checked.since}", fg="yellow")
        if not checked.changed:
            click.echo(f"As it was on {checked.since}.")
        elif accept:
            click.echo("Taken as they are now; students made from it must be trained again.")
    if checked.changed and not accept:
        raise SystemExit(1)


@models_command.command("fetch")
@click.argument("name")
@config_option
@json_option
def fetch_command(name: str, config: str | None, as_json: bool) -> None:
    """Fetch the base model NAME, which [models] hub must list, into the hub's cache on this machine."""
    from freehold.serving.bases.fetch import fetch_base

    _, settings = settings_at(config)
    folder = fetch_base(settings, name)
    if as_json:
        echo_json({"name": name, "folder": str(folder)})
    else:
        click.echo(f"{name} is in {folder}. `freehold models show {name}` says what may be done with it.")


def _document(one: Listed) -> dict[str, Any]:
    return {**msgspec.to_builtins(one, enc_hook=str), "notice": NOTICE}


def _show_table(found: list[Listed]) -> None:
    figures = ("parameters", "context", "size", "train", "LoRA", "serve")
    made = table("Base models", "name", "licence", "train and serve", "ship", *figures, right=figures)
    for one in found:
        if one.facts is None or one.rights is None:
            made.add_row(one.name, "", "[red]no[/]", *[""] * 7)
            continue
        binding = one.rights.train if not one.rights.train.permits else one.rights.serve
        memory = one.facts.memory
        made.add_row(
            one.name,
            one.rights.licence,
            _coloured(binding),
            _coloured(one.rights.ship),
            _short(one.facts.parameters),
            f"{one.facts.context:,}",
            *(_bytes(size) for size in (one.facts.size, memory.train_full, memory.train_lora, memory.serve)),
        )
    console().print(made)


def _rows(one: Listed) -> list[tuple[str, str]]:
    rows = [("folder", str(one.folder)), ("from", one.source)]
    if one.facts is not None:
        facts = one.facts
        rows += [
            ("architecture", facts.architecture),
            ("parameters", f"{facts.parameters:,} as {facts.dtype}"),
            ("size", _bytes(facts.size)),
            ("context", f"{facts.context:,} tokens"),
            ("chat template", "yes" if facts.chat_template else "none: a recipe needs one"),
            ("memory to train all weights", _bytes(facts.memory.train_full)),
            ("memory to train an adapter", _bytes(facts.memory.train_lora)),
            ("memory to serve", _bytes(facts.memory.serve)),
        ]
    if one.rights is not None:
        rows.append(("licence", f"{one.rights.licence} ({one.rights.how})"))
        verdicts = (("train", one.rights.train), ("serve", one.rights.serve), ("ship", one.rights.ship))
        rows += [(f"to {what}", f"{_coloured(verdict)}: {_said(verdict)}") for what, verdict in verdicts]
    rows.append(("hash", one.known_sha256 or "not used yet: `freehold models check` writes it down"))
    return rows


def _said(verdict: Verdict) -> str:
    from rich.markup import escape

    return escape("; ".join([verdict.reason, *(f"duty: {duty}" for duty in verdict.duties)]))


def _coloured(verdict: Verdict) -> str:
    return f"[{_COLOUR[verdict.outcome]}]{verdict.outcome}[/]"


def _short(number: int) -> str:
    for power, letter in ((9, "B"), (6, "M"), (3, "K")):
        if number >= 10**power:
            return f"{number / 10**power:.3g}{letter}"
    return str(number)


def _bytes(number: int) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.1f} MB"
