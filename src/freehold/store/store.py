"""One data folder and the control database that goes with it."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from freehold.domain.ids import new_id
from freehold.domain.places import IN_DATA_FOLDER, TablePlace
from freehold.store.control.control import ControlStore
from freehold.store.journal.options import DEFAULTS, JournalOptions
from freehold.store.journal.writer import JournalWriter

if TYPE_CHECKING:
    from freehold.store.journal.read import WorkerJournal
    from freehold.store.keys import SigningKey
    from freehold.store.traces.messages import MessageTable
    from freehold.store.traces.tables import FeedbackTable, TraceTable


class Store:
    """All that is kept below one data folder. Make one with `open`."""

    def __init__(
        self,
        data: Path,
        control: ControlStore,
        *,
        journal: JournalOptions = DEFAULTS,
        tables: TablePlace = IN_DATA_FOLDER,
    ) -> None:
        self.data = data
        self.control = control
        self.tables = tables
        self.journal_options = journal
        self.journal_root = data / "journal"
        self.damaged_root = data / "journal-damaged"
        """Copies (hard links) of segments in which damage was found."""
        self.sealed_root = data / "journal-sealed"
        """Segments that are sealed and kept for a while (`journal.keep_sealed_hours`)."""
        self.summaries_root = data / "summaries"
        """Sums over files of the trace table: a cache, which may be removed."""
        self.datasets_root = data / "datasets"
        self.students_root = data / "students"
        self.evidence_root = data / "evidence"
        self.evaluations_root = data / "evaluations"
        """What certificates were computed from."""
        self.key_path = data / "keys" / "signing.key"

    @classmethod
    def open(
        cls,
        data: Path,
        control_url: str,
        *,
        journal: JournalOptions = DEFAULTS,
        tables: TablePlace = IN_DATA_FOLDER,
    ) -> Store:
        """Open the control database and the folder; both are made if they are not there.

        Raises:
            ConfigError: `control_url` cannot be understood.
            StoreError: the database or the folder cannot be used.
        """
        return cls(data, ControlStore.open(control_url), journal=journal, tables=tables)

    def close(self) -> None:
        """Close the control database."""
        self.control.close()

    def open_journal(self) -> JournalWriter:
        """A journal writer with a worker folder of its own; open one per process."""
        return JournalWriter(self.journal_root / new_id("wk"), self.journal_options)

    def journals(self) -> list[WorkerJournal]:
        """The journals of all workers, alive or dead."""
        from freehold.store.journal.read import worker_journals

        return worker_journals(self.journal_root, self.journal_options.keys)

    # Those below load heavy libraries, which a gateway worker does without: hence the late imports.

    @cached_property
    def traces(self) -> TraceTable:
        """The sealed traces."""
        from freehold.store.traces.tables import TraceTable

        return TraceTable(self._table_uri("traces"), self.messages, self.tables.options)

    @cached_property
    def messages(self) -> MessageTable:
        """The messages that sealed traces of episodes are made of."""
        from freehold.store.traces.messages import MessageTable

        return MessageTable(self._table_uri("messages"), self.tables.options)

    @cached_property
    def feedback(self) -> FeedbackTable:
        """The sealed feedback."""
        from freehold.store.traces.tables import FeedbackTable

        return FeedbackTable(self._table_uri("feedback"), self.tables.options)

    def _table_uri(self, name: str) -> str:
        return f"{self.tables.uri}/{name}" if self.tables.uri else str(self.data / name)

    @cached_property
    def keys(self) -> SigningKey:
        """The signing key of this installation, made on first use.

        Raises:
            StoreError: the key file cannot be made or read.
        """
        from freehold.store.keys import SigningKey

        return SigningKey.open(self.key_path)
