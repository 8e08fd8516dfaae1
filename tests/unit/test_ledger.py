"""Every dollar is in one place, rests on what it says it rests on, and breakdowns sum to the total."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.config import Price, UpstreamSettings
from freehold.domain.ids import new_id
from freehold.domain.tasks import Task
from freehold.domain.traces import Trace
from freehold.ledger import EstimateCheck, Line, Money, dollars, ledger
from freehold.ledger.accounts import COLUMNS, add_up
from freehold.record.derive import Deriver
from freehold.record.sealer import Sealer
from freehold.store import Store
from freehold.store.traces.rows import TRACE_COLUMNS

DAY = 86_400 * 10**9
MONDAY = int(datetime(2026, 3, 2, 8, tzinfo=UTC).timestamp()) * 10**9
UPSTREAMS = {"rented": UpstreamSettings(base_url="http://127.0.0.1:1/v1", prices={"big": Price(2.0, 10.0)})}
REQUEST = msgspec.json.encode({"model": "big", "messages": [{"role": "user", "content": "x" * 400}]})


def _response(tokens: tuple[int, int] | None) -> bytes:
    usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]} if tokens else None
    choices = [{"message": {"content": "card"}, "finish_reason": "stop"}]
    return msgspec.json.encode({"choices": choices, "usage": usage})


def _trace(tokens: tuple[int, int] | None = (100, 10), **changes: Any) -> Trace:
    trace = Trace(
        trace_id=new_id("tr"),
        at_ns=MONDAY,
        task="task_a",
        model="big",
        answered_by="rented/big",
        status=200,
        request=REQUEST,
        response=_response(tokens),
    )
    return msgspec.structs.replace(trace, **changes)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path, f"sqlite:///{tmp_path / 'control.sqlite'}")


def _append(store: Store, traces: list[Trace]) -> None:
    with closing(store.open_journal()) as journal:
        for trace in traces:
            journal.append(trace)


def _seal(store: Store, traces: list[Trace]) -> None:
    _append(store, traces)
    Sealer(store, UPSTREAMS).seal_once()


def test_hand_computed_books(store: Store) -> None:
    """100 tokens in and 10 out at $2 and $10 per million: 300,000 nano-dollars a request."""
    owned = _trace((90, 10), answered_by="student/st_1", owned=True, audited=True)
    tuesday = MONDAY + DAY
    _seal(
        store,
        [
            _trace(),
            _trace(None),  # 400 bytes in, 4 out, 4 bytes a token: 100 and 1: 210,000 assumed
            _trace(model="gpt-4o", answered_by="rented/gpt-4o", task="task_b", at_ns=tuesday),  # $2.50 and $10 listed
            _trace(model="mystery", answered_by="rented/mystery", task="task_b", at_ns=tuesday),  # no price known
            _trace(status=502, answered_by="", response=b"{}", at_ns=tuesday),
            owned,
            _trace(kind="audit", of=owned.trace_id),
            _trace((100, 5), kind="repeat", of="tr_00000000", at_ns=tuesday),
        ],
    )
    store.control.tasks.put(Task(task_id="task_a", name="Triage"))
    books = ledger(store)
    total = books.total
    assert (total.requests, total.failed, total.owned, total.unpriced) == (6, 1, 1, 1)
    assert (total.input_tokens, total.output_tokens, total.owned_tokens) == (490, 41, 100)
    assert total.spent == Money(measured=300_000, quoted=350_000, assumed=210_000)
    assert total.would_have == Money(assumed=280_000)
    assert (total.audits, total.repeats) == (Money(measured=300_000), Money(measured=250_000))
    assert total.saved == Money(measured=-550_000, assumed=280_000)
    assert total.saved.total == -270_000
    assert total.owned_share == 1 / 6
    assert total.owned_share_tokens == 100 / 531
    assert total.owned_share_dollars == 280_000 / (860_000 + 280_000)
    assert [(line.key, line.name, line.requests) for line in books.tasks] == [
        ("task_a", "Triage", 4),
        ("task_b",) * 2 + (2,),
    ]
    assert [(line.key, line.requests, line.saved.total) for line in books.days] == [
        ("2026-03-02", 3, -20_000),
        ("2026-03-03", 3, -250_000),
    ]
    assert {line.key: line.spent.total for line in books.models} == {"big": 510_000, "gpt-4o": 350_000, "mystery": 0}
    assert books.check == EstimateCheck(pairs=1, estimated=280_000, billed=300_000)


def test_a_ladder_of_rented_models_saves_what_it_moves_less_what_it_wastes(store: Store) -> None:
    """The small model costs a tenth: 30,000 nano-dollars where the big one costs 300,000."""
    upstreams = {"rented": UpstreamSettings("http://x/v1", prices={"big": Price(2.0, 10.0), "small": Price(0.2, 1.0)})}
    escalated = _trace(reason="uncertain")
    moved = _trace(reason="accepted", answered_by="rented/small")
    wasted = _trace(kind="rung", of=escalated.trace_id, answered_by="rented/small")
    asked = _trace(kind="shadow", of=escalated.trace_id, answered_by="rented/small")
    judged = _trace(kind="judge", model="small", answered_by="rented/small", request=b'{"model":"small"}')
    unheard = _trace(kind="judge", model="small", status=0, error="upstream_error: none", response=b"", answered_by="")
    _append(store, [escalated, moved, wasted, asked, judged, unheard, _trace(kind="audit", of=moved.trace_id)])
    total = ledger(store, derive=Deriver(upstreams)).total
    assert (total.requests, total.owned) == (2, 0)
    assert (total.spent, total.rungs, total.moved) == (
        Money(measured=300_000),
        Money(measured=30_000),
        Money(assumed=300_000),
    )
    assert (total.wasted, total.shadows, total.judges) == (Money(measured=30_000),) * 3
    assert total.audits == Money(measured=300_000) and total.unpriced == 0
    assert total.saved.total == 300_000 - 4 * 30_000 - 300_000
    assert total.owned_share_dollars == 0.0


def test_a_window_of_time_and_traces_that_are_not_sealed_yet(store: Store) -> None:
    _seal(store, [_trace(), _trace(at_ns=MONDAY + DAY)])
    assert ledger(store, MONDAY, MONDAY + DAY).total.requests == 1
    assert ledger(store, MONDAY + 1).total.spent == Money(measured=300_000)
    _append(store, [_trace(at_ns=MONDAY + DAY)])
    assert ledger(store).total.requests == 2
    assert ledger(store, derive=Deriver(UPSTREAMS)).total.requests == 3


def test_an_empty_store_has_an_empty_ledger(store: Store) -> None:
    books = ledger(store)
    assert books.total == Line(key="total", name="Total")
    assert (books.tasks, books.days, books.models) == ((), (), ())
    assert (books.total.owned_share, books.total.owned_share_tokens, books.total.owned_share_dollars) == (0, 0, 0)


ACCOUNTS = ("spent", "rungs", "would_have", "audits", "repeats", "wasted", "shadows", "judges")
_rows = st.lists(
    st.fixed_dictionaries(
        {
            "trace_id": st.uuids().map(str),
            "of": st.none(),
            "at_ns": st.integers(MONDAY - 3 * DAY, MONDAY + 3 * DAY),
            "kind": st.sampled_from(["request", "request", "audit", "repeat", "rung", "shadow", "judge"]),
            "reason": st.sampled_from(["accepted", "no-rung", "uncertain"]),
            "task": st.sampled_from(["task_a", "task_b", ""]),
            "model": st.sampled_from(["big", "small"]),
            "answered_by": st.sampled_from(["rented/big", ""]),
            "owned": st.booleans(),
            "status": st.sampled_from([0, 200, 429]),
            "input_tokens": st.integers(0, 10**6),
            "output_tokens": st.integers(0, 10**5),
            "tokens_source": st.sampled_from(["measured", "estimated", ""]),
            "cost_nanousd": st.integers(0, 10**12),
            "price_source": st.sampled_from(["config", "quoted", "owned"]),
            "incumbent_cost_nanousd": st.integers(0, 10**12),
            "incumbent_price_source": st.sampled_from(["config", "quoted"]),
        }
    ),
    max_size=30,
)


@settings(max_examples=50, deadline=None)
@given(_rows)
def test_every_breakdown_sums_to_the_total_and_no_dollar_is_lost(rows: list[dict[str, Any]]) -> None:
    frame = pl.DataFrame(rows, schema={name: TRACE_COLUMNS[name] for name in COLUMNS})
    books = add_up(frame, {})
    for breakdown in (books.tasks, books.days, books.models):
        for field in ("requests", "failed", "owned", "input_tokens", "output_tokens", "owned_tokens", "unpriced"):
            assert sum(getattr(line, field) for line in breakdown) == getattr(books.total, field)
        for account in (*ACCOUNTS, "moved", "saved"):
            assert sum((getattr(line, account) for line in breakdown), Money()) == getattr(books.total, account)
    counted = sum(getattr(books.total, account).total for account in ACCOUNTS)
    there = sum(row["incumbent_cost_nanousd" if _is_owned(row) else "cost_nanousd"] for row in rows)
    assert counted == there


def _is_owned(row: dict[str, Any]) -> bool:
    return row["owned"] and row["kind"] == "request"


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (0, "$0.00"),
        (1_234_567_890_123, "$1,234.57"),
        (1_005_000_000, "$1.01"),
        (999_999_999, "$1.00"),
        (999_499_999, "$0.999"),
        (123_456_789, "$0.123"),
        (50_000_000, "$0.0500"),
        (1_234_567, "$0.00123"),
        (270_000, "$0.000270"),
        (7, "$0.000000007"),
        (-2_500_000_000, "−$2.50"),
        (-1_234_567, "−$0.00123"),
    ],
)
def test_amounts_are_shown_to_the_cent_or_finer(nano: int, text: str) -> None:
    assert dollars(nano) == text
