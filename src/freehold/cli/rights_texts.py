"""`freehold rights detect` and `freehold rights diff`: what a licence's text is, and what changed in one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from freehold.cli.common import config_option, console, echo_json, json_option, open_store, settings_at, table
from freehold.rights.words import NOTICE

if TYPE_CHECKING:
    from freehold.release.affected import Affected
    from freehold.rights import Detected
    from freehold.rights.table_diff import ClauseChange

_HOW = {"exact": "its text is known, word for word", "metadata": "declared, and no text is there to check it by"}
_CALLED = {
    "upstreams": "Upstreams",
    "datasets": "Datasets",
    "students": "Students",
    "tasks": "Tasks",
    "in_force": "Tasks that such a student answers now",
    "releases": "Releases",
}


@click.command("detect")
@click.argument("folder", type=click.Path(path_type=Path))
@json_option
def detect_command(folder: Path, as_json: bool) -> None:
    """Say which licence the model in FOLDER comes under; what is not certain is for you to decide."""
    from freehold.rights import detect

    found = detect(folder)
    if as_json:
        echo_json(found)
        return
    _show_detected(found)
    click.echo(NOTICE)


@click.command("diff")
@click.argument("old", type=click.Path(path_type=Path, exists=True))
@click.argument("new", type=click.Path(path_type=Path, exists=True))
@click.option("--about", multiple=True, metavar="ID", help="The licence or terms that the texts are, if that is known.")
@config_option
@json_option
def diff_command(old: Path, new: Path, about: tuple[str, ...], config: str | None, as_json: bool) -> None:
    """Compare two versions of a text, of a licence's entry (.toml) or of the whole table (a folder).

    Names what of this installation the changes concern. Of texts that do not name themselves, such as a provider's
    terms, say with --about what they are, or call the files so: openai-api@2025-12-01.txt.
    """
    from freehold.domain.errors import NotFound
    from freehold.release.affected import Affected, affected
    from freehold.rights import licences
    from freehold.rights.table_diff import compare_files
    from freehold.rights.text_diff import compare_texts

    for name in about:
        if name not in licences():
            raise NotFound(f"No licence or terms are called {name!r}.", "`freehold rights list` shows those there are.")
    tables = old.is_dir() or new.is_dir() or old.suffix == new.suffix == ".toml"
    changes, found = compare_files(old, new) if tables else compare_texts(old, new)
    concerned = found.union(about) if changes else set[str]()
    _, settings = settings_at(config)
    touched = affected(open_store(settings), settings, concerned) if concerned else Affected()
    if as_json:
        echo_json({"changes": changes, "licences": sorted(concerned), "affected": touched, "notice": NOTICE})
    elif not changes:
        click.echo("Nothing that counts has changed.")
    else:
        _show_changes(f"{old.name} → {new.name}", changes)
        _show_affected(concerned, touched)
        click.echo(NOTICE)


def _show_detected(found: Detected) -> None:
    if found.licence is not None:
        click.echo(f"{found.licence}: {_HOW[found.how]}.")
    elif found.nearest is not None:
        click.echo(f"Not certain. The nearest known text is {found.nearest}; what differs:")
    else:
        click.echo("Not known: nothing is permitted until somebody has read its licence.")
    for line in found.differences:
        click.echo(f"  {_printable(line)}")
    for where, name in found.declared.items():
        click.echo(f"{_printable(where)} declares {_printable(name)}.")
    for base in found.bases:
        click.echo(f"It is made of {_printable(base)}, whose licence binds it too.")
    for conflict in found.conflicts:
        click.secho(f"Conflict: {_printable(conflict)}", fg="red")


def _show_changes(title: str, changes: tuple[ClauseChange, ...]) -> None:
    from rich.markup import escape

    made = table(escape(title), "clause", "change", "before", "after")
    for change in changes:
        cells = (change.clause, change.change, change.before, change.after)
        made.add_row(*(escape(_printable(cell)) for cell in cells))
    console().print(made)


def _show_affected(concerned: set[str], touched: Affected) -> None:
    if not concerned:
        click.echo("Which licence or terms these are is not known: say so with --about to see what they concern.")
        return
    click.echo(f"About {', '.join(sorted(concerned))}.")
    for field, names in msgspec.to_builtins(touched).items():
        if names:
            click.echo(f"{_CALLED[field]}: {', '.join(names)}.")
    if not touched:
        click.echo("Nothing you have comes under them.")


def _printable(text: str) -> str:
    """Without what could move a terminal's cursor: the words come out of files that anybody may have written."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
