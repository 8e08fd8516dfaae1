"""What an exit drill showed, from the traces of its time. Needs polars.

Of requests that the cut upstreams would have answered without it: found by the model that was asked for, as the gateway
finds them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import msgspec
import polars as pl

from freehold.config import Settings, UpstreamSettings
from freehold.domain.answers import disagreement
from freehold.domain.drills import Compared, Drill, DrillLine, DrillReport, Latency, Outcome
from freehold.monitor.drill_advice import next_steps, notes
from freehold.monitor.drill_needs import needs_of
from freehold.scorers.text import MAX_TEXT, chrf
from freehold.store.traces.read import Derive, read_traces
from freehold.upstreams.matching import ModelMap

if TYPE_CHECKING:
    from freehold.store import Store

SECOND_NS = 1_000_000_000
MOST_ERRORS = 12
MOST_COMPARED = 500
"""Pairs of answers looked at: comparing long texts takes milliseconds each."""
MOST_EXAMPLES = 3
_COLUMNS = (
    "trace_id",
    "of",
    "at_ns",
    "kind",
    "api",
    "task",
    "task_name",
    "model",
    "answered_by",
    "owned",
    "certificate",
    "reason",
    "cached",
    "status",
    "error",
    "first_byte_us",
    "duration_us",
)


def report(store: Store, settings: Settings, drill: Drill, *, derive: Derive | None = None) -> DrillReport:
    """Report on a drill that is over, or on one that runs, so far as traces are recorded.

    Args:
        store: where the traces are.
        settings: whose upstreams say which requests were the cut ones'.
        drill: which; `until_ns` is when it ended.
        derive: `freehold.record.derive.Deriver`, to count traces that are not sealed yet too.

    Raises:
        StoreError: the traces cannot be read.
    """
    length = max(1, drill.until_ns - drill.since_ns)
    frame = read_traces(
        store,
        since_ns=drill.since_ns - length,
        kinds=("request", "drill"),
        columns=_COLUMNS,
        derive=derive,
    )
    requests = of_upstreams(frame.filter(pl.col("kind") == "request"), settings.upstreams, drill.upstreams)
    requests = requests.filter(~pl.col("cached").fill_null(False))
    if drill.task:
        requests = requests.filter(pl.col("task") == drill.task)
    within = pl.col("at_ns").is_between(drill.since_ns, drill.until_ns, closed="left")
    rows = requests.filter(within).with_columns(outcome=_outcome(settings.drill.stand_in, drill.upstreams))
    names = task_names(store, rows)
    kept = rows.filter(pl.col("outcome").is_in(["certified", "uncertified", "stand-in"]))
    before = requests.filter((pl.col("at_ns") < drill.since_ns) & _by(drill.upstreams) & _fine())
    asked = frame.filter((pl.col("kind") == "drill") & pl.col("of").is_in(kept.get_column("trace_id").implode()))
    compared, not_compared = _compared(store, kept, asked, names, derive)
    made = DrillReport(
        seconds=length / SECOND_NS,
        requests=rows.height,
        outcomes=_counts(rows),
        tasks=_lines(rows, "task", names),
        apis=_lines(rows, "api", {}),
        before=_latency(before),
        during=_latency(kept),
        errors=_errors(rows.filter(pl.col("outcome") == "failed")),
        unable=_unable(store, rows, derive),
        compared=compared,
        not_compared=not_compared,
    )
    return _with_words(made, drill, settings, rows)


def of_upstreams(
    frame: pl.DataFrame, upstreams: Mapping[str, UpstreamSettings], wanted: tuple[str, ...]
) -> pl.DataFrame:
    """The requests whose model is served by one of the `wanted` upstreams."""
    where = ModelMap({name: settings.models for name, settings in upstreams.items()})
    default = where.any or (next(iter(upstreams)) if len(upstreams) == 1 else None)
    models = frame.get_column("model").unique().to_list()
    theirs = [model for model in models if ((where.find(model) if model else None) or default) in wanted]
    return frame.filter(pl.col("model").is_in(theirs))


def task_names(store: Store, rows: pl.DataFrame) -> dict[str, str]:
    """Task → what people call it: as it is stored, else as callers name it."""
    called = rows.filter(pl.col("task_name") != "").group_by("task").agg(pl.col("task_name").last())
    return dict(called.iter_rows()) | {task.task_id: task.name for task in store.control.tasks.list()}


def _fine() -> pl.Expr:
    return pl.col("error").is_null() & pl.col("status").is_between(200, 399)


def _upstream() -> pl.Expr:
    return pl.col("answered_by").str.split_exact("/", 1).struct.field("field_0")


def _by(upstreams: tuple[str, ...]) -> pl.Expr:
    return _upstream().is_in(list(upstreams))


def _outcome(stand_in: str, cut: tuple[str, ...]) -> pl.Expr:
    """What became of each request: see `freehold.domain.drills.Outcome`."""
    drilled = pl.col("reason") == "drill"
    model = pl.col("answered_by").str.replace(r"^[^/]*/", "")
    return (
        pl.when(pl.col("reason") == "pinned")
        .then(pl.lit("pinned"))
        .when(~drilled)
        .then(pl.lit("outside"))
        .when(_by(cut))
        .then(pl.lit("spared"))
        .when(~_fine() | (pl.col("answered_by") == ""))
        .then(pl.lit("failed"))
        .when(pl.col("certificate").is_not_null())
        .then(pl.lit("certified"))
        .when((model == stand_in) & ~pl.col("answered_by").str.starts_with("student/"))
        .then(pl.lit("stand-in"))
        .otherwise(pl.lit("uncertified"))
    )


def _counts(rows: pl.DataFrame) -> dict[Outcome, int]:
    counted = rows.group_by("outcome").len().sort("len", descending=True)
    return {cast(Outcome, name): count for name, count in counted.iter_rows()}


def _lines(rows: pl.DataFrame, key: str, names: Mapping[str, str]) -> tuple[DrillLine, ...]:
    found: list[DrillLine] = []
    for (value,), part in rows.group_by(key):
        text = str(value or "")
        line = DrillLine(key=text, name=names.get(text, text), requests=part.height, outcomes=_counts(part))
        found.append(line)
    return tuple(sorted(found, key=lambda line: (-line.requests, line.key)))


def _latency(rows: pl.DataFrame) -> Latency | None:
    if not rows.height:
        return None
    took, first = rows.get_column("duration_us"), rows.get_column("first_byte_us")

    def ms(series: pl.Series, quantile: float) -> float:
        return round((series.quantile(quantile, "nearest") or 0.0) / 1000, 3)

    return Latency(answers=rows.height, p50=ms(took, 0.5), p95=ms(took, 0.95), first_byte_p50=ms(first, 0.5))


def _errors(failed: pl.DataFrame) -> dict[str, int]:
    status = pl.format("{} answered with status {}", "answered_by", "status")
    left = pl.when(pl.col("status") == 0).then(pl.lit("The caller left before an answer began")).otherwise(status)
    said = failed.select(said=pl.col("error").fill_null(left))
    counted = said.group_by("said").len().sort("len", "said", descending=[True, False])
    return dict(counted.head(MOST_ERRORS).iter_rows())


def _unable(store: Store, rows: pl.DataFrame, derive: Derive | None) -> dict[str, int]:
    """What failed and spared requests asked for. Their bodies are read only here: there are few, one hopes."""
    missed = rows.filter(pl.col("outcome").is_in(["failed", "spared"])).get_column("trace_id").to_list()
    if not missed:
        return {}
    since = cast(int, rows.get_column("at_ns").min())
    bodies = read_traces(store, since_ns=since, trace_ids=missed, columns=("api", "request"), derive=derive)
    counts = Counter(need for api, body in bodies.iter_rows() for need in needs_of(api or "chat", body or b""))
    return dict(counts.most_common())


def _compared(
    store: Store, kept: pl.DataFrame, asked: pl.DataFrame, names: Mapping[str, str], derive: Derive | None
) -> tuple[tuple[Compared, ...], int]:
    """How alike answers are to the incumbent's, by task; and questions without an answer to compare."""
    ids = [*asked.get_column("trace_id"), *asked.get_column("of")]
    if not ids:
        return (), 0
    since = cast(int, kept.get_column("at_ns").min())
    texts = read_traces(store, since_ns=since, trace_ids=ids, columns=("trace_id", "answer"), derive=derive)
    whole = (
        asked.filter(_fine())
        .join(texts.drop_nulls(), on="trace_id")
        .unique("of", keep="first", maintain_order=True)
        .select(trace_id="of", theirs="answer")
    )
    pairs = (
        kept.select("trace_id", "task").join(texts.rename({"answer": "ours"}), on="trace_id").join(whole, on="trace_id")
    )
    found: list[Compared] = []
    for (task,), part in pairs.group_by("task"):
        rows = part.head(MOST_COMPARED).to_dicts()
        likeness = {row["trace_id"]: _likeness(row) for row in rows}
        furthest = sorted(likeness, key=lambda trace: likeness[trace])[:MOST_EXAMPLES]
        found.append(
            Compared(
                key=str(task),
                name=names.get(str(task), str(task)),
                pairs=len(rows),
                same=sum(not _differ(row) for row in rows),
                likeness=sum(likeness.values()) / len(likeness),
                examples=tuple(trace for trace in furthest if likeness[trace] < 1.0),
            )
        )
    return tuple(sorted(found, key=lambda one: (-one.pairs, one.key))), asked.height - whole.height


def _differ(row: Mapping[str, Any]) -> bool:
    return bool(disagreement(row["ours"] or "", row["theirs"]))


def _likeness(row: Mapping[str, Any]) -> float:
    if not _differ(row):
        return 1.0
    return chrf((row["ours"] or "")[:MAX_TEXT], row["theirs"][:MAX_TEXT])


def _with_words(made: DrillReport, drill: Drill, settings: Settings, rows: pl.DataFrame) -> DrillReport:
    span = 0.0
    if rows.height:
        at = rows.get_column("at_ns")
        span = (cast(int, at.max()) - cast(int, at.min())) / SECOND_NS
    return msgspec.structs.replace(
        made, notes=notes(made, drill, span), next_steps=next_steps(made, bool(settings.drill.stand_in))
    )
