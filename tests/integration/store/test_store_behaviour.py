"""One behaviour, whatever holds the tables (this disk, an S3 endpoint) and the control store (SQLite, PostgreSQL)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import polars as pl
import pytest
from store_fixtures import make_feedback, make_trace
from store_runs import agent_run

from freehold.config import UpstreamSettings
from freehold.config.settings import Settings
from freehold.config.store_settings import StoreSettings, check_store
from freehold.domain.errors import ConfigError, Conflict, StoreError
from freehold.domain.places import TablePlace
from freehold.domain.tasks import Task
from freehold.domain.traces import Record
from freehold.ledger import ledger
from freehold.record.derive import Deriver
from freehold.record.sealer import Sealer
from freehold.record.table_place import table_place
from freehold.store import Store
from freehold.store.traces import delta
from freehold.store.traces.read import get_trace, read_feedback, read_traces

UPSTREAMS = {"up": UpstreamSettings(base_url="http://127.0.0.1:1/v1")}


def _journal(store: Store, *records: Record) -> None:
    writer = store.open_journal()
    for record in records:
        writer.append(record)
    writer.close()


def test_the_whole_way_of_a_record(
    tmp_path: Path, place: TablePlace, control_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delta, "SMALL_FILES", 2)
    store = Store.open(tmp_path, control_url, tables=place)
    store.control.tasks.put(Task(task_id="task_test", name="Test"))
    run = agent_run("run-1", agents=2, turns=2)
    plain = [make_trace(number) for number in range(6)]
    judged, missed = make_feedback(plain[0].trace_id), make_feedback("tr_00000000")
    _journal(store, *run, *plain[:3], judged, missed)
    assert Sealer(store, UPSTREAMS).seal_once().traces == 7
    _journal(store, *plain[3:5])
    assert Sealer(store, UPSTREAMS).seal_once().traces == 2
    _journal(store, plain[5])
    derive = Deriver(UPSTREAMS)
    everything = sorted([*run, *plain], key=lambda trace: trace.at_ns)
    seen = read_traces(store, columns=("trace_id", "request"), derive=derive)
    assert seen.rows() == [(trace.trace_id, trace.request) for trace in everything]
    newest = read_traces(store, derive=derive, newest_first=True, limit=4, columns=("trace_id",))
    assert newest["trace_id"].to_list() == [trace.trace_id for trace in everything[:-5:-1]]
    assert read_traces(store, episode="run-1")["request"].to_list() == [trace.request for trace in run]
    assert get_trace(store, run[2].trace_id) == run[2] and get_trace(store, "tr_00000000") is None
    assert read_feedback(store, trace_ids=[plain[0].trace_id])["feedback_id"].to_list() == [judged.feedback_id]
    books = ledger(store, derive=derive)
    assert (books.total.requests, books.tasks[0].name) == (10, "Test")
    assert store.traces.snapshot().files().height == 1, "small files were merged"
    assert store.traces.delete(pl.col("trace_id") == plain[1].trace_id) == 1
    assert store.traces.purge() >= 1
    assert get_trace(store, plain[1].trace_id) is None and get_trace(store, run[3].trace_id) == run[3]
    again = Store.open(tmp_path, control_url, tables=place)  # as another process sees it
    assert read_traces(again).height == 8
    again.traces.append(read_traces(again).head(1), {"wk_x": 5})
    with pytest.raises(Conflict, match="sealed beyond"):
        store.traces.append(read_traces(again).head(1), {"wk_x": 5})
    again.close()
    store.close()


def test_a_store_that_is_not_there_says_so_without_its_secret(
    tmp_path: Path, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KEY_ID", "test")
    monkeypatch.setenv("TEST_SECRET", "hush-hush-hush")
    named = StoreSettings(
        traces="s3://no-such-bucket/x/",
        endpoint=s3_endpoint,
        allow_http=True,
        region="us-east-1",
        access_key_env="TEST_KEY_ID",
        secret_key_env="TEST_SECRET",
    )
    place = table_place(named)
    assert place.uri == "s3://no-such-bucket/x" and "hush" not in repr(place)
    store = Store.open(tmp_path, f"sqlite:///{tmp_path / 'control.sqlite'}", tables=place)
    with pytest.raises(StoreError, match="no-such-bucket") as caught:
        read_traces(store)
    assert "hush" not in str(caught.value)
    monkeypatch.delenv("TEST_SECRET")
    with pytest.raises(ConfigError, match=r"TEST_SECRET.*store\.secret_key_env"):
        table_place(named)
    store.close()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"traces": "bucket/prefix"}, "no place in an object store"),
        ({"traces": "s3://"}, "no place in an object store"),
        ({"endpoint": "ftp://x"}, "starts with https"),
        ({"endpoint": "http://127.0.0.1:9000"}, "without encryption"),
        ({"endpoint": "http://minio.example.org", "allow_http": True}, "without encryption"),
        ({"access_key_env": "A"}, "belong together"),
    ],
)
def test_places_that_cannot_work_are_refused(changes: dict[str, str | bool], message: str) -> None:
    settings = msgspec.convert({"traces": "s3://bucket", **changes}, StoreSettings)
    with pytest.raises(ConfigError, match=message):
        check_store("freehold.toml", settings)
    check_store("freehold.toml", Settings().store)


def test_two_sealers_over_one_table(tmp_path: Path, at_place: Callable[[str], TablePlace]) -> None:
    """Two hosts, each with its journals, seal into the same tables in turn, each unaware of the other."""
    place = at_place("shared")
    if not place.uri:
        place = TablePlace(str(tmp_path / "tables"))
    hosts = [Store.open(tmp_path / name, f"sqlite:///{tmp_path / name / 'c.sqlite'}", tables=place) for name in "ab"]
    sealers = [Sealer(store, {}) for store in hosts]
    run = agent_run("run-1", agents=2, turns=3)
    for number, trace in enumerate(run):
        _journal(hosts[number % 2], trace)
        sealers[number % 2].seal_once()
    for store in hosts:
        found = dict(read_traces(store, columns=("trace_id", "request")).iter_rows())
        assert found == {trace.trace_id: trace.request for trace in run}
        store.close()
