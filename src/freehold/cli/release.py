"""`freehold release`: a student in a folder that others can check, rebuild and trust by its signature."""

from __future__ import annotations

import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from freehold.cli.common import config_option, echo_json, json_option, open_store, settings_at

if TYPE_CHECKING:
    from freehold.release.build import Built

_LAZY = {
    "list": "freehold.cli.release_show",
    "show": "freehold.cli.release_show",
    "validate": "freehold.cli.release_validate",
    "verify": "freehold.cli.release_verify",
}
"""Commands in modules of their own, imported when they are called."""


class _ReleaseGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which they are used."""
        return ["build", "list", "show", "validate", "verify"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import it where it is not here."""
        if cmd_name in _LAZY:
            return getattr(import_module(_LAZY[cmd_name]), f"{cmd_name}_command")
        return super().get_command(ctx, cmd_name)


@click.group("release", cls=_ReleaseGroup)
def release_command() -> None:
    """Build, show and verify releases: see docs/release.md."""


_file = click.Path(path_type=Path, exists=True, dir_okay=False)


@release_command.command("build")
@click.argument("student")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A folder that does not exist yet.")
@click.option("--name", required=True, help="What the release is called; some licences want a beginning.")
@click.option("--description", default="", help="In a sentence, for its card.")
@click.option("--supplier", default="", help="Who gives it out.")
@click.option("--licence", default="", help="SPDX id, of weights, results and documents [default: none].")
@click.option("--data-licence", default="", help="SPDX id, of the rows, where they are in it.")
@click.option("--licence-text", "texts", type=(str, _file), multiple=True, metavar="ID FILE",
              help="Text of a licence that the package has none of; may be given several times.")  # fmt: skip
@click.option("--with-data", is_flag=True, help="Put the rows in it, if rights and privacy allow; else only hashes.")
@click.option("--data-reviewed-by", "reviewed_by", default="", metavar="NAME",
              help="Who looked at the rows and lets them be given to others; the release names them.")  # fmt: skip
@click.option("--report", type=_file, help="A technical report: .md, .pdf or .txt.")
@click.option("--paper", type=_file, help="A research paper.")
@click.option("--watts", type=click.FloatRange(min=0), help="Assumed of a busy core, for the energy [default: 15].")
@click.option("--dollars-per-core-hour", "dollars", type=click.FloatRange(min=0),
              help="Assumed, for the cost [default: 0.05].")  # fmt: skip
@click.option("--sign", type=click.Path(path_type=Path), metavar="KEYFILE",
              help="Sign with this key [default: this installation's].")  # fmt: skip
@click.option("--model-signing", type=_file, metavar="PEM",
              help="Sign as the model-signing project does as well, with this EC key (freehold[signing]).")  # fmt: skip
@config_option
@json_option
def build_command(
    config: str | None, as_json: bool, sign: Path | None, model_signing: Path | None, **wishes: Any
) -> None:
    """Write STUDENT (its id, or its task) to the folder --out, with all that others need to check it.

    Ends with code 6 where licence or terms forbid it, or a duty is not met.
    """
    from freehold.release.build import build_release
    from freehold.release.parts import Wanted
    from freehold.release.sign import key_at

    _, settings = settings_at(config)
    texts = {which.lower(): path for which, path in wishes.pop("texts")}
    wanted = Wanted(texts=texts, **{name: wish for name, wish in wishes.items() if wish is not None})
    key = key_at(sign) if sign is not None else None
    built = build_release(open_store(settings), settings, wanted, time.time_ns(), key=key, model_signing=model_signing)
    if as_json:
        data = built.inventory.data
        echo_json({"release": built.record, "shipped": data.shipped, "why_not_shipped": data.why_not_shipped,
                   "public_key": built.inventory.public_key, "bytes": built.bytes})  # fmt: skip
    else:
        _say(built, wanted.out)


def _say(built: Built, out: Path) -> None:
    inventory = built.inventory
    click.echo(f"Release {inventory.release_id} of student {inventory.student_id} is in {out}: {built.bytes:,} bytes.")
    rows = inventory.data.rows
    if inventory.data.shipped:
        click.echo(f"All {rows} rows are in it.")
    else:
        click.echo(f"Of its {rows} rows only the hashes are in it. {inventory.data.why_not_shipped}")
    for duty in inventory.rights.duties:
        click.echo(f"Duty {duty.licence}/{duty.clause} ({duty.source}, {duty.date}): {duty.kind}: {duty.how}")
    click.echo(inventory.rights.notice)
    click.echo(f"Signed by {inventory.public_key}: give that key to others by another way than the folder.")
    click.echo(f"Next: `freehold release verify {out} --key {inventory.public_key}`, or `freehold release show {out}`.")
