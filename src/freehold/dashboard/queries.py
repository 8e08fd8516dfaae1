"""What pages ask of the sealed trace table: aggregates and a screenful of rows, never whole tables. Needs polars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec
import polars as pl

from freehold.domain.chat import student_input
from freehold.domain.errors import RequestError
from freehold.domain.traces import Api, Kind, Trace
from freehold.store.traces.delta import collect
from freehold.store.traces.derived import Derived
from freehold.store.traces.newest import newest
from freehold.store.traces.rows import DERIVED_FIELDS, TRACE_COLUMNS, trace_of
from freehold.store.traces.summaries import summed
from freehold.upstreams.translate import chat_request

if TYPE_CHECKING:
    from freehold.store import Store

SECOND = 1_000_000_000
HOUR = 3600 * SECOND
BUCKETS = 60
WIDTHS = tuple(
    seconds * SECOND
    for seconds in (1, 2, 5, 10, 30, 60, 300, 900, 3600, 3 * 3600, 6 * 3600, 86_400, 7 * 86_400, 30 * 86_400)
)
"""Widths a bucket of the chart may have, in nanoseconds."""
PREVIEW = 140
_HOURS = "requests-by-hour-2"
"""The name of the sums that are kept: count up whenever they come to mean something else."""


_CALLERS = (pl.col("kind") == "request") & (pl.col("source") == "")
"""Requests that passed through the gateway: what was imported moved nowhere."""


class Bucket(NamedTuple):
    """Callers' requests in [at_ns, at_ns + width_ns)."""

    at_ns: int
    requests: int
    owned: int


class Series(NamedTuple):
    """Buckets without gaps, oldest first; at most about `BUCKETS` unless the traffic spans many years."""

    width_ns: int
    buckets: tuple[Bucket, ...]


class Row(NamedTuple):
    """One line of a list of traces."""

    trace_id: str
    at_ns: int
    kind: str
    task: str
    answered_by: str
    owned: bool
    audited: bool
    reason: str
    status: int
    error: str | None
    duration_us: int
    input_tokens: int
    output_tokens: int
    cost_nanousd: int
    price_source: str
    asked: str
    """The beginning of what was asked."""
    answer: str


class Wanted(NamedTuple):
    """Which traces to list."""

    task: str = ""
    by: Literal["", "owned", "rented"] = ""
    kind: Kind = "request"
    errors: bool = False
    before_ns: int = 0
    """Only older ones; 0: from the newest."""


class Whole(NamedTuple):
    """A trace with what is derived from it."""

    trace: Trace
    derived: Derived
    sealed: bool


_LISTED = list(Row._fields[:-2])
_WHOLE = [name for name in TRACE_COLUMNS if name != "schema_version"]


def owned_over_time(store: Store, since_ns: int | None, task: str | None = None) -> Series:
    """Requests and owned ones over time, in buckets that fit the span there is.

    Raises:
        StoreError: the table cannot be read.
    """
    hours = summed(store.traces.snapshot(), store.summaries_root, _HOURS, _by_hour, since_ns=since_ns)
    if task is not None:
        hours = hours.filter(pl.col("task") == task)
    first, last = hours.select(first=pl.col("first").min(), last=pl.col("last").max()).row(0)
    if first is None:
        return Series(WIDTHS[0], ())
    width = next((width for width in WIDTHS if (last - first) // width < BUCKETS), WIDTHS[-1])
    if width % HOUR == 0:
        counted = hours.lazy()
        start = pl.col("hour") * HOUR // width * width
        sums = (pl.col("requests").sum(), pl.col("owned").sum())
    else:
        counted = _requests(store.traces.scan(), first, task)
        start = pl.col("at_ns") // width * width
        sums = (pl.len().alias("requests"), pl.col("owned").sum())
    groups = collect(counted.group_by(start.alias("start")).agg(sums))
    found = {at: Bucket(at, requests, owned) for at, requests, owned in groups.iter_rows()}
    starts = range(first // width * width, last + 1, width)
    return Series(width, tuple(found.get(at, Bucket(at, 0, 0)) for at in starts))


def _by_hour(rows: pl.LazyFrame) -> pl.LazyFrame:
    at = pl.col("at_ns")
    sums = {"requests": pl.len(), "owned": pl.col("owned").sum(), "first": at.min(), "last": at.max()}
    return rows.filter(_CALLERS).group_by((at // HOUR).alias("hour"), "task").agg(**sums)


def _requests(rows: pl.LazyFrame, since_ns: int, task: str | None) -> pl.LazyFrame:
    wanted = _CALLERS & (pl.col("at_ns") >= since_ns)
    return rows.filter(wanted if task is None else wanted & (pl.col("task") == task))


def list_traces(store: Store, wanted: Wanted, limit: int) -> list[Row]:
    """The newest `limit` sealed traces that are wanted, newest first.

    Raises:
        StoreError: the table cannot be read.
    """
    columns = (*_LISTED, "request", "api", "answer")
    rows = newest(store.traces.snapshot(), _condition(wanted), columns, limit)
    return [
        Row._make((*listed, _preview(_asked(request, api)), _preview(answer or "")))
        for *listed, request, api, answer in rows.iter_rows()
    ]


def whole_trace(store: Store, trace_id: str) -> Whole | None:
    """A sealed trace of this id with its derived columns, or None.

    Raises:
        StoreError: the table cannot be read.
    """
    found = collect(store.traces.scan().filter(pl.col("trace_id") == trace_id).head(1).select(_WHOLE))
    return _whole(found) if found.height else None


def asked_about(store: Store, trace: Trace) -> list[Whole]:
    """The audits and repeats of a trace, oldest first.

    Raises:
        StoreError: the table cannot be read.
    """
    later = (pl.col("of") == trace.trace_id) & (pl.col("at_ns") >= trace.at_ns)
    found = collect(store.traces.scan().filter(later).sort("at_ns").head(10).select(_WHOLE))
    return [_whole(found.slice(index, 1)) for index in range(found.height)]


def _whole(row: pl.DataFrame) -> Whole:
    values = row.row(0, named=True)
    derived = msgspec.convert({name: values[name] for name in DERIVED_FIELDS}, Derived)
    return Whole(trace_of(values), derived, sealed=True)


def _condition(wanted: Wanted) -> pl.Expr:
    condition = pl.col("kind") == wanted.kind
    if wanted.task:
        condition &= pl.col("task") == wanted.task
    if wanted.by:
        condition &= pl.col("owned") == (wanted.by == "owned")
    if wanted.errors:
        condition &= pl.col("error").is_not_null() | (pl.col("status") >= 400)
    if wanted.before_ns:
        condition &= pl.col("at_ns") < wanted.before_ns
    return condition


def _asked(request: bytes, api: Api) -> str:
    try:
        return student_input(chat_request(request, api)) or ""
    except RequestError:
        return ""


def _preview(text: str) -> str:
    line = " ".join(text[: 4 * PREVIEW].split())
    return line if len(line) <= PREVIEW else line[:PREVIEW] + "…"
