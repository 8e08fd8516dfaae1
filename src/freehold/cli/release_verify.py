"""`freehold release verify`: is a release what it says, as far as its key, evaluation, rows and training go."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from freehold.cli.common import console, echo_json, json_option, table
from freehold.domain.errors import EvidenceError, FreeholdError, ReleaseError, RequestError

if TYPE_CHECKING:
    from freehold.release.verify import Report

MAX_LEVEL = 4
_VERDICTS = {True: "[green]holds[/]", False: "[bold red]FAILS[/]", None: "[yellow]not done[/]"}


@click.command("verify")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--level", type=click.IntRange(0, MAX_LEVEL), default=1, show_default=True, help="How far to go.")
@click.option("--key", metavar="HEX|FILE", help="The public key to trust: 64 hex digits, or a file with them.")
@click.option(
    "--config",
    metavar="FILE",
    help="Of the installation whose rows, traffic, base models and SQL scorers may be used [default: none].",
)
@json_option
def verify_command(folder: Path, level: int, key: str | None, config: str | None, as_json: bool) -> None:
    """Verify the release in DIR, offline and in a process of its own, trusting the key alone. No code of DIR is run.

    \b
    0  every file is as signed by the key, and there is nothing else
    1  the student, asked again, gives the outputs and losses told of; the
       certificate's figures follow from them
    2  the rows give the hashes told of, in order: shipped ones, or the
       installation's traffic curated again (--config)
    3  part of the training, done again from its checkpoint, comes out the same:
       of a classical student its second stage, and one fold of its first; of a
       language model its tokenizer, gate and answers to the tune rows
    4  trained again from nothing to the same bytes, on the same kind of machine;
       of a language model as long as its training took (freehold[train])

    \b
    Exit codes:
    0  the level that was asked for was reached
    2  the command, the key or the configuration cannot be used
    5  it was not reached, since something is not at hand; nothing is wrong
    9  something is wrong: do not rely on the release
    """
    from freehold.release.verify.seal import claimed_key, trusted_key

    if key is None:
        claimed = claimed_key(folder)
        told = f"The folder itself claims {claimed!r}, which proves nothing. " if claimed else ""
        raise RequestError(
            "Without a public key nothing can be verified: whoever changes a release can sign it anew.",
            f"{told}Get the key by a way you trust, and give it with --key.",
        )
    report = verify_apart(folder, trusted_key(key), level, config)
    if as_json:
        echo_json(report)
    else:
        _show(report)
    if report.reached < report.asked:
        sys.exit(ReleaseError.exit_code if report.failed else EvidenceError.exit_code)


def verify_apart(folder: Path, key: str, level: int, config: str | None) -> Report:
    """Verify in a fresh process that takes nothing from this one's environment or folder to import.

    Raises:
        FreeholdError: as that process says; or it ended without a report.
    """
    from freehold.cli.release_child import Order, Refusal
    from freehold.release.verify import report as reports

    where = str(Path(config).absolute()) if config else None
    order = msgspec.json.encode(Order(folder=str(folder.absolute()), key=key, level=level, config=where))
    # One thread sums in one order: trained again, a student comes out the same.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-I", "-m", "freehold.cli.release_child"]
    done = subprocess.run(command, input=order, stdout=subprocess.PIPE, env=environment, check=False)
    try:
        told = msgspec.json.decode(done.stdout, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError as error:
        raise ReleaseError(
            f"The process that verifies ended with code {done.returncode} and no report.",
            "See what it said above; check memory, and that Freehold is installed.",
        ) from error
    if "report" in told:
        return msgspec.json.decode(told["report"], type=reports.Report)
    refusal = msgspec.json.decode(told["error"], type=Refusal)
    failure = FreeholdError(refusal.message, refusal.hint)
    failure.code, failure.exit_code = refusal.code, refusal.exit_code
    raise failure


def _show(report: Report) -> None:
    made = table(_shown(f"Release {report.release_id or report.folder}"), "level", "check", "", "found")
    for level in report.levels:
        for number, check in enumerate(level.checks):
            first = f"{level.level}: {level.name} ({level.seconds:.1f} s)" if number == 0 else ""
            made.add_row(
                first, _shown(check.name), _VERDICTS[check.passed], _shown(f"{check.sentence} {check.hint}".strip())
            )
    console().print(made)
    if report.items:
        items = table("What is in it", "item", "file", "it says", "found", "")
        for item in report.items:
            proven = f"at level {item.level}" if item.level is not None else ""
            items.add_row(item.role, item.path or "(none)", item.declared, item.state, proven)
        console().print(items)
    click.echo(f"Key {report.key}. Network: {report.network}.")
    if report.reached == report.asked:
        click.secho(f"Level {report.reached} of {MAX_LEVEL} reached, as asked for.", bold=True)
        return
    what = f"Level {report.reached} of {MAX_LEVEL} reached" if report.reached >= 0 else "Not verified"
    click.secho(f"{what}; {report.asked} was asked for. {_printable(report.why_not_more)}", bold=True, err=True)
    if report.hint:
        click.echo(f"  {report.hint}", err=True)


def _shown(text: str) -> str:
    """What may come from the release, for a table: its markup is text."""
    from rich.markup import escape

    return escape(_printable(text))


def _printable(text: str) -> str:
    """Without what would steer a terminal."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
