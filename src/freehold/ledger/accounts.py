"""Adds up the trace table. Needs polars."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl

from freehold.domain.traces import Trace
from freehold.ledger.money import EstimateCheck, Ledger, Line, Money
from freehold.store.journal.tail import Derive, beyond, unsealed_traces
from freehold.store.traces.summaries import Summarise, summed

if TYPE_CHECKING:
    from freehold.store import Store

COLUMNS = (
    "trace_id",
    "of",
    "at_ns",
    "kind",
    "task",
    "model",
    "answered_by",
    "owned",
    "audited",
    "reason",
    "status",
    "input_tokens",
    "output_tokens",
    "tokens_source",
    "cost_nanousd",
    "price_source",
    "incumbent_cost_nanousd",
    "incumbent_price_source",
    "key",
)
_BASES = ("measured", "quoted", "assumed")
_COUNTS = ("requests", "failed", "owned", "input_tokens", "output_tokens", "owned_tokens", "unpriced")
_BACKGROUND = {"audit": "audits", "repeat": "repeats", "rung": "wasted", "shadow": "shadows", "judge": "judges",
               "drill": "audits"}  # fmt: skip
"""Kind of trace → its account."""
_DAY_NS = 86_400 * 1_000_000_000
_WAYS = ("account", "basis", "request", "has_moved", "answered")
_FIGURES = ("input_tokens", "output_tokens", "nano", "moved")
_SUMS, _PAIRS = "ledger-2", "ledger-pairs-2"
"""Names of the sums that are kept (`store.traces.summaries`): count up whenever they come to mean something else."""
_HERE = pl.col("source") == ""
"""It passed through the gateway: what was imported is in somebody else's books."""
_AMOUNTS = ("spent", "rungs", "would_have", *dict.fromkeys(_BACKGROUND.values()))


def ledger(
    store: Store, since_ns: int | None = None, until_ns: int | None = None, *, derive: Derive | None = None
) -> Ledger:
    """Every dollar of traces with since_ns ≤ at_ns < until_ns that passed through the gateway.

    What was asked in the background counts for the time it was asked at, for the task and the model it was about.

    Args:
        store: where the traces are.
        since_ns: earliest, unix nanoseconds; None: from the beginning.
        until_ns: end, unix nanoseconds, not included; None: until now.
        derive: `freehold.record.derive.Deriver`, to count traces that are not sealed yet too; None: sealed ones only.

    Raises:
        StoreError: the table, a journal or the control store cannot be read.
    """
    tail = _unsealed(store, since_ns, until_ns, derive) if derive is not None else None
    table = store.traces.snapshot()
    sums, pairs = (
        summed(table, store.summaries_root, name, partial(_here, summarise), since_ns=since_ns, until_ns=until_ns)
        for name, summarise in ((_SUMS, _summarise), (_PAIRS, _billed_or_estimated))
    )
    if tail is not None:
        fresh = beyond(table, tail).lazy()
        sums = pl.concat([sums, _summarise(fresh).collect()])
        pairs = pl.concat([pairs, _billed_or_estimated(fresh).collect()])
    names = {task.task_id: task.name for task in store.control.tasks.list()}
    keys = {key.key_id: key.name for key in store.control.access.keys.list()}
    return _ledger(sums, _check(pairs), names, keys, since_ns, until_ns)


def add_up(
    traces: pl.DataFrame,
    task_names: Mapping[str, str],
    since_ns: int | None = None,
    until_ns: int | None = None,
    *,
    key_names: Mapping[str, str] | None = None,
) -> Ledger:
    """The ledger of these rows (`COLUMNS`); `task_names` and `key_names` say what people call an id."""
    rows = traces.lazy()
    check = _check(_billed_or_estimated(rows).collect())
    return _ledger(_summarise(rows).collect(), check, task_names, key_names or {}, since_ns, until_ns)


def _unsealed(store: Store, since_ns: int | None, until_ns: int | None, derive: Derive) -> pl.DataFrame:
    def wanted(trace: Trace) -> bool:
        inside = (since_ns is None or trace.at_ns >= since_ns) and (until_ns is None or trace.at_ns < until_ns)
        return inside and not trace.source

    return unsealed_traces(store, derive, COLUMNS, wanted)


def _here(summarise: Summarise, rows: pl.LazyFrame) -> pl.LazyFrame:
    return summarise(rows.filter(_HERE))


