"""`freehold journal`: look into the journals, mend what was damaged, make a key."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from freehold.cli.common import config_option, console, echo_json, json_option, open_store, settings_at, table, when
from freehold.domain.errors import LeaseHeld

if TYPE_CHECKING:
    from freehold.store import Store
    from freehold.store.journal.check import SegmentCheck
    from freehold.store.journal.repair import Repair

_SEALER_WAIT_SECONDS = 20.0


@click.group("journal")
def journal_command() -> None:
    """Look into the journals, mend what was damaged, make a key."""


@journal_command.command("check")
@config_option
@json_option
def check_command(config: str | None, as_json: bool) -> None:
    """Say what every segment holds, and what of it is not in the trace table yet; exit code 1 if anything is damaged.

    Nothing is changed, and gateways may go on writing meanwhile. Segments whose key is not at hand are counted too.
    """
    from freehold.store.journal.check import check_journal

    _, settings = settings_at(config)
    store = open_store(settings)
    sealed = store.traces.snapshot()
    found = [
        check
        for journal in store.journals()
        for check in check_journal(journal, sealed.sealed_position(journal.worker))
    ]
    document = _document(store, found)
    if as_json:
        echo_json(document)
    else:
        _show(found, document)
    if document["lost_bytes"] or document["locked"]:
        raise SystemExit(1)


def _document(store: Store, found: list[SegmentCheck]) -> dict[str, Any]:
    """All that was found, and the sums."""
    names = ("bytes", "frames", "records", "unsealed", "encrypted", "locked", "half_bytes", "lost_bytes")
    oldest = [check.oldest_unsealed_ns for check in found if check.oldest_unsealed_ns is not None]
    return {
        "segments": found,
        **{name: sum(getattr(check, name) for check in found) for name in names},
        "oldest_unsealed_ns": min(oldest, default=None),
        "sealed_and_kept": _names(store.sealed_root),
        "damaged_and_kept": _names(store.damaged_root),
    }


def _names(folder: Any) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def _show(found: list[SegmentCheck], document: dict[str, Any]) -> None:
    figures = ("bytes", "frames", "unsealed", "lost bytes")
    made = table("Journal segments", "worker", "segment", "state", *figures, "encrypted with", right=figures)
    for check in found:
        state = "written to" if check.alive and not check.final else "final"
        amounts = (check.bytes, check.frames, check.unsealed, check.lost_bytes)
        key = ", ".join(check.keys) + (" (not at hand)" if check.locked else "")
        made.add_row(check.worker, str(check.segment), state, *(f"{amount:,}" for amount in amounts), key)
    console().print(made, markup=False)
    for check in found:
        for damage in check.damage:
            click.echo(f"{check.path}: {damage.length:,} bytes at offset {damage.offset:,} hold no intact record.")
        if check.half_bytes:
            said = "is being written" if not check.final else "was cut off; nobody was told that it was kept"
            click.echo(f"{check.path}: half a record of {check.half_bytes:,} bytes at its end {said}.")
    oldest = document["oldest_unsealed_ns"]
    since = "" if oldest is None else f", the oldest of {when(oldest)}"
    click.echo(
        f"{document['frames']:,} records in {len(found)} segments; {document['unsealed']:,} not sealed yet{since}."
    )
    if document["lost_bytes"]:
        click.echo("`freehold journal repair` takes the damage out; the loop reads past it as well.")
    for name, words in (("sealed_and_kept", "sealed and kept"), ("damaged_and_kept", "damaged and kept")):
        if document[name]:
            click.echo(f"{len(document[name])} segments {words}.")


@journal_command.command("repair")
@config_option
@json_option
def repair_command(config: str | None, as_json: bool) -> None:
    """Take damage out of the segments of workers that have ended. The damaged originals are kept in journal-damaged.

    No intact record is lost or moved, and repairing twice changes nothing. Where a living worker writes, its segments
    are left alone, which is an error if they are damaged.
    """
    _, settings = settings_at(config)
    store = open_store(settings)
    done: list[Repair] = []
    with _sealing_stopped(store):
        alive = _repair(store, done)
    if as_json:
        echo_json([_repaired(repair) for repair in done])
    else:
        for repair in done:
            lost = sum(damage.length for damage in repair.damage)
            click.echo(
                f"{repair.path}: {repair.frames:,} records kept, {lost:,} damaged bytes and {repair.cut:,} of half a "
                f"record taken out; as it was: {repair.kept}"
            )
        if not done:
            click.echo("Nothing to repair.")
    if alive is not None:
        raise alive


def _repair(store: Store, done: list[Repair]) -> LeaseHeld | None:
    """Repair what can be; the error for what cannot, as its worker lives."""
    from freehold.record.damage import note_damage
    from freehold.store.journal.check import check_journal
    from freehold.store.journal.repair import repair_folder

    refused: LeaseHeld | None = None
    for journal in store.journals():
        if not any(check.damage or check.half_bytes for check in check_journal(journal, 0)):
            continue
        try:
            repairs = repair_folder(journal.folder, store.damaged_root, store.journal_options.keys)
        except LeaseHeld as error:
            if any(check.damage for check in check_journal(journal, 0)):
                refused = LeaseHeld(
                    f"Segments of {journal.worker} are damaged and its worker lives: {error.message}",
                    "Stop it and repair again; the loop meanwhile seals what is intact.",
                )
            continue
        for repair in repairs:
            for damage in repair.damage:
                note_damage(store, damage, repair.kept)
        done += repairs
    return refused


@contextmanager
def _sealing_stopped(store: Store) -> Generator[None, None, None]:
    """No segment is sealed meanwhile; a round of sealing under way may end first.

    Raises:
        LeaseHeld: it has not ended by then.
    """
    from freehold.store.locks import FileLock

    deadline, tick, lock = time.monotonic() + _SEALER_WAIT_SECONDS, threading.Event(), None
    while lock is None:
        try:
            lock = FileLock(store.data / "sealer.lock")
        except LeaseHeld:
            if time.monotonic() >= deadline:
                raise
            tick.wait(0.1)
    try:
        yield
    finally:
        lock.release()


def _repaired(repair: Repair) -> dict[str, Any]:
    return {
        "path": str(repair.path),
        "kept": str(repair.kept),
        "records": repair.frames,
        "damage": [{"offset": damage.offset, "length": damage.length} for damage in repair.damage],
        "half_bytes": repair.cut,
    }


@journal_command.command("key")
@json_option
def key_command(as_json: bool) -> None:
    """Make a key to encrypt journals with, and print it; it is kept nowhere else."""
    from freehold.store.journal.keys import JournalKeys, new_key

    key = new_key()
    if as_json:
        echo_json({"key": key, "id": JournalKeys.parse(key, "The new key").ids[0]})
        return
    click.echo(key)
    click.echo(
        "Put it in an environment variable that journal.encryption_key_env names, or in the keyring that "
        "journal.encryption_keyring names, and keep a copy: without it, what is not sealed yet cannot be read.",
        err=True,
    )
