"""Messages of episodes lie in the store once, and readers see whole requests."""

from __future__ import annotations

import msgspec
import polars as pl
from store_fixtures import make_trace
from store_runs import agent_run
from table_fixtures import Opener

from freehold.domain.traces import Trace
from freehold.record.derive import Deriver
from freehold.record.sealer import Sealer
from freehold.store import Store
from freehold.store.traces.messages import drop_unreferenced
from freehold.store.traces.read import get_trace, read_traces


def _journal(store: Store, traces: list[Trace]) -> None:
    writer = store.open_journal()
    for trace in traces:
        writer.append(trace)
    writer.close()


def _seen(store: Store) -> dict[str, bytes]:
    return dict(read_traces(store, columns=("trace_id", "request")).iter_rows())


def test_a_run_sent_again_and_again_is_stored_once_and_read_whole(open_stores: Opener) -> None:
    store = open_stores()
    run = agent_run("run-1", agents=3, turns=4)
    other = agent_run("run-'2", agents=1, turns=2)  # the same texts in another episode
    plain = [make_trace(1), msgspec.structs.replace(make_trace(2), episode="run-1", request=b"not JSON")]
    _journal(store, [*run[:5], *plain])
    sealer = Sealer(store, {})
    sealer.seal_once()
    _journal(store, run[5:])
    sealer.seal_once()  # remembers what it has stored
    _journal(store, other)
    Sealer(store, {}).seal_once()  # another one looks it up
    wanted = {trace.trace_id: trace.request for trace in [*run, *other, *plain]}
    assert _seen(store) == wanted
    assert all(get_trace(store, trace.trace_id) == trace for trace in (run[-1], other[-1], *plain))
    messages = store.messages.scan().collect()
    assert messages.unique(["episode", "digest"]).height == messages.height
    pieces = 1 + 3 + 3 * 2 * 3 + 4  # the instructions, first messages, later ones of 3 agents, tools
    assert messages.filter(pl.col("episode") == "run-1").height == pieces
    stored = store.traces.snapshot().stored().filter(pl.col("request_parts").is_not_null()).collect()
    assert stored.height == len(run) + len(other)
    assert int(stored["request"].bin.size().max()) < 150 < min(len(trace.request) for trace in run)  # type: ignore[arg-type]


def test_reading_goes_on_while_the_tail_is_not_sealed(open_stores: Opener) -> None:
    store = open_stores()
    run = agent_run("run-1", agents=2, turns=3)
    _journal(store, run[:3])
    Sealer(store, {}).seal_once()
    _journal(store, run[3:])
    rows = read_traces(store, columns=("trace_id", "request", "episode"), derive=Deriver({}))
    assert rows.rows() == [(trace.trace_id, trace.request, "run-1") for trace in run]


def test_filters_and_bodies_go_together(open_stores: Opener) -> None:
    store = open_stores()
    run = agent_run("run-1", agents=2, turns=3)
    _journal(store, [*run, *agent_run("run-2", agents=2, turns=3, seed=5)])
    Sealer(store, {}).seal_once()
    wanted = run[3]
    scan = store.traces.scan()
    found = scan.filter(pl.col("trace_id") == wanted.trace_id).select("request").collect()
    assert found.rows() == [(wanted.request,)]
    tail = scan.filter(pl.col("request").bin.contains(b"not in there")).collect()
    assert tail.height == 0
    newest = scan.sort("at_ns", descending=True).head(2).select("trace_id", "request").collect()
    assert len({body for _, body in newest.iter_rows()}) == 2
    assert set(scan.collect_schema()) == set(read_traces(store).columns)


def test_messages_go_with_the_last_trace_that_refers_to_them(open_stores: Opener) -> None:
    store = open_stores()
    run, other = agent_run("run-1", agents=2, turns=2), agent_run("run-2", agents=1, turns=2)
    _journal(store, [*run, *other])
    sealer = Sealer(store, {})
    sealer.seal_once()
    before = store.messages.scan().collect().height
    mine = [trace.trace_id for trace in run if trace.agent == "agent-0"]
    assert store.traces.delete(pl.col("trace_id").is_in(mine)) == len(mine)
    gone = drop_unreferenced(store, ["run-1"])
    assert gone == 3  # what only agent-0 said: its task, an answer, and what came back
    assert store.messages.scan().collect().height == before - gone
    store.traces.purge()
    store.messages.purge()
    left = {trace.trace_id: trace.request for trace in [*run, *other] if trace.trace_id not in mine}
    assert _seen(store) == left
    late = [trace for trace in run if trace.agent == "agent-0"]
    _journal(store, late)  # the same messages come again: the sealer must not think that it has them
    sealer.seal_once()
    assert _seen(store) == left | {trace.trace_id: trace.request for trace in late}
    assert drop_unreferenced(store, []) == 0
