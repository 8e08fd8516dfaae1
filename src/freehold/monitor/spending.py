"""What audits cost today and how many requests there are to audit, from the recorded traces of the last 24 hours.

Needs polars.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from freehold.monitor.pairs import GRACE_NS
from freehold.store.traces.delta import collect

if TYPE_CHECKING:
    from freehold.store import Store

NANO = 1_000_000_000
SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS
LATELY_NS = 600 * SECOND_NS
NEWEST = 100
"""Answers of the incumbent whose mean cost is what an audit will cost."""
_SHORTEST_NS = 600 * SECOND_NS
"""A rate of requests is told from a span at least as long."""
_COLUMNS = (
    "trace_id",
    "of",
    "at_ns",
    "kind",
    "task",
    "certificate",
    "audited",
    "status",
    "cost_nanousd",
    "price_source",
    "incumbent_cost_nanousd",
    "incumbent_price_source",
)
_PRICED = ("config", "quoted")


class Spending(NamedTuple):
    """One task's audits."""

    audits_today: int
    """Asked since midnight UTC."""
    dollars_today: float
    """What they cost, as far as their price is known."""
    unpriced_today: int
    waiting: int
    """Drawn lately, and not yet recorded."""
    dollars_per_audit: float | None
    """The mean cost of the incumbent's newest answers; None: no price is known."""
    requests_per_day: float
    """All requests of the task."""
    requests_per_day_lately: float
    """The same by the last ten minutes."""
    served: int
    """In the last 24 hours, those that some certificate's rungs answered."""
    served_of: int
    """Requests since the first of these."""

    @property
    def committed(self) -> float:
        """Dollars of today, with audits under way."""
        return self.dollars_today + self.waiting * (self.dollars_per_audit or 0.0)


NOTHING = Spending(0, 0.0, 0, 0, None, 0.0, 0.0, 0, 0)


def day_begins(now_ns: int) -> int:
    """Midnight UTC before `now_ns`, unix nanoseconds."""
    return now_ns // DAY_NS * DAY_NS


def spending(store: Store, now_ns: int, task: str | None = None) -> dict[str, Spending]:
    """Task → its audits and requests, as far as they are sealed; of one `task` only, if it is given.

    Raises:
        StoreError: the trace table cannot be read.
    """
    wanted = pl.col("task") != "" if task is None else pl.col("task") == task
    recent = store.traces.scan().filter((pl.col("at_ns") >= now_ns - DAY_NS) & wanted)
    rows = collect(recent.filter(pl.col("kind").is_in(["request", "audit"])).select(_COLUMNS)).sort("at_ns")
    return {str(key[0]): _of_task(part, now_ns) for key, part in rows.group_by("task")}


def _of_task(rows: pl.DataFrame, now_ns: int) -> Spending:
    requests = rows.filter(pl.col("kind") == "request")
    audits = rows.filter(pl.col("kind") == "audit")
    today = audits.filter(pl.col("at_ns") >= day_begins(now_ns))
    drawn = requests.filter(pl.col("audited") & (pl.col("at_ns") > now_ns - GRACE_NS))
    served = requests.filter(pl.col("certificate").is_not_null())
    lately = requests.filter(pl.col("at_ns") >= now_ns - LATELY_NS).height
    return Spending(
        audits_today=today.height,
        dollars_today=float(today.get_column("cost_nanousd").sum()) / NANO,
        unpriced_today=today.filter((pl.col("status") == 200) & ~pl.col("price_source").is_in(_PRICED)).height,
        waiting=drawn.join(audits, left_on="trace_id", right_on="of", how="anti").height,
        dollars_per_audit=_dollars_per_audit(rows),
        requests_per_day=_per_day(requests, now_ns),
        requests_per_day_lately=lately * DAY_NS / LATELY_NS,
        served=served.height,
        served_of=requests.filter(pl.col("at_ns") >= served.item(0, "at_ns")).height if served.height else 0,
    )


def _per_day(requests: pl.DataFrame, now_ns: int) -> float:
    if not requests.height:
        return 0.0
    return requests.height * DAY_NS / max(now_ns - requests.item(0, "at_ns"), _SHORTEST_NS)


def _dollars_per_audit(rows: pl.DataFrame) -> float | None:
    """By what the incumbent's answers cost, else by what it would have cost to let it give the owned ones."""
    incumbents = (pl.col("certificate").is_null() | (pl.col("kind") == "audit")) & (pl.col("status") == 200)
    for wanted, cost, source in (
        (incumbents, "cost_nanousd", "price_source"),
        (pl.col("certificate").is_not_null(), "incumbent_cost_nanousd", "incumbent_price_source"),
    ):
        nano = rows.filter(wanted & pl.col(source).is_in(_PRICED)).get_column(cost).tail(NEWEST)
        if nano.len():
            return float(nano.sum()) / nano.len() / NANO
    return None
