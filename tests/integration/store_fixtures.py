"""Records and stores for the tests of store and record."""

from __future__ import annotations

import time
from pathlib import Path

from freehold.domain.ids import new_id
from freehold.domain.traces import Feedback, Record, Trace
from freehold.store import Store
from freehold.store.journal.read import worker_journals

RESPONSE = (
    b'{"model":"m-1","choices":[{"index":0,"message":{"content":"card_arrival"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":40,"completion_tokens":2}}'
)


def make_trace(number: int = 0, size: int = 200) -> Trace:
    """A trace whose request holds `number` and about `size` bytes."""
    text = (f"request {number} " + "lorem ipsum dolor sit amet " * (size // 27 + 1))[: max(size, 20)]
    return Trace(
        trace_id=new_id("tr"),
        at_ns=time.time_ns(),
        task="task_test",
        model="m",
        answered_by="up/m",
        status=200,
        request=f'{{"model":"m","messages":[{{"role":"user","content":"{text}"}}]}}'.encode(),
        response=RESPONSE,
    )


def make_feedback(trace_id: str = "tr_00000000") -> Feedback:
    """A judgement of that trace."""
    return Feedback(feedback_id=new_id("fb"), trace_id=trace_id, at_ns=time.time_ns(), score=0.5)


def open_store(folder: Path) -> Store:
    """A store in `folder` on SQLite."""
    return Store.open(folder, f"sqlite:///{folder / 'control.sqlite'}")


def journalled(root: Path) -> list[Record]:
    """Every intact record in the journals below `root`."""
    return [record for journal in worker_journals(root) for _, record in journal.records(0)]


def sealed_ids(store: Store) -> list[str]:
    """The ids of all sealed traces, in any order, doubles included."""
    return store.traces.scan().select("trace_id").collect().get_column("trace_id").to_list()
