"""A trace table written before columns were added is read, appended to and compacted as if it had always had them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import polars as pl
import pytest
from deltalake import DeltaTable
from store_fixtures import make_trace, open_store

from freehold.domain.traces import Trace
from freehold.record.derive import Deriver
from freehold.record.sealer import Sealer
from freehold.store import Store, delta
from freehold.store.delta import DeltaLog
from freehold.store.read_traces import get_trace, read_traces
from freehold.store.rows import ADDED, TRACE_COLUMNS, trace_frame

OLD_COLUMNS = {name: kind for name, kind in TRACE_COLUMNS.items() if name not in ADDED}


def _old_table(folder: Path) -> tuple[Store, list[Trace]]:
    """A store whose table the schema's first version wrote: a chat request, and one passed through unread."""
    old = [make_trace(1), msgspec.structs.replace(make_trace(2), reason="passthrough", task="")]
    frame = trace_frame(old, [Deriver({})(trace) for trace in old]).select(*OLD_COLUMNS)
    DeltaLog(str(folder / "traces"), OLD_COLUMNS, indexed=("trace_id",)).append(frame, {"wk_old": 1})
    return open_store(folder), old


def test_an_old_table_is_read_before_anything_new_was_written(tmp_path: Path) -> None:
    store, old = _old_table(tmp_path)
    frame = read_traces(store, columns=("trace_id", "api", "cached", "cache_write_tokens"))
    assert sorted(frame.rows()) == sorted([(old[0].trace_id, "chat", False, 0), (old[1].trace_id, "other", False, 0)])
    assert frame.schema == {name: TRACE_COLUMNS[name] for name in frame.columns}
    assert get_trace(store, old[0].trace_id) == old[0]
    assert store.traces.scan().filter(pl.col("api") == "chat").collect().height == 1


def test_an_old_table_takes_new_rows_and_stays_whole_when_compacted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delta, "SMALL_FILES", 3)
    store, old = _old_table(tmp_path)
    for cached in (True, False):
        journal = store.open_journal()
        journal.append(msgspec.structs.replace(make_trace(3), api="messages", cached=cached))
        journal.close()
        Sealer(store, {}).seal_once()
    frame = read_traces(store)
    assert frame.schema == TRACE_COLUMNS
    assert frame.get_column("api").to_list() == ["chat", "other", "messages", "messages"]
    assert frame.get_column("cached").to_list() == [False, False, True, False]
    assert len(DeltaTable(store.traces.uri).file_uris()) == 1, "the last round compacted old and new files into one"
    assert get_trace(store, old[0].trace_id) == old[0]
    assert store.traces.sealed_position("wk_old") == 1
