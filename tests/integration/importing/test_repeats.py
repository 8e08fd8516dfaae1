"""An exchange that came from outside is in the table once, however often and by whomever it was written down."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from freehold.domain.traces import Trace
from freehold.record.derive import Deriver
from freehold.record.sealer import Sealer
from freehold.store import Store
from freehold.store.traces.read import read_traces


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "data", f"sqlite:///{tmp_path / 'control.sqlite'}")
    yield opened
    opened.close()


def append(store: Store, *traces: Trace) -> None:
    journal = store.open_journal()
    for trace in traces:
        journal.append(trace)
    journal.close()


def test_what_comes_from_outside_again_is_dropped_when_sealed_and_when_read(store: Store) -> None:
    foreign = [Trace(trace_id=f"tr_{number:032x}", at_ns=number, source="otlp") for number in range(10, 15)]
    own = Trace(trace_id=f"tr_{99:032x}", at_ns=12)
    append(store, *foreign[:3], own)
    append(store, *foreign[:2], foreign[3], foreign[3])
    ids = [trace.trace_id for trace in (*foreign[:3], own, foreign[3])]

    def read() -> list[str]:
        return sorted(read_traces(store, derive=Deriver({})).get_column("trace_id").to_list())

    assert read() == sorted(ids)
    assert Sealer(store, {}).seal_once().traces == 5
    append(store, foreign[4], foreign[1], foreign[4])
    assert read() == sorted([*ids, foreign[4].trace_id])
    assert Sealer(store, {}).seal_once().traces == 1
    assert read() == sorted([*ids, foreign[4].trace_id])
    assert read_traces(store).height == 6
