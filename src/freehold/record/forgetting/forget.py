"""Forget a subject, key, agent run or trace: out of every place that keeps it, with a signed receipt.

Crash-safe by its order, so that the same request, made again, carries on. First of all comes the tombstone, in the
control store: from then on the sealer drops whatever comes late. Then the journals are sealed, so that every record is
either dropped or in a table; and as the rows of the trace table say what is to go, they are removed last.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from freehold.config import UpstreamSettings
from freehold.domain.erasures import Erasure, ErasureKind, Holder, Receipt
from freehold.domain.errors import LeaseHeld, NotFound, StoreError
from freehold.domain.events import Event
from freehold.domain.ids import content_id, new_id
from freehold.domain.traces import Trace
from freehold.record.forgetting.copies import blank_copies, remove_damaged
from freehold.record.forgetting.forgotten import PURPOSE, SHORT, Forgotten, mark
from freehold.record.forgetting.holders import Withdraw, find_holders, remove_drafts, remove_holder
from freehold.record.forgetting.imports import blank_imports
from freehold.record.forgetting.receipts import make_receipt
from freehold.record.forgetting.select import Asked, Selection, select
from freehold.record.forgetting.tables import PLACES, delete_rows, drop_messages, purge_tables
from freehold.record.sealer import Sealer
from freehold.store.journal.folder import request_rotations, wait_rotated
from freehold.store.locks import FileLock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from freehold.store import Store

WAIT_SECONDS = 600.0
"""How long to wait for a sealer, a gateway's journal or a job that is under way."""
MAX_RECENT = 100_000
RECENT_NS = 24 * 3600 * 10**9
"""What comes about a trace (an audit, a judgement) comes within a day, about; the tombstone knows the traces of that
day, and those that were imported, whose ids are the same when they are imported again. At most `MAX_RECENT`."""
_TICK = 0.1

Kept = Callable[[set[str]], set[str]]
"""Which of these trace ids are still recorded."""


def _nothing(_step: str) -> None:
    return


def _no_cache(_kept: Kept) -> int:
    return 0


def _cannot_withdraw(task: str, _reason: str) -> None:
    raise StoreError(f"Task {task} cannot be taken back from here.", "Use `freehold forget --datasets`.")


@dataclass(frozen=True)
class Ways:
    """How forgetting reaches what other rooms keep."""

    clear_cache: Callable[[Kept], int] = _no_cache
    """Removes cached answers of traces that are not recorded any more; returns how many."""
    withdraw: Withdraw = _cannot_withdraw
    at_step: Callable[[str], None] = _nothing
    """Called with the name of each step before it is done; tests stop the process there."""
    wait_seconds: float = WAIT_SECONDS


class Found(NamedTuple):
    """What forgetting would remove: for `--dry-run`."""

    removed: dict[str, int]
    holders: tuple[Holder, ...]
    tasks: tuple[str, ...]


def look(store: Store, kind: ErasureKind, value: str) -> Found:
    """What is kept of `value` now; changes nothing.

    Raises:
        StoreError: something cannot be read.
    """
    asked = Asked(kind, value, time.time_ns())
    chosen = select(store, asked)
    unsealed = _unsealed(store, asked)
    counts = {"traces": len(chosen.trace_ids), "feedback": len(chosen.feedback_ids), "journals": len(unsealed)}
    return Found(counts, find_holders(store, chosen.trace_ids), tuple(chosen.tasks))


def forget(
    store: Store,
    upstreams: Mapping[str, UpstreamSettings],
    kind: ErasureKind,
    value: str,
    *,
    datasets: bool = False,
    damaged: bool = False,
    ways: Ways = Ways(),
) -> Receipt:
    """Remove all that is kept of `value` and of requests until now; carries on with what was interrupted.

    Args:
        store: where.
        upstreams: as configured, to seal what is not sealed yet.
        kind: what `value` is.
        value: the subject, the key's id, the episode or the trace id.
        datasets: remove the files of datasets, outcomes and evidence that hold such rows, too, with the students and
            routers that were made of them; tasks that these serve go back to the incumbent first. (Examples beside
            evaluations are removed in any case: nothing rests on them.)
        damaged: remove quarantined copies of damaged journal segments whole.
        ways: how to reach what other rooms keep.

    Raises:
        NotFound: `value` is empty.
        LeaseHeld: a sealer, a gateway or a job was in the way for too long; the tombstone holds, and the same command
            carries on.
        StoreError: something cannot be read, written or removed; the same command carries on.
    """
    if not value:
        raise NotFound("Nobody is named by an empty name.", "Give the subject, key, episode or trace to forget.")
    return _Forgetting(store, upstreams, kind, value, ways).run(datasets=datasets, damaged=damaged)


