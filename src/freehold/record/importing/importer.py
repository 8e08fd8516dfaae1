"""Imports files: rows are read, made into records, told from those that are stored, and written to a journal.

Memory is bounded by a chunk of rows, by 16 bytes for each record that was ever imported, and by the longest row. A
chunk's order is: records to the journal, the journal to the disk, progress. A process killed at any point goes on where
the last chunk ended, and what it had written of the next one is known by its id.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from freehold.domain.errors import RequestError, RowError, StoreError, StoreFull
from freehold.domain.ids import content_id
from freehold.domain.traces import Feedback, Trace
from freehold.record.importing.exchange import Exchange, Identify, Maker, Options
from freehold.record.importing.files import Line, Place, Prefix, files_in, lines_of, prefix_of
from freehold.record.importing.format import MISREAD, Format
from freehold.record.importing.formats import detect, role_of, whole_of
from freehold.record.importing.journal import StepJournal
from freehold.record.importing.known import KnownIds
from freehold.record.importing.rejects import Rejects
from freehold.store import exclusive

if TYPE_CHECKING:
    from freehold.store import Store

CHUNK_ROWS = 2_000
CHUNK_BYTES = 32 * 1024 * 1024
"""Of records' bodies."""


SEAL_BYTES = 128 * 1024 * 1024
WORTH_SEALING = 8 * 1024 * 1024
"""Less may wait in the journal for the loop: whoever reads until then looks through it."""


def _nothing() -> None:
    return


class Report(msgspec.Struct, kw_only=True):
    """What an import did; if it was stopped and taken up again, over all its runs."""

    format: str
    files: int = 0
    read_before: int = 0
    """Of the files, those that an earlier import had begun to read; what it had read was not read again."""
    rows: int = 0
    traces: int = 0
    feedback: int = 0
    known: int = 0
    """Records that were stored already."""
    passed_over: int = 0
    """Rows that say something else than exchanges: they were put aside, or belong to other things."""
    rejected: int = 0
    reasons: dict[str, int] = {}
    """Why rows were rejected → how many."""
    resumed: bool = False
    """An earlier run was stopped, and this one went on."""


class _Chunk:
    """Records and rejects since the last commit."""

    def __init__(self) -> None:
        self.records: list[Trace | Feedback] = []
        self.rows = 0
        self.bytes = 0

    def add(self, record: Trace | Feedback) -> None:
        self.records.append(record)
        if isinstance(record, Trace):
            self.bytes += len(record.request) + len(record.response)

    @property
    def full(self) -> bool:
        return self.rows >= CHUNK_ROWS or self.bytes >= CHUNK_BYTES


class Importer:
    """Imports files of one format into a store.

    Args:
        store: where to.
        wanted: the format.
        options: what holds for all rows.
        identify: says which task a request belongs to.
        dry_run: only say what would be done.
        again: begin anew, although some of the files were read before.
        keep_content: the rejects file holds the rows themselves.
        seal: moves what was written into the tables: called now and then, so that the journals stay small.
        at_chunk: called after every chunk with the report so far and the bytes read of the file at hand.
    """

    def __init__(
        self,
        store: Store,
        wanted: Format,
        options: Options,
        identify: Identify,
        *,
        dry_run: bool = False,
        again: bool = False,
        keep_content: bool = False,
        seal: Callable[[], None] = _nothing,
        at_chunk: Callable[[Report, Path, int], None] | None = None,
    ) -> None:
        self._store, self._format, self._seal = store, wanted, seal
        self._options = options if options.now_ns else msgspec.structs.replace(options, now_ns=time.time_ns())
        self._maker = Maker(self._options, identify)
        self._dry_run, self._again, self._keep_content = dry_run, again, keep_content
        self._at_chunk = at_chunk

    @property
    def folder(self) -> Path:
        """Where progress and rejects are kept."""
        return self._store.data / "imports"

    def run(self, paths: Sequence[Path]) -> tuple[Report, Path | None]:
        """Import these files and folders; returns what was done, and the file of rejected rows if there are any.

        Raises:
            RequestError: a file is not there, or looks like another format (the message says which).
            LeaseHeld: another import into this data folder is under way.
            StoreError: a file, the journal or a table cannot be read or written; what was committed stays.
        """
        files = self._in_order(files_in(tuple(paths)))
        job = self._job(files)
        with exclusive(self.folder / "import.lock"):
            steps = StepJournal(self._steps_path(job), job)
            try:
                return self._import(files, job, steps)
            finally:
                steps.close()
                if self._dry_run:
                    _remove(self._steps_path(job))

    def _steps_path(self, job: str) -> Path:
        return self.folder / (f"dry-{job}.sqlite" if self._dry_run else "progress.sqlite")

    def _job(self, files: Sequence[Path]) -> str:
        """The same files imported in the same way are the same job."""
        how = msgspec.json.encode(msgspec.structs.replace(self._options, now_ns=0))
        return content_id("im", self._format.name.encode(), how, *(str(path).encode() for path in sorted(files)))

    def _in_order(self, files: list[Path]) -> list[Path]:
        """Files whose rows others need first; checks that each is of the format, as far as it can be told."""
        order: list[tuple[int, Path]] = []
        for path in files:
            role = role_of(path, self._format)
            if role is None:
                self._check(path)
            order.append((len(self._format.roles) if role is None else self._format.roles.index(role), path))
        return [path for _, path in sorted(order)]

    def _check(self, path: Path) -> None:
        """What begins with none of the format's rows: empty, broken at its beginning, or another format."""
        first = next(lines_of(path, whole=whole_of(path, self._format)), None)
        if first is None or first.row is None:
            return
        other = detect(path)
        looks = f"It looks like {other.format.name} ({other.format.title})." if other else "It looks like none known."
        names = ", ".join(sorted(first.row)[:12]) or "none"
        raise RequestError(
            f"{path} is not of the format {self._format.name}. {looks} Its first row has the fields: {names}.",
            f"Run `freehold import {other.format.name} {path}`."
            if other
            else "`freehold import --help` lists formats.",
        )

    def _import(self, files: Sequence[Path], job: str, steps: StepJournal) -> tuple[Report, Path | None]:
        if self._again:
            steps.forget()
        kept = steps.resumed()
        report = msgspec.json.decode(kept[1], type=Report) if kept else Report(format=self._format.name)
        report.resumed, report.files, report.read_before = kept is not None, len(files), 0
        rejects = Rejects(self.folder / f"rejects-{job}.jsonl", kept[0] if kept else 0, self._keep_content)
        run = _Run(
            self._store, self._format, self._maker, steps, rejects, report, None if self._dry_run else self._seal
        )
        try:
            for path in files:
                for position in run.file(path):
                    if self._at_chunk is not None:
                        self._at_chunk(report, path, position)
            run.end()
            steps.finish()
        finally:
            run.close()
        if self._dry_run:
            rejects.remove()
        return report, rejects.path if report.rejected and not self._dry_run else None


