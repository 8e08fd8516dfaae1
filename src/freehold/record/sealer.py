"""Moves records from the journals into the tables, exactly once, and removes what is sealed.

Crash-safe at every point, because of one order: damage is reported (under an id that depends only on where it is),
feedback is committed, then messages, then the traces that refer to them, then segments are removed. The trace table's
position of a worker is the one that counts: a crash before that commit means reading the same records again; the
feedback table's own position tells which judgements it has already, and messages are known by their content.

What was asked to be forgotten and comes late is read and passed over: see `freehold.record.forgetting.forgotten`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

from freehold.config import UpstreamSettings
from freehold.domain.errors import Conflict
from freehold.domain.traces import Record, Trace
from freehold.record.damage import note_damage
from freehold.record.derive import Deriver
from freehold.record.forgetting.forgotten import Forgotten
from freehold.record.subjects import with_subject
from freehold.store import Store, exclusive
from freehold.store.journal.read import WorkerJournal, remove_dead_folder
from freehold.store.journal.retention import remove_expired, retire_segment
from freehold.store.traces.messages import MessageKeeper
from freehold.store.traces.placement import placed
from freehold.store.traces.repeats import repeats
from freehold.store.traces.rows import feedback_frame, sealed_frame

BATCH_RECORDS = 10_000
BATCH_BYTES = 64 * 1024 * 1024
_log = structlog.get_logger()


@dataclass
class SealReport:
    """What one round sealed."""

    records: int = 0
    traces: int = 0
    feedback: int = 0
    bytes: int = 0
    """Of request and response bodies."""
    lost_bytes: int = 0
    """Bytes of journal in which damage was found this round: see the `journal-damaged` events."""
    segments_removed: int = 0
    forgotten: int = 0
    """Records that were dropped, because they came after somebody asked to forget them."""


@dataclass
class _Batch:
    """Records to commit together, each with where it lies."""

    records: list[tuple[str, int, Record]] = field(default_factory=list[tuple[str, int, Record]])
    bytes: int = 0

    def add(self, worker: str, position: int, record: Record) -> None:
        self.records.append((worker, position, record))
        if isinstance(record, Trace):
            self.bytes += len(record.request) + len(record.response)

    @property
    def full(self) -> bool:
        return len(self.records) >= BATCH_RECORDS or self.bytes >= BATCH_BYTES


def _nothing(_step: str) -> None:
    return


class Sealer:
    """Seals the journals of one data folder.

    Args:
        store: where.
        upstreams: for prices.
        at_step: called with the name of each step before it is done; tests stop the process there.
    """

    def __init__(
        self,
        store: Store,
        upstreams: Mapping[str, UpstreamSettings],
        *,
        at_step: Callable[[str], None] = _nothing,
    ) -> None:
        self._store = store
        self._derive = Deriver(upstreams)
        self._messages = MessageKeeper(store.messages)
        self._forgotten = Forgotten(store)
        self._at_step = at_step
        self._keep_seconds = store.journal_options.keep_sealed_seconds

    def seal_once(self) -> SealReport:
        """Seal everything the journals hold now.

        Raises:
            LeaseHeld: another process seals this folder right now.
            StoreError: a journal, a table or the control store cannot be used; what was committed stays, the rest is
                sealed next time.
        """
        report = SealReport()
        with exclusive(self._store.data / "sealer.lock"):
            journals = self._store.journals()
            self._seal(journals, report)
            for journal in journals:
                self._remove_sealed(journal, report)
            remove_expired(self._store.sealed_root, self._keep_seconds)
            if report.records:
                self._compact()
        return report

    def _compact(self) -> None:
        try:
            for table in (self._store.traces, self._store.feedback, self._store.messages):
                self._at_step("compact")
                table.compact()
        except Conflict as error:  # another host appended to the shared table: the next round compacts
            _log.info("compaction_postponed", error=error.message)

    def _seal(self, journals: list[WorkerJournal], report: SealReport) -> None:
        batch = _Batch()
        self._forgotten.look()
        sealed = self._store.traces.snapshot()
        for journal in journals:
            for position, record in journal.records(sealed.sealed_position(journal.worker)):
                record = placed(with_subject(record)) if isinstance(record, Trace) else record
                batch.add(journal.worker, position, record)
                if batch.full:
                    # Before the commit moves past it: damage that was passed over would not be met again.
                    self._report_damage(journal, report)
                    self._commit(batch, report)
                    batch = _Batch()
            self._report_damage(journal, report)
        self._commit(batch, report)

    def _commit(self, batch: _Batch, report: SealReport) -> None:
        if not batch.records:
            return
        kept = [entry for entry in batch.records if not self._forgotten.covers(entry[2])]
        self._commit_feedback(kept, report)
        traces = [record for _, _, record in kept if isinstance(record, Trace)]
        again = repeats(self._store.traces.snapshot, traces)
        traces = [trace for place, trace in enumerate(traces) if place not in again]
        taken, messages = self._messages.take(traces)
        if messages.height:
            self._at_step("messages")
            self._store.messages.append(messages, {})
            self._messages.stored(messages)
        self._at_step("traces")
        # Also without any trace: the positions in this table are the ones that count.
        frame = sealed_frame(traces, [self._derive(trace) for trace in traces], taken)
        self._store.traces.append(frame, _positions(batch.records))
        report.traces += len(traces)
        report.records += len(batch.records)
        report.forgotten += len(batch.records) - len(kept)
        report.bytes += batch.bytes

    def _commit_feedback(self, kept: list[tuple[str, int, Record]], report: SealReport) -> None:
        found = [entry for entry in kept if not isinstance(entry[2], Trace)]
        if not found:
            return
        sealed = self._store.feedback.snapshot()  # beyond the traces' if a crash came between the two commits
        fresh = [entry for entry in found if entry[1] > sealed.sealed_position(entry[0])]
        feedback = [record for _, _, record in fresh if not isinstance(record, Trace)]
        if feedback:
            self._at_step("feedback")
            self._store.feedback.append(feedback_frame(feedback), _positions(fresh))
        report.feedback += len(found)

    def _report_damage(self, journal: WorkerJournal, report: SealReport) -> None:
        while journal.damage:
            damage = journal.damage[0]
            self._at_step("damage")
            if note_damage(self._store, damage):
                report.lost_bytes += damage.length
            journal.damage.pop(0)

    def _remove_sealed(self, journal: WorkerJournal, report: SealReport) -> None:
        for number in journal.finished:
            self._at_step("remove")
            retire_segment(journal.segments[number], self._store.sealed_root, self._keep_seconds)
            report.segments_removed += 1
        if journal.dead and set(journal.finished) == set(journal.segments):
            self._at_step("remove-folder")
            remove_dead_folder(journal.folder)


def _positions(records: list[tuple[str, int, Record]]) -> dict[str, int]:
    """How far each worker's records reach; they are in order."""
    return {worker: position for worker, position, _ in records}