class _Forgetting:
    def __init__(
        self, store: Store, upstreams: Mapping[str, UpstreamSettings], kind: ErasureKind, value: str, ways: Ways
    ) -> None:
        self._store = store
        self._upstreams = upstreams
        self._value = value
        self._ways = ways
        self._secret = store.keys.derive(PURPOSE)
        self._until = time.monotonic() + ways.wait_seconds
        self._erasure = self._begun(kind)
        self._asked = Asked(kind, value, self._erasure.at_ns)

    def run(self, *, datasets: bool, damaged: bool) -> Receipt:
        self._ways.at_step("journals")
        self._empty_journals()
        tasks = select(self._store, self._asked).tasks
        with self._locks([f"locks/move-{task}.lock" for task in tasks]), self._locks(["sealer.lock"]):
            chosen = self._chosen()
            self._remember(chosen)
            self._ways.at_step("holders")
            self._holders(chosen, remove=datasets)
            self._ways.at_step("copies")
            unread = self._copies(chosen, whole=damaged)
            for place in PLACES:
                self._ways.at_step(place)
                delete_rows(self._store, place, self._asked, chosen)
            self._ways.at_step("messages")
            self._count("messages", drop_messages(self._store, self._erasure.episodes))
            self._ways.at_step("purge")
            purge_tables(self._store)
            self._save(episodes=())
        self._forget_quarantines()
        self._ways.at_step("cache")
        self._count("cached answers", self._ways.clear_cache(lambda ids: _still_recorded(self._store, ids)))
        self._ways.at_step("receipt")
        return self._finish(unread)

    def _begun(self, kind: ErasureKind) -> Erasure:
        """The unfinished request for the same, or a new one: its tombstone is in force when this returns."""
        who = mark(self._secret, kind, self._value)
        for item in self._store.control.erasures.list(newest_first=True):
            if (item.kind, item.who, item.state) == (kind, who, "running"):
                return item
        self._ways.at_step("tombstone")
        now = time.time_ns()
        asked = Asked(kind, self._value, now)
        unsealed = _unsealed(self._store, asked)  # known before the sealer begins to drop them
        recent = tuple(self._short(item.trace_id) for item in unsealed[-MAX_RECENT:])
        removed = {"journals": len(unsealed)}
        # Messages are in their table before the traces they belong to are: a sealer may have died in between.
        episodes = tuple(sorted({item.episode for item in unsealed if item.episode}))
        erasure = Erasure(
            erasure_id=new_id("er"),
            kind=kind,
            who=who,
            at_ns=now,
            removed=removed,
            recent=recent,
            episodes=episodes,
            updated_ns=now,
        )
        self._store.control.erasures.put(erasure)
        return erasure

    def _empty_journals(self) -> None:
        """Have every segment that is there now finished, sealed and removed."""
        segments = [path for journal in self._store.journals() for path in journal.segments.values()]
        there = [path for path in segments if _size(path)]  # an empty one stays with its idle worker
        wait_rotated(request_rotations(self._store.journal_root), self._until - time.monotonic())
        waiting = threading.Event()
        while True:
            with suppress(LeaseHeld):  # whoever seals now drops the same
                Sealer(self._store, self._upstreams).seal_once()
            if not any(path.exists() for path in there):
                return
            if time.monotonic() > self._until:
                left = next(path for path in there if path.exists())
                raise LeaseHeld(
                    f"The journal segment {left} is still written to.",
                    "Is its gateway stopped (SIGSTOP) or its disk stuck? The tombstone holds: run the command again.",
                )
            waiting.wait(_TICK)

    @contextmanager
    def _locks(self, names: list[str]) -> Generator[None]:
        """Hold these locks of the data folder, once they can be had."""
        waiting = threading.Event()
        with ExitStack() as stack:
            for name in names:
                while True:
                    try:
                        lock = FileLock(self._store.data / name)
                        break
                    except LeaseHeld:
                        if time.monotonic() > self._until:
                            raise
                        waiting.wait(_TICK)
                stack.callback(lock.release)
            yield

    def _chosen(self) -> Selection:
        return select(self._store, self._asked)

    def _remember(self, chosen: Selection) -> None:
        """Note what is about to go; when it is gone already, what was noted before stands."""
        if not chosen.trace_ids:
            return
        ids = chosen.about(self._erasure.at_ns - RECENT_NS)[-MAX_RECENT:]
        recent = tuple(sorted({*self._erasure.recent, *map(self._short, ids)}))
        episodes = tuple(sorted({*self._erasure.episodes, *chosen.episodes}))
        self._save(recent=recent, traces_sha256=chosen.sha256, episodes=episodes)
        self._count("traces", len(chosen.trace_ids))
        self._count("feedback", len(chosen.feedback_ids))

    def _holders(self, chosen: Selection, *, remove: bool) -> None:
        drafts = remove_drafts(self._store, chosen.trace_ids)
        if drafts:
            self._count("half-written datasets", drafts)
        known = {(item.kind, item.name): item for item in self._erasure.holders}
        for holder in find_holders(self._store, chosen.trace_ids):
            known[holder.kind, holder.name] = holder
        self._save(holders=tuple(known.values()))
        for place, holder in known.items():
            if not holder.removed and (remove or holder.kind == "evaluation"):  # nothing rests on an evaluation
                self._ways.at_step("remove")
                known[place] = remove_holder(self._store, holder, self._ways.withdraw)
                self._save(holders=tuple(known.values()))

    def _copies(self, chosen: Selection, *, whole: bool) -> dict[str, int]:
        if whole:
            self._count("damaged segments", remove_damaged(self._store))
        forgotten = Forgotten(self._store)
        forgotten.look()
        forgotten.also(chosen.trace_ids)
        blanked, unread = blank_copies(self._store, forgotten.covers, self._value)
        self._count("copies of journal segments", blanked)
        self._count("imports", blank_imports(self._store.data / "imports", self._value))
        return unread

    def _forget_quarantines(self) -> None:
        """What was put aside by this name has no rows any more: the name goes from there, too."""
        for item in self._store.control.quarantines.list():
            if item.kind == self._asked.kind and item.value == self._value:
                lifted = item.lifted_ns or time.time_ns()
                gone = msgspec.structs.replace(item, value=self._erasure.who, reason="Forgotten.", lifted_ns=lifted)
                self._store.control.quarantines.put(gone)

    def _finish(self, unread: Mapping[str, int]) -> Receipt:
        now = time.time_ns()
        receipt = make_receipt(self._store, self._erasure, _not_searched(unread), now)
        total = sum(receipt.removed.values())
        event = Event(
            event_id=content_id("ev", b"forgotten", self._erasure.erasure_id.encode()),
            at_ns=now,
            kind="forgotten",
            task="",
            message=f"What was kept by a {receipt.kind} was removed: {total} records; receipt {receipt.receipt_id}.",
            evidence={"receipt": receipt.receipt_id, **receipt.removed},
        )
        with self._store.control.transaction():
            self._store.control.add_event(event)
            self._save(state="done", receipt=receipt)
        return receipt

    def _count(self, place: str, found: int) -> None:
        """Note, before it is done, what is about to be removed: after a crash it is there still, or gone and noted."""
        noted = self._erasure.removed.get(place, 0)
        self._save(removed={**self._erasure.removed, place: max(noted, found)})

    def _save(self, **changes: object) -> None:
        self._erasure = msgspec.structs.replace(self._erasure, updated_ns=time.time_ns(), **changes)  # type: ignore[arg-type]
        self._store.control.erasures.put(self._erasure)

    def _short(self, trace_id: str) -> str:
        return mark(self._secret, "trace", trace_id)[:SHORT]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # sealed and removed meanwhile
        return 0


