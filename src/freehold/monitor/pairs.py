"""What the trace table knows of a certificate in force: whom it answered, what was audited, what became of it.

The requests that the bounds speak of depend on the certified risk. `served`: those a rung of the certificate answered.
`traffic`: all requests of the task under the policies that had it in force, but for those that no rung may answer (the
caller pinned the incumbent, or asked for what no rung can give) or that found nothing in force. What the incumbent
answered of these lost nothing. Requests that came while nothing was audited are in no bound.

Needs polars.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from freehold.store.traces.delta import collect

if TYPE_CHECKING:
    from freehold.domain.evidence import Certificate
    from freehold.store import Store

GRACE_NS = 600 * 1_000_000_000
"""An audit without an answer after so long was dropped, or the incumbent failed."""
_DECIDED = ("accepted", "novel", "uncertain")
"""Reasons whose traces bear the audit rate of their time."""
_OUTSIDE = (
    "pinned",
    "unrecorded",
    "unsupported",
    "no-rung",
    "policy-stale",
    "passthrough",
    "drill",
    "fallback",
    "student-missing",
    "ladder-unusable",
)
_RANDOM_DIGITS = 8
"""The last digits of a trace id are random."""
_COLUMNS = ("trace_id", "at_ns", "certificate", "policy", "reason", "audit_probability", "audited")


class Audited(NamedTuple):
    """The requests of one certificate, and its audits."""

    rates: dict[float, int]
    """Audit rate → how many of the requests came at it; rates of 0 are left out."""
    drawn: dict[float, int]
    """Audit rate → how many of them were to be audited."""
    escalated: pl.DataFrame
    """`at_ns` and `rate` of a fair sample of what the incumbent answered: each request with its audit rate as the
    probability. Empty for risk `served`, where such requests do not count."""
    pairs: pl.DataFrame
    """Answered audits, in the order they were made: `trace_id` and `at_ns` of the audit, `of`, `rate`, `owned_answer`,
    `answer`; an owned answer that broke off is null. One per request."""
    pending: int
    """Drawn lately, and no answer yet."""

    @property
    def requests(self) -> int:
        """All that the bounds speak of."""
        return sum(self.rates.values())


def audited(store: Store, certificate: Certificate, now_ns: int) -> Audited:
    """Look at one commit of the trace table.

    Raises:
        StoreError: the table cannot be read.
    """
    scan = store.traces.snapshot().scan()
    recent = scan.filter((pl.col("task") == certificate.task) & (pl.col("at_ns") >= certificate.issued_ns))
    requests = _population(recent.filter(pl.col("kind") == "request").select(_COLUMNS), certificate)
    counted = requests.filter(pl.col("rate") > 0)
    drawn = counted.filter(pl.col("audited") & (pl.col("certificate") == certificate.certificate_id))
    audits = _audits(recent, drawn)
    waiting = drawn.join(audits, left_on="trace_id", right_on="of", how="anti")
    return Audited(
        rates=_counts(counted),
        drawn=_counts(drawn),
        escalated=_thinned(counted.filter(pl.col("certificate").is_null())),
        pairs=_whole(audits, drawn, recent),
        pending=waiting.filter(pl.col("at_ns") > now_ns - GRACE_NS).height,
    )


def _population(requests: pl.LazyFrame, certificate: Certificate) -> pl.DataFrame:
    """The requests the risk is about, oldest first, with the audit rate at the time of each as `rate`."""
    mine = pl.col("certificate") == certificate.certificate_id
    if certificate.risk == "served":
        return collect(requests.filter(mine)).with_columns(rate="audit_probability")
    rows = collect(requests)
    others = rows.filter(pl.col("certificate").is_not_null() & ~mine).get_column("policy").unique()
    first = rows.filter(mine).get_column("policy").min()
    known = pl.when(pl.col("reason").is_in(_DECIDED)).then("audit_probability")
    return (
        rows.filter((pl.col("policy") >= first) & ~pl.col("policy").is_in(others.implode()))
        .filter(~pl.col("reason").is_in(_OUTSIDE))
        .sort("at_ns", "trace_id")
        .with_columns(rate=known.forward_fill().backward_fill().fill_null(0.0))
    )


def _audits(recent: pl.LazyFrame, drawn: pl.DataFrame) -> pl.DataFrame:
    """All audits of these requests, the first of each."""
    columns = ("trace_id", "of", "at_ns", "status", "error", "finish_reason", "truncated", "answer")
    made = collect(recent.filter(pl.col("kind") == "audit").select(columns))
    asked = made.join(drawn.select(of="trace_id", rate="rate"), on="of", how="inner")
    return asked.sort("at_ns", "trace_id").unique("of", keep="first", maintain_order=True)


def _whole(audits: pl.DataFrame, drawn: pl.DataFrame, recent: pl.LazyFrame) -> pl.DataFrame:
    """Those whose answer is one that could have been evidence, beside the answer that was given."""
    whole = (pl.col("status") == 200) & pl.col("error").is_null() & (pl.col("finish_reason") == "stop")
    answered = audits.filter(whole & ~pl.col("truncated")).select("trace_id", "of", "at_ns", "rate", "answer")
    given = collect(
        recent.filter((pl.col("kind") == "request") & pl.col("audited"))
        .filter(pl.col("trace_id").is_in(drawn.get_column("trace_id").implode()))
        .select(of="trace_id", owned_answer=pl.when(pl.col("error").is_null()).then("answer"))
    )
    return answered.join(given, on="of", how="inner").sort("at_ns", "trace_id")


def _thinned(escalated: pl.DataFrame) -> pl.DataFrame:
    digits = pl.col("trace_id").str.slice(-_RANDOM_DIGITS).str.to_integer(base=16, strict=False)
    share = digits.fill_null(0) / 16**_RANDOM_DIGITS
    return escalated.filter(share < pl.col("rate")).select("at_ns", "rate")


def _counts(rows: pl.DataFrame) -> dict[float, int]:
    return dict(rows.group_by("rate").len().sort("rate").iter_rows())
