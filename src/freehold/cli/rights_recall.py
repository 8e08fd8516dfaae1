"""`freehold rights recall`: do without the rows of a provider, licence, key or subject; list, check, end recalls."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from freehold.cli.common import (
    config_option,
    console,
    day_ns,
    echo_json,
    json_option,
    open_store,
    settings_at,
    table,
    task_names,
    when,
)
from freehold.domain.errors import CertificateError, RequestError

if TYPE_CHECKING:
    from freehold.domain.recalls import Recall, RecallKind
    from freehold.loop.recall import Wanted
    from freehold.store import Store

_SHOWN = 5


@click.group("recall", invoke_without_command=True)
@click.option("--provider", metavar="NAME", help="Answers of this upstream, or of all at this provider (openai).")
@click.option("--licence", metavar="ID", help="Answers under this licence or these terms, and models under it.")
@click.option("--key", metavar="ID", help="All that came with this virtual key.")
@click.option("--subject", metavar="NAME", help="All that is of this subject.")
@click.option("--since", metavar="DATE", help="Only what was recorded from this day on (YYYY-MM-DD, UTC).")
@click.option("--reason", default="", help="Why, for the record.")
@click.option("--out", metavar="FILE", help="Write the signed report there.")
@click.option("--dry-run", is_flag=True, help="Only say what would be recalled.")
@click.option("--yes", is_flag=True, help="Do not ask before anything is recalled.")
@config_option
@json_option
@click.pass_context
def recall_command(
    ctx: click.Context,
    since: str | None,
    reason: str,
    out: str | None,
    dry_run: bool,
    yes: bool,
    config: str | None,
    as_json: bool,
    **names: str | None,
) -> None:
    """Do without such rows from now on: what was trained on them is never promoted or released again, its traffic goes
    back to the incumbent, and no new dataset takes them.

    Interrupted, the same command carries on. Nothing is deleted: that is `freehold forget`.
    """
    if ctx.invoked_subcommand is not None:
        return
    from freehold.loop.recall import look, recall_rows

    wanted = _wanted(names, since, reason)
    _, settings = settings_at(config)
    store = open_store(settings)
    if dry_run or not yes:
        found = look(store, settings, wanted)
        if not (as_json and not dry_run):
            _show(store, found.recall, found.serving, as_json=as_json, done=False)
    if dry_run:
        return
    _confirm(yes, as_json)
    recall = recall_rows(store, settings, wanted)
    if out is not None:
        _write(Path(out), recall)
    _show(store, recall, recall.moved_back, as_json=as_json, done=True)


@recall_command.command("list")
@config_option
@json_option
def list_command(config: str | None, as_json: bool) -> None:
    """List recalls, newest first."""
    from freehold.store.recalls import described

    _, settings = settings_at(config)
    found = open_store(settings).control.recalls.list(newest_first=True)
    if as_json:
        echo_json(found)
        return
    if not found:
        click.echo("Nothing was recalled yet.")
        return
    made = table("Recalls", "id", "of", "recorded", "state", "rows", "students", "moved back", "why", right=("rows",))
    for item in found:
        made.add_row(
            item.recall_id,
            described(item),
            _span(item),
            item.state,
            f"{sum(item.rows.values()):,}",
            str(len(item.students)),
            str(len(item.moved_back)),
            item.reason,
        )
    console().print(made, markup=False)


@recall_command.command("end")
@click.argument("recall")
@config_option
@json_option
def end_command(recall: str, config: str | None, as_json: bool) -> None:
    """Let rows recorded from now on be used again; what RECALL took back stays so."""
    from freehold.loop.recall import end_recall

    _, settings = settings_at(config)
    ended = end_recall(open_store(settings), recall, time.time_ns())
    if as_json:
        echo_json(ended)
    else:
        click.echo(f"New rows are used again; those recorded {_span(ended)} stay recalled.")


@recall_command.command("verify")
@click.argument("report", metavar="FILE")
@click.option(
    "--key-file",
    metavar="FILE",
    help="File with the public key to trust, 64 hex digits [default: this installation's].",
)
@config_option
@json_option
def verify_command(report: str, key_file: str | None, config: str | None, as_json: bool) -> None:
    """Check the signature of the report in FILE; exit code 7 if it does not hold."""
    from freehold.cli.certificates import public_key_in
    from freehold.store.recalls import holds

    found = _read(Path(report))
    key = public_key_in(key_file)
    if key is None:
        _, settings = settings_at(config)
        key = open_store(settings).keys.public_key()
    if not holds(found, key):
        raise CertificateError(
            f"The report of recall {found.recall_id} is not what the key {key[:16]}… signed.",
            "Do not rely on it; if it was issued elsewhere, give the public key you trust with --key-file FILE.",
        )
    if as_json:
        echo_json({"recall": found.recall_id, "holds": True})
    else:
        click.echo(f"The report of recall {found.recall_id}, of {when(found.updated_ns)}, holds.")


def _wanted(names: dict[str, str | None], since: str | None, reason: str) -> Wanted:
    from freehold.loop.recall import Wanted

    kinds: tuple[RecallKind, ...] = ("provider", "licence", "key", "subject")
    given: list[tuple[RecallKind, str]] = [(kind, value) for kind in kinds if (value := names[kind])]
    if len(given) != 1:
        raise RequestError(
            "Say what to recall: one of --provider, --licence, --key and --subject.",
            "`freehold rights recall --help` explains them.",
        )
    kind, value = given[0]
    return Wanted(kind, value, 0 if since is None else day_ns(since), reason)


def _confirm(yes: bool, as_json: bool) -> None:
    if yes:
        return
    if as_json:
        raise RequestError("Nothing was recalled: with --json nobody can be asked.", "Add --yes, or --dry-run to look.")
    click.confirm("Recall it?", abort=True)


def _show(store: Store, recall: Recall, tasks: tuple[str, ...], *, as_json: bool, done: bool) -> None:
    if as_json:
        document: dict[str, Any] = msgspec.to_builtins(recall)
        echo_json(document if done else {**document, "dry_run": True, "serving": tasks})
        return
    names = task_names(store)
    made = table(f"Recall {recall.recall_id}" if done else "To be recalled", "what", "how many", "which",
                 right=("how many",))  # fmt: skip
    made.add_row(
        "rows", f"{sum(recall.rows.values()):,}", _some([names.get(one, one or "no task") for one in recall.rows])
    )
    made.add_row("datasets", str(len(recall.datasets)), _some(recall.datasets))
    made.add_row("students", str(len(recall.students)), _some(recall.students))
    made.add_row("certificates", str(len(recall.certificates)), _some(recall.certificates))
    made.add_row("policies", str(len(recall.policies)), _some([str(version) for version in recall.policies]))
    made.add_row("releases", str(len(recall.releases)), _some(recall.releases))
    back = "moved back to the incumbent" if done else "to move back to the incumbent"
    made.add_row(back, str(len(tasks)), _some([names.get(one, one) for one in tasks]))
    console().print(made, markup=False)
    for item in recall.plan:
        then = (
            "the loop trains anew by itself" if item.enough else f"the loop waits for {item.wanted - item.left:,} more"
        )
        click.echo(f"{names.get(item.task, item.task)}: {item.left:,} rows are left of {item.wanted:,} wanted; {then}.")
    click.echo("It does not speak for:")
    for sentence in recall.not_searched:
        click.echo(f"  {sentence}")
    if done:
        click.echo(f"Signed by {recall.public_key[:16]}….")


def _some(names: Any) -> str:
    found = list(names)
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more


def _span(recall: Recall) -> str:
    since = f"since {when(recall.since_ns)}" if recall.since_ns else ""
    until = f"until {when(recall.until_ns)}" if recall.until_ns else ""
    return " ".join(filter(None, (since, until))) or "ever"


def _write(path: Path, recall: Recall) -> None:
    try:
        path.write_bytes(msgspec.json.encode(recall, order="sorted") + b"\n")
    except OSError as error:
        raise RequestError(
            f"The recall is done, but {path} cannot be written: {error.strerror}.",
            "`freehold rights recall list --json` holds the report.",
        ) from error


def _read(path: Path) -> Recall:
    from freehold.domain.recalls import Recall

    try:
        return msgspec.json.decode(path.read_bytes(), type=Recall, strict=True)
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror}.", "Give the file with the report.") from error
    except msgspec.DecodeError as error:
        raise RequestError(
            f"{path} holds no report of a recall: {error}.", "Give the file that --out wrote."
        ) from error
