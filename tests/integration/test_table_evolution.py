"""A trace table written before columns were added is read, appended to and compacted as if it had always had them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import polars as pl
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.schema import Field, PrimitiveType
from store_fixtures import make_trace, open_store

from freehold.domain.errors import Conflict, StoreError
from freehold.domain.traces import Trace
from freehold.record.derive import Deriver
from freehold.record.sealer import Sealer
from freehold.store import Store
from freehold.store.traces import delta
from freehold.store.traces.read import get_trace, read_traces
from freehold.store.traces.rewrite import replace_files
from freehold.store.traces.rows import ADDED, SCHEMA_VERSION, TRACE_COLUMNS, trace_frame

LATER = {3: {"terms"}, 2: {"agent", "linked", "subject", "source", "terms"}, 1: set(ADDED)}
"""Version of the rows → columns that came after it."""


@pytest.fixture(params=[1, 2, 3])
def old_store(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Store, list[Trace]]:
    """A store whose table an earlier release wrote: a chat request, and one passed through unread."""
    old = [make_trace(1), msgspec.structs.replace(make_trace(2), api="other", reason="passthrough", task="")]
    columns = [name for name in TRACE_COLUMNS if name not in LATER[request.param]]
    rows = trace_frame(old, [Deriver({})(trace) for trace in old]).with_columns(schema_version=request.param)
    settings = {"delta.dataSkippingStatsColumns": "trace_id,at_ns,task,kind,of"}
    write_deltalake(
        tmp_path / "traces",
        rows.select(columns).with_columns(pl.col("schema_version").cast(pl.Int64)),
        configuration=settings,
        commit_properties=CommitProperties(app_transactions=[Transaction("wk_old", 1)]),
    )
    return open_store(tmp_path), old


def test_an_old_table_is_read_before_anything_new_was_written(old_store: tuple[Store, list[Trace]]) -> None:
    store, old = old_store
    frame = read_traces(store, columns=("trace_id", "api", "cached", "cache_write_tokens"))
    assert sorted(frame.rows()) == sorted([(old[0].trace_id, "chat", False, 0), (old[1].trace_id, "other", False, 0)])
    assert frame.schema == {name: TRACE_COLUMNS[name] for name in frame.columns}
    assert get_trace(store, old[0].trace_id) == old[0]
    assert store.traces.scan().filter(pl.col("api") == "chat").collect().height == 1


def test_an_old_table_takes_new_rows_and_stays_whole_when_compacted(
    old_store: tuple[Store, list[Trace]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delta, "SMALL_FILES", 3)
    store, old = old_store
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
    assert store.traces.delete(pl.col("source") == "") == 4, "a condition sees what old rows hold, too"


def _seal(store: Store, *traces: Trace) -> None:
    journal = store.open_journal()
    for trace in traces:
        journal.append(trace)
    journal.close()
    Sealer(store, {}).seal_once()


def test_columns_of_others_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A column that this release does not know, at a version that it does: somebody's own notes."""
    monkeypatch.setattr(delta, "SMALL_FILES", 2)
    store = open_store(tmp_path)
    _seal(store, make_trace(1))
    table = DeltaTable(store.traces.uri)
    table.alter.add_columns([Field("note", PrimitiveType("string"))])
    noted = store.traces.snapshot().stored().collect().with_columns(note=pl.lit("mine"), trace_id=pl.lit("tr_00000001"))
    write_deltalake(DeltaTable(store.traces.uri), noted, mode="append")
    _seal(store, make_trace(2))
    assert len(DeltaTable(store.traces.uri).file_uris()) == 1
    assert store.traces.delete(pl.col("trace_id") == "tr_ffffffff") == 0
    assert store.traces.delete(pl.col("request").bin.contains(b"request 2")) == 1
    notes = store.traces.scan().select("trace_id", "note").collect()
    assert sorted(notes["note"].to_list(), key=str) == [None, "mine"] and notes.height == 2
    assert read_traces(store).schema == TRACE_COLUMNS


def test_a_newer_releases_table_is_read_and_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(tmp_path)
    with monkeypatch.context() as newer:
        newer.setattr("freehold.store.traces.rows.SCHEMA_VERSION", SCHEMA_VERSION + 1)
        newer.setattr(store.traces, "_version", SCHEMA_VERSION + 1)
        _seal(store, made := make_trace(1))
    journal = store.open_journal()
    journal.append(waiting := make_trace(2))
    journal.close()
    for write in (
        Sealer(store, {}).seal_once,
        lambda: store.traces.delete(pl.lit(True)),
        lambda: store.traces.change(pl.lit(True), lambda rows: rows),
    ):
        with pytest.raises(StoreError, match=f"newer release.*version {SCHEMA_VERSION + 1}"):
            write()
    seen = read_traces(store, derive=Deriver({}))["trace_id"].to_list()
    assert seen == [made.trace_id, waiting.trace_id], "it waits in its journal"


def test_what_two_rewrite_at_once_is_rewritten_once(tmp_path: Path) -> None:
    """deltalake would take both commits, and rows that one deleted would come back with the other's files."""
    store = open_store(tmp_path)
    _seal(store, first := make_trace(1), make_trace(2))
    rows = store.traces.snapshot().stored().collect()
    file = store.traces.snapshot().files()
    stale = store.traces._files.write(rows, new=False)  # a merge read the file …
    assert store.traces.delete(pl.col("trace_id") == first.trace_id) == 1  # … and then somebody was forgotten
    with pytest.raises(Conflict, match="rewrote"):
        replace_files(store.traces._open, dict(file.select("path", "size_bytes").iter_rows()), [stale], new=False)
    assert store.traces.scan().collect().height == 1


def test_appends_go_on_while_files_are_rewritten(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    _seal(store, *(made := [make_trace(number) for number in range(3)]))
    late = make_trace(9)

    def change(rows: pl.DataFrame) -> pl.DataFrame:
        _seal(store, late)  # between reading and committing
        return rows.with_columns(response=pl.lit(b"", pl.Binary))

    assert store.traces.change(pl.col("trace_id") == made[1].trace_id, change) == 1
    found = dict(read_traces(store, columns=("trace_id", "response")).iter_rows())
    assert set(found) == {trace.trace_id for trace in (*made, late)}
    assert found[made[1].trace_id] == b"" and found[late.trace_id] == late.response
    before = set(DeltaTable(store.traces.uri).file_uris())
    assert store.traces.purge() == 1
    assert {str(path) for path in (tmp_path / "traces").glob("*.parquet")} == before