def _summarise(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Sums of what goes the same way: `by` which breakdown, of which `group` in it, into which account."""
    accounts = _with_accounts(rows)
    groups = {
        "day": (pl.col("at_ns") // _DAY_NS).cast(pl.String),
        "task": pl.col("task"),
        "key": pl.col("key").fill_null(""),
        "model": pl.col("model"),
    }
    figures = [pl.len().alias("rows"), *(pl.col(name).sum() for name in _FIGURES)]
    return pl.concat(
        accounts.group_by(group.alias("group"), *_WAYS).agg(figures).select(pl.lit(by).alias("by"), pl.all())
        for by, group in groups.items()
    )


def _with_accounts(traces: pl.LazyFrame) -> pl.LazyFrame:
    """Each row with the account it belongs to, its nano-dollars, and what they rest on."""
    request = pl.col("kind") == "request"
    owned = pl.col("owned") & request
    moved = ~pl.col("owned") & request & (pl.col("reason") == "accepted").fill_null(False)
    account = (
        pl.when(~request)
        .then(pl.col("kind").replace_strict(_BACKGROUND, default=None, return_dtype=pl.String))
        .when(owned)
        .then(pl.lit("would_have"))
        .when(moved)
        .then(pl.lit("rungs"))
        .otherwise(pl.lit("spent"))
    )
    source = pl.when(owned).then("incumbent_price_source").otherwise("price_source")
    basis = (
        pl.when(source == "none")
        .then(pl.lit("unknown"))
        .when(pl.col("tokens_source") == "estimated")
        .then(pl.lit("assumed"))
        .when(source == "quoted")
        .then(pl.lit("quoted"))
        .otherwise(pl.lit("measured"))
    )
    return traces.with_columns(
        account=account,
        basis=basis,
        # Counted in the tokens of the model that answered: the incumbent's would have been others.
        moved=pl.when(moved & (pl.col("incumbent_price_source") != "none")).then("incumbent_cost_nanousd").otherwise(0),
        nano=pl.when(owned).then("incumbent_cost_nanousd").otherwise("cost_nanousd"),
        answered=(pl.col("answered_by") != "") & pl.col("status").is_between(200, 399),
        request=request,
        has_moved=owned & (pl.col("reason") != "drill"),  # a drill says nothing of what has moved
    )


def _ledger(
    sums: pl.DataFrame,
    check: EstimateCheck,
    task_names: Mapping[str, str],
    key_names: Mapping[str, str],
    since_ns: int | None,
    until_ns: int | None,
) -> Ledger:
    grouped = sums.group_by("by", "group").agg(_line_sums()).sort("group")
    total = sums.filter(pl.col("by") == "task").select(_line_sums()).row(0, named=True)
    return Ledger(
        since_ns=since_ns,
        until_ns=until_ns,
        total=_line("total", "Total", total),
        tasks=_by_requests(_lines(grouped, "task", task_names)),
        days=tuple(sorted(_lines(grouped, "day", {}), key=lambda line: line.key)),
        keys=_by_requests(_lines(grouped, "key", {"": "(no key)", **key_names})),
        models=_by_requests(_lines(grouped, "model", {})),
        check=check,
    )


def _line_sums() -> list[pl.Expr]:
    rows, tokens = pl.col("rows"), pl.col("input_tokens") + pl.col("output_tokens")
    sums = [
        rows.filter("request").sum().alias("requests"),
        rows.filter(pl.col("request") & ~pl.col("answered")).sum().alias("failed"),
        rows.filter("has_moved").sum().alias("owned"),
        pl.col("input_tokens").filter("request").sum(),
        pl.col("output_tokens").filter("request").sum(),
        tokens.filter("has_moved").sum().alias("owned_tokens"),
        rows.filter(pl.col("answered") & (pl.col("basis") == "unknown")).sum().alias("unpriced"),
    ]
    for account in _AMOUNTS:
        for basis in _BASES:
            chosen = (pl.col("account") == account) & (pl.col("basis") == basis)
            sums.append(pl.col("nano").filter(chosen).sum().alias(f"{account}.{basis}"))
    return [*sums, pl.col("moved").sum()]


def _lines(sums: pl.DataFrame, by: str, names: Mapping[str, str]) -> tuple[Line, ...]:
    rows = sums.filter(pl.col("by") == by)
    if by == "day":
        rows = rows.with_columns(group=pl.from_epoch(pl.col("group").cast(pl.Int64), "d").dt.to_string("iso"))
    return tuple(_line(row["group"], names.get(row["group"], row["group"]), row) for row in rows.iter_rows(named=True))


def _line(key: str, name: str, row: Mapping[str, Any]) -> Line:
    figures: dict[str, Any] = {count: int(row[count]) for count in _COUNTS}
    figures |= {account: Money(*(int(row[f"{account}.{basis}"]) for basis in _BASES)) for account in _AMOUNTS}
    figures["moved"] = Money(assumed=int(row["moved"]))
    return Line(key=key, name=name, **figures)


def _by_requests(lines: tuple[Line, ...]) -> tuple[Line, ...]:
    return tuple(sorted(lines, key=lambda line: (-line.requests, line.key)))


def _billed_or_estimated(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Audited owned answers with their estimated cost, and audits with their billed one: `of`, `nano`, `billed`."""
    estimated = pl.col("owned") & pl.col("audited") & (pl.col("incumbent_price_source") != "none")
    billed = (pl.col("kind") == "audit") & (pl.col("tokens_source") == "measured") & (pl.col("price_source") != "none")
    return rows.filter(estimated | billed).select(
        of=pl.when(billed).then("of").otherwise("trace_id"),
        nano=pl.when(billed).then("cost_nanousd").otherwise("incumbent_cost_nanousd"),
        billed=billed,
    )


def _check(rows: pl.DataFrame) -> EstimateCheck:
    """Pairs of an owned answer with an estimated cost, and its audit with a billed one."""
    owned = rows.filter(~pl.col("billed")).select("of", estimated="nano")
    pairs = rows.filter("billed").join(owned, on="of", how="inner")
    return EstimateCheck(pairs.height, int(pairs["estimated"].sum()), int(pairs["nano"].sum()))