def _unsealed(store: Store, asked: Asked) -> list[Trace]:
    """Traces in the journals, not sealed yet, that `asked` names."""
    from freehold.record.subjects import with_subject

    table = store.traces.snapshot()
    field = "trace_id" if asked.kind == "trace" else asked.kind
    found: list[Trace] = []
    for journal in store.journals():
        for _, record in journal.records(table.sealed_position(journal.worker)):
            if not isinstance(record, Trace) or record.at_ns > asked.until_ns:
                continue
            if getattr(with_subject(record), field) == asked.value:
                found.append(record)
    return found


def _still_recorded(store: Store, trace_ids: set[str]) -> set[str]:
    import polars as pl

    from freehold.store.traces.delta import collect

    rows = store.traces.scan().filter(pl.col("trace_id").is_in(sorted(trace_ids))).select("trace_id")
    return set(collect(rows).get_column("trace_id").to_list())


def _not_searched(unread: Mapping[str, int]) -> tuple[str, ...]:
    """What a receipt cannot speak for."""
    said = [
        "Backups, exports, logs outside the data folder, and copies that others were given.",
        "What the providers keep that answered these requests.",
        "Journals of other hosts that write to the same table: what they hold is dropped when it is sealed.",
        "Requests under way when it was asked: their records are dropped when they come; a cached answer lives until "
        "its time is up.",
        "OpenTelemetry spans and log records that wait for each other, for an hour at most.",
        "What students and routers that stay have learned from such rows.",
        "The tables' own logs, which hold ids of traces and of agent runs, and for a day more those that are gone.",
        "What others have said that mentions the name: it is known whose data something is by who asked.",
        "Blocks of the disk that the file system, and pages that the control database, has freed and not overwritten.",
    ]
    said += [
        f"{count} damaged bytes in {name}, which nothing can read; `--damaged` removes the file."
        for name, count in sorted(unread.items())
    ]
    return tuple(said)
