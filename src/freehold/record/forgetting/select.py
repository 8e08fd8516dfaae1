"""Which sealed records a request to forget is about. Needs polars."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import polars as pl

from freehold.domain.erasures import ErasureKind
from freehold.domain.errors import RequestError
from freehold.domain.traces import TASK_APIS
from freehold.store.traces.delta import collect
from freehold.upstreams.translate import chat_request

if TYPE_CHECKING:
    from freehold.store import Store

_COLUMN: dict[ErasureKind, str] = {"subject": "subject", "key": "key", "episode": "episode", "trace": "trace_id"}
_SMALL = ("trace_id", "at_ns", "kind", "of", "task", "episode", "key", "subject", "source")
MIN_QUOTED = 12
"""A judge's question that holds a shorter text of the trace need not be about it."""
QUOTED = 400
"""Characters of the end of a request that a judge's question is looked through for."""


class Asked(NamedTuple):
    """What to forget: all records whose `kind` is `value`, of requests until `until_ns` (unix nanoseconds)."""

    kind: ErasureKind
    value: str
    until_ns: int

    @property
    def condition(self) -> pl.Expr:
        """Which traces are named by it directly."""
        return (pl.col(_COLUMN[self.kind]) == self.value) & (pl.col("at_ns") <= self.until_ns)


class Selection(NamedTuple):
    """Sealed records to remove."""

    traces: pl.DataFrame
    """trace_id, at_ns, kind, of, task, episode, key, source."""
    feedback_ids: list[str]

    @property
    def trace_ids(self) -> list[str]:
        """In order of the table."""
        return self.traces.get_column("trace_id").to_list()

    @property
    def tasks(self) -> list[str]:
        """The tasks that these traces belong to, sorted."""
        return sorted({task for task in self.traces.get_column("task").to_list() if task})

    def about(self, since_ns: int) -> list[str]:
        """Traces that something may still come in about, oldest first: those since then, and imported ones."""
        late = (pl.col("at_ns") > since_ns) | (pl.col("source") != "")
        return self.traces.filter(late.fill_null(False)).sort("at_ns").get_column("trace_id").to_list()

    @property
    def episodes(self) -> list[str]:
        """The agent runs that they are of, sorted."""
        return sorted({episode for episode in self.traces.get_column("episode").to_list() if episode})

    @property
    def sha256(self) -> str:
        """Over the sorted ids, each followed by a line end."""
        return sha256("".join(f"{found}\n" for found in sorted(self.trace_ids)).encode()).hexdigest()


def select(store: Store, asked: Asked) -> Selection:
    """Everything sealed that `asked` is about.

    Beside the traces it names: of an agent run with a trace of the subject, the others that name no subject; what was
    asked in the background about any of these (audits, shadows, judges); and what people said of them.

    Raises:
        StoreError: a table cannot be read.
    """
    table = store.traces.scan().select(_SMALL)
    found = collect(table.filter(asked.condition))
    if asked.kind == "subject":
        found = pl.concat([found, _companions(table, found)])
    children = table.filter(pl.col("of").is_in(found.get_column("trace_id").to_list()))
    found = pl.concat([found, collect(children), _judges(store, found)]).unique("trace_id", maintain_order=True)
    return Selection(found.drop("subject"), _feedback_of(store, asked, table, found))


def _companions(table: pl.LazyFrame, found: pl.DataFrame) -> pl.DataFrame:
    """Traces without a subject in the same agent runs, each of the same key."""
    runs = found.filter(pl.col("episode").is_not_null()).select("episode", "key").unique()
    if not runs.height:
        return found.clear()
    others = table.filter(pl.col("episode").is_in(runs.get_column("episode").to_list()), pl.col("subject").is_null())
    return collect(others).join(runs, on=["episode", "key"], how="semi", nulls_equal=True)


def _judges(store: Store, found: pl.DataFrame) -> pl.DataFrame:
    """Questions to judges that quote one of these requests: a judge's trace does not say what it is about."""
    asked = found.filter(pl.col("kind") == "request", pl.col("task") != "")
    tasks = asked.get_column("task").unique().to_list()
    table = store.traces.scan()
    judges = table.filter(pl.col("kind") == "judge", pl.col("task").is_in(tasks)) if tasks else None
    if judges is None or not collect(judges.select("trace_id").head(1)).height:
        return found.clear()
    bodies = table.filter(pl.col("trace_id").is_in(asked.get_column("trace_id").to_list())).select("api", "request")
    quotes = {quote for api, body in collect(bodies).iter_rows() if (quote := _quote(api, body))}
    if not quotes:
        return found.clear()
    text = pl.col("request").cast(pl.String, strict=False)
    return collect(judges.filter(text.str.contains_any(sorted(quotes))).select(_SMALL))


def _quote(api: str, body: bytes) -> str:
    """The end of a request's last message, as it stands in a judge's question."""
    if api not in TASK_APIS:
        return ""
    try:
        content = chat_request(body, api).messages[-1].content  # type: ignore[arg-type]
    except RequestError:
        return ""
    if not isinstance(content, str) or len(content) < MIN_QUOTED:
        return ""
    return msgspec.json.encode(content[-QUOTED:])[1:-1].decode()


def _feedback_of(store: Store, asked: Asked, table: pl.LazyFrame, found: pl.DataFrame) -> list[str]:
    ids = found.get_column("trace_id").to_list()
    episodes = found.get_column("episode").drop_nulls().unique().to_list()
    if episodes:  # a judgement of a whole run goes when nothing of the run is left
        left = table.filter(pl.col("episode").is_in(episodes), ~pl.col("trace_id").is_in(ids))
        episodes = sorted(set(episodes) - set(collect(left.select("episode")).get_column("episode").to_list()))
    wanted = pl.col("trace_id").is_in(ids) | pl.col("episode").is_in(episodes)
    if asked.kind in ("key", "episode"):
        wanted |= (pl.col(asked.kind) == asked.value) & (pl.col("at_ns") <= asked.until_ns)
    rows = store.feedback.scan().filter(wanted.fill_null(False)).select("feedback_id")
    return collect(rows).get_column("feedback_id").to_list()