class _Run:
    """One run of an import: what is open while it goes on."""

    def __init__(
        self,
        store: Store,
        wanted: Format,
        maker: Maker,
        steps: StepJournal,
        rejects: Rejects,
        report: Report,
        seal: Callable[[], None] | None,
    ) -> None:
        """`seal`: None if nothing shall be written."""
        self._format, self._maker = wanted, maker
        self._steps, self._rejects, self._report = steps, rejects, report
        self._known = KnownIds.of(store)
        self._seal = seal
        self._journal = None if seal is None else store.open_journal()
        self._unsealed = 0
        """Bytes written since the last time that the journals were sealed."""
        self._reasons = Counter(report.reasons)

    def end(self) -> None:
        """All files are read."""
        if self._seal is not None and self._unsealed >= WORTH_SEALING:
            self._seal()

    def close(self) -> None:
        """Close the journal and the rejects file."""
        if self._journal is not None:
            self._journal.close()
        self._rejects.close()

    def file(self, path: Path) -> Iterator[int]:
        """Import one file; yields the bytes (decompressed, where it is known) or rows read, after each chunk."""
        place, prefix, chunk = self._steps.place(path), prefix_of(path), _Chunk()
        self._report.read_before += place.rows > 0
        whole = whole_of(path, self._format)
        for line in lines_of(path, place, whole):
            self._row(path, line, chunk)
            place = line.after
            if chunk.full:
                self._write(chunk)
                self._commit(path, prefix, place)
                yield place.offset or place.rows
                chunk = _Chunk()
        self._write(chunk)
        self._commit(path, prefix, place)
        yield place.offset or place.rows

    def _row(self, path: Path, line: Line, chunk: _Chunk) -> None:
        chunk.rows += 1
        self._report.rows += 1
        try:
            if line.row is None:
                raise line.error or RowError("It cannot be read.", "")
            before = len(chunk.records)
            for record in self._records(line):
                chunk.add(record)
            self._report.passed_over += len(chunk.records) == before
        except RowError as error:
            self._report.rejected += 1
            self._reasons[error.message] += 1
            self._rejects.add(path, line, error)

    def _records(self, line: Line) -> list[Trace | Feedback]:
        """All that a row says, or nothing of it."""
        row = line.row or {}
        role = self._format.role(row)
        if role is None:
            raise RowError(
                f"It is no row of {self._format.name}.", "Leave such rows out, or import them by themselves."
            )
        try:
            return [
                self._maker.trace(item) if isinstance(item, Exchange) else self._maker.feedback(item)
                for item in self._format.read(role, row, self._steps)
            ]
        except MISREAD as error:
            # A field of another type than its program writes; the name of the error tells no content.
            raise RowError(
                f"One of its fields has an unexpected form ({type(error).__name__}).", "Check it."
            ) from error

    def _write(self, chunk: _Chunk) -> None:
        self._unsealed += chunk.bytes
        ids = [item.trace_id if isinstance(item, Trace) else item.feedback_id for item in chunk.records]
        fresh = self._known.fresh(ids) if ids else []
        for record, new in zip(chunk.records, fresh, strict=True):
            if not new:
                self._report.known += 1
                continue
            self._append(record)
            if isinstance(record, Trace):
                self._report.traces += 1
            else:
                self._report.feedback += 1
        self._known.add(name for name, new in zip(ids, fresh, strict=True) if new)

    def _append(self, record: Trace | Feedback) -> None:
        if self._journal is None or self._seal is None:
            return
        try:
            self._journal.append(record)
        except StoreFull:  # the journals are at their limit, or the disk is: sealing makes room in either case
            self._seal()
            self._journal.append(record)

    def _commit(self, path: Path, prefix: Prefix, place: Place) -> None:
        if self._journal is not None and self._seal is not None:
            self._journal.sync()
            if self._unsealed >= SEAL_BYTES:
                self._unsealed = 0
                self._seal()
        self._report.reasons = dict(self._reasons.most_common())
        self._steps.reached(path, prefix, place)
        self._steps.commit(self._rejects.flush(), msgspec.json.encode(self._report))


def _remove(path: Path) -> None:
    for name in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        try:
            name.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"{name} cannot be removed: {error.strerror}.", "Remove it by hand.") from error
