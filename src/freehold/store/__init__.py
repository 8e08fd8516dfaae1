"""Everything that is kept: journal segments, the trace table, the control database, students' files.

Public names: `Store` (all of it below one data folder), `JournalWriter`, `ControlStore`, `exclusive`. Importing this
loads neither polars nor deltalake: a gateway worker needs only the journal and the control store. The rest lives in
modules of its own: `journal/`, `control/`, `traces/` (the sealed tables), `artifacts`, `evidence`, `keys`.
"""

from freehold.store.control.control import ControlStore
from freehold.store.journal.writer import JournalWriter
from freehold.store.locks import exclusive
from freehold.store.store import Store

__all__ = ["ControlStore", "JournalWriter", "Store", "exclusive"]
