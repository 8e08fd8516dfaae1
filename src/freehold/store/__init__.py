"""Everything that is kept: journal segments, the trace table, the control database, students' files.

Public names: `Store` (all of it below one data folder), `JournalWriter`, `ControlStore`, `exclusive`. Importing this
loads neither polars nor deltalake: a gateway worker needs only the journal and the control store. The rest lives in
modules of its own: `traces_table`, `read_traces`, `journal_read`, `artifacts`, `keys`.
"""

from freehold.store.control import ControlStore
from freehold.store.journal import JournalWriter
from freehold.store.locks import exclusive
from freehold.store.store import Store

__all__ = ["ControlStore", "JournalWriter", "Store", "exclusive"]
