"""`freehold forget`: remove what is kept of a person, key, agent run or trace; check and list the receipts."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from freehold.cli.common import config_option, console, echo_json, json_option, open_store, settings_at, table, when
from freehold.domain.erasures import ErasureKind
from freehold.domain.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from freehold.config import Settings
    from freehold.domain.erasures import Holder, Receipt
    from freehold.record.forgetting.forget import Ways
    from freehold.store import Store


@click.group("forget", invoke_without_command=True)
@click.option("--subject", metavar="NAME", help="Whose data: as in x-freehold-subject, or the request's own user id.")
@click.option("--key", metavar="ID", help="All that came with this virtual key.")
@click.option("--episode", metavar="ID", help="One agent run.")
@click.option("--trace", metavar="ID", help="One exchange.")
@click.option(
    "--older-than", metavar="DAYS", type=click.FloatRange(min=0.0), help="Traces and feedback older than that."
)
@click.option("--datasets", is_flag=True, help="Also remove datasets and students that hold such rows.")
@click.option("--damaged", is_flag=True, help="Also remove copies of damaged journal segments whole.")
@click.option("--out", metavar="FILE", help="Write the receipt there.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option("--yes", is_flag=True, help="Do not ask before anything is removed.")
@config_option
@json_option
@click.pass_context
def forget_command(
    ctx: click.Context,
    subject: str | None,
    key: str | None,
    episode: str | None,
    trace: str | None,
    older_than: float | None,
    datasets: bool,
    damaged: bool,
    out: str | None,
    dry_run: bool,
    yes: bool,
    config: str | None,
    as_json: bool,
) -> None:
    """Remove what is kept of a person, key, agent run or trace, and give a signed receipt.

    Interrupted, the same command carries on. What comes late of requests made before it is dropped.
    """
    if ctx.invoked_subcommand is not None:
        return
    given: dict[ErasureKind, str | None] = {"subject": subject, "key": key, "episode": episode, "trace": trace}
    named: list[tuple[ErasureKind, str]] = [(kind, value) for kind, value in given.items() if value is not None]
    if len(named) + (older_than is not None) != 1:
        raise RequestError(
            "Say what to forget: one of --subject, --key, --episode, --trace and --older-than.",
            "`freehold forget --help` explains them.",
        )
    _, settings = settings_at(config)
    store = open_store(settings)
    try:
        if older_than is not None:
            _older_than(store, older_than, dry_run=dry_run, yes=yes, as_json=as_json)
            return
        kind, value = named[0]
        if dry_run or not yes:
            _preview(store, kind, value, datasets=datasets, as_json=as_json)
        if dry_run:
            return
        _confirm(yes, as_json)
        receipt = _forget(store, settings, kind, value, datasets=datasets, damaged=damaged)
        _show(receipt, out, as_json=as_json)
    finally:
        store.close()


@forget_command.command("verify")
@click.argument("receipt", metavar="FILE")
@click.option("--subject", metavar="NAME", help="Check that it is about this subject, too.")
@click.option(
    "--key-file",
    metavar="FILE",
    help="File with the public key to trust, 64 hex digits [default: this installation's].",
)
@config_option
@json_option
def verify_command(receipt: str, subject: str | None, key_file: str | None, config: str | None, as_json: bool) -> None:
    """Check the signature of the receipt in FILE; exit code 7 if it does not hold."""
    from freehold.cli.certificates import public_key_in
    from freehold.domain.errors import CertificateError
    from freehold.record.forgetting.receipts import check_receipt, is_about, read_receipt

    found = read_receipt(Path(receipt))
    _, settings = settings_at(config)
    store = open_store(settings)
    check_receipt(found, public_key_in(key_file) or store.keys.public_key())
    if subject is not None and not is_about(store, found, "subject", subject):
        raise CertificateError(
            f"Receipt {found.receipt_id} is not about that subject.", "Check the name, to the letter."
        )
    if as_json:
        echo_json({"receipt": found.receipt_id, "holds": True})
        return
    about = "" if subject is None else ", and it is about that subject"
    click.echo(f"Receipt {found.receipt_id} of {when(found.done_ns)} holds{about}.")


@forget_command.command("list")
@config_option
@json_option
def list_command(config: str | None, as_json: bool) -> None:
    """List what was asked to be forgotten, newest first, with receipts."""
    _, settings = settings_at(config)
    found = open_store(settings).control.erasures.list(newest_first=True)
    if as_json:
        echo_json([item.receipt or msgspec.structs.replace(item, recent=(), episodes=()) for item in found])
        return
    if not found:
        click.echo("Nothing was asked to be forgotten yet.")
        return
    made = table("Forgotten", "asked", "by", "name (HMAC)", "state", "removed", "receipt")
    for item in found:
        removed = ", ".join(f"{count} {place}" for place, count in sorted(item.removed.items()) if count)
        made.add_row(when(item.at_ns), item.kind, item.who[:12], item.state, removed or "nothing",
                     item.receipt.receipt_id if item.receipt else "")  # fmt: skip
    console().print(made)


def _preview(store: Store, kind: ErasureKind, value: str, *, datasets: bool, as_json: bool) -> None:
    from freehold.record.forgetting.forget import look

    found = look(store, kind, value)
    if as_json:
        echo_json(found._asdict())
        return
    names = {"traces": "traces", "feedback": "judgements", "journals": "not sealed yet"}
    click.echo("To be removed: " + ", ".join(f"{found.removed[place]} {name}" for place, name in names.items()) + ".")
    for holder in found.holders:
        click.echo(_sentence(holder, goes=datasets))


def _sentence(holder: Holder, *, goes: bool) -> str:
    depends = [f"students {', '.join(holder.students)}"] if holder.students else []
    depends += [f"certificates {', '.join(holder.certificates)}"] if holder.certificates else []
    rests = f"; on it rest {' and '.join(depends)}" if depends else ""
    what = "is removed with them" if goes or holder.removed else "stays (--datasets removes it)"
    serves = f"; in force for {', '.join(holder.in_force)}" if holder.in_force else ""
    return f"{holder.kind} {holder.name} holds {holder.rows} of these rows and {what}{rests}{serves}."


def _confirm(yes: bool, as_json: bool) -> None:
    if yes:
        return
    if as_json:
        raise RequestError("Nothing was removed: with --json nobody can be asked.", "Add --yes, or --dry-run to look.")
    click.confirm("Remove it for good?", abort=True)


def _forget(
    store: Store, settings: Settings, kind: ErasureKind, value: str, *, datasets: bool, damaged: bool
) -> Receipt:
    from freehold.record.forgetting.forget import forget

    ways = _ways(store, settings)
    return forget(store, settings.upstreams, kind, value, datasets=datasets, damaged=damaged, ways=ways)


def _ways(store: Store, settings: Settings) -> Ways:
    from freehold.gateway.cache.cache import FOLDER
    from freehold.gateway.cache.forget import delete_unrecorded
    from freehold.promote import roll_back
    from freehold.record.forgetting.forget import Ways

    def clear(kept: Callable[[set[str]], set[str]]) -> int:
        return delete_unrecorded(store.data / FOLDER, kept)

    def withdraw(task: str, reason: str) -> None:
        roll_back(store, settings, task, reason, {"by": "forget"}, time.time_ns())

    return Ways(clear_cache=clear, withdraw=withdraw)


def _show(receipt: Receipt, out: str | None, *, as_json: bool) -> None:
    body = msgspec.json.encode(receipt, order="sorted")
    if out is not None:
        try:
            Path(out).write_bytes(body + b"\n")
        except OSError as error:
            raise RequestError(
                f"What was asked is forgotten, but {out} cannot be written: {error.strerror}.",
                "`freehold forget list --json` holds the receipt.",
            ) from error
    if as_json:
        click.echo(body.decode())
        return
    made = table(f"Receipt {receipt.receipt_id}", "removed from", "records", right=("records",))
    for place, count in receipt.removed.items():
        made.add_row(place, str(count))
    console().print(made)
    for holder in receipt.holders:
        click.echo(_sentence(holder, goes=holder.removed))
    click.echo("It does not speak for:")
    for sentence in receipt.not_searched:
        click.echo(f"  {sentence}")
    click.echo(f"Signed by {receipt.public_key[:16]}…" + (f"; kept in {out}." if out else "."))


def _older_than(store: Store, days: float, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    from freehold.config import RetentionSettings
    from freehold.record.retention import count_older, enforce

    days = max(days, 1e-9)  # 0 would mean that nothing is too old
    settings = RetentionSettings(traces_days=days, feedback_days=days)
    if dry_run or not yes:
        counts = count_older(store, settings, time.time_ns())
        if as_json and dry_run:
            echo_json({"removed": counts})
        elif not as_json:
            click.echo("To be removed: " + ", ".join(f"{count} {name}" for name, count in counts.items()) + ".")
    if dry_run:
        return
    _confirm(yes, as_json)
    kept = enforce(store, settings, time.time_ns(), at_once=True)
    removed = kept.removed if kept is not None else {}
    if as_json:
        echo_json({"removed": removed})
    else:
        click.echo("Removed: " + (", ".join(f"{count} {name}" for name, count in removed.items()) or "nothing") + ".")
