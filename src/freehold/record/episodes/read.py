"""Reads episodes from a store: those that callers named, and those found from the messages. Needs polars."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import msgspec
import polars as pl

from freehold.domain.episodes import Episode, EpisodeLine, Message, Step, Turn
from freehold.domain.errors import NotFound, RequestError
from freehold.domain.traces import Feedback, Linked, Trace
from freehold.record.episodes.digests import digest
from freehold.record.episodes.hear import Hearing, instructed, response_id
from freehold.record.episodes.infer import Inferred, first_trace, inferred
from freehold.record.episodes.messages import answer_of
from freehold.record.episodes.tools import Offered
from freehold.record.episodes.tree import Exchange, episode_of
from freehold.store import Store
from freehold.store.journal.tail import beyond, unsealed_traces
from freehold.store.traces.delta import collect
from freehold.store.traces.read import Derive, read_episode_feedback, read_feedback, read_traces
from freehold.store.traces.rows import FEEDBACK_FIELDS, TRACE_FIELDS, trace_of

NO_KEY = ""
"""Stands for traffic without a virtual key, where a key is asked for."""
HOUR = 3600 * 1_000_000_000
LOOK_BACK_NS = 6 * HOUR
"""An inferred episode that began within this time before a window is seen whole, so it keeps its name."""
LOOK_AHEAD_NS = 24 * HOUR
"""So long after its first request an inferred episode is looked for."""
MOST_INFERRED = 200_000
"""Requests in one window: more take too much memory and time to be looked at together."""
BATCH = 2_000
_SHOWN = tuple(name for name in Step.__struct_fields__ if name != "retry_of")
NEEDED = list(dict.fromkeys((*TRACE_FIELDS, *_SHOWN)))
"""Columns of traces that an episode is made from."""


def read_episode(store: Store, episode_id: str, *, derive: Derive, key: str | None = None) -> Episode:
    """One episode as a tree of agents, sealed or not.

    Args:
        store: where.
        episode_id: as its caller named it, or an `ep_…` of `list_episodes`.
        derive: see `freehold.store.traces.read`.
        key: id of the virtual key whose episode it is, `NO_KEY` for traffic without one; None: whosever it is.

    Raises:
        NotFound: there is no such episode.
        RequestError: several callers have an episode of this name, and `key` does not say whose is meant.
        StoreError: the table or a journal cannot be read.
    """
    return _read(store, episode_id, derive, key)[0]


def read_turns(
    store: Store, episode_id: str, *, derive: Derive, key: str | None = None
) -> tuple[Episode, dict[str, Turn]]:
    """As `read_episode`, with what was said in each step: trace id → turn.

    Raises:
        NotFound, RequestError, StoreError: as `read_episode`.
    """
    episode, traces = _read(store, episode_id, derive, key)
    return episode, turns_of(traces)


def turns_of(traces: Sequence[Trace]) -> dict[str, Turn]:
    """Trace id → what was said in it; `traces` are those of one episode, in the order of time.

    Where the provider keeps the history (`previous_response_id`), it is put before the request's own messages as far
    as it is among `traces`.
    """
    hearing, offered = Hearing(), Offered()
    turns: dict[str, Turn] = {}
    by_response: dict[str, Turn] = {}
    for trace in traces:
        messages, digests = hearing.messages(trace)
        heard = hearing(trace)
        before = by_response.get(heard.previous_id) if heard.previous_id else None
        if before is not None:
            messages, digests = _after(before, messages, digests)
        answer = answer_of(trace)
        turn = Turn(
            trace_id=trace.trace_id,
            messages=tuple(messages),
            answer=answer,
            digests=digests,
            answer_digest=digest(answer) if answer is not None else b"",
            tools=offered(trace),
        )
        turns[trace.trace_id] = turn
        if trace.api == "responses" and (identity := response_id(trace)):
            by_response[identity] = turn
    return turns


def _after(
    before: Turn, messages: list[Message], digests: tuple[bytes, ...]
) -> tuple[list[Message], tuple[bytes, ...]]:
    """Messages with the history that the provider keeps; instructions are not kept: each request has its own."""
    start, own = instructed(before.messages), instructed(messages)
    answer = [] if before.answer is None else [before.answer]
    said = (before.answer_digest,) if answer else ()
    return (
        [*messages[:own], *before.messages[start:], *answer, *messages[own:]],
        (*digests[:own], *before.digests[start:], *said, *digests[own:]),
    )


def list_episodes(
    store: Store,
    *,
    since_ns: int,
    until_ns: int,
    derive: Derive,
    infer: bool = True,
    most: int = MOST_INFERRED,
) -> list[EpisodeLine]:
    """Episodes with a request in since_ns ≤ at_ns < until_ns, the last to begin first; figures are of these requests,
    with `infer` also of those shortly before.

    Args:
        store: where.
        since_ns: earliest, unix nanoseconds.
        until_ns: end, unix nanoseconds, not included.
        derive: see `freehold.store.traces.read`.
        infer: also look for episodes that nobody named; takes some 100 µs of CPU for each request.
        most: requests without an episode that may be looked at together.

    Raises:
        RequestError: there are more than `most` of them.
        StoreError: the table or a journal cannot be read.
    """
    if not infer:
        return _lines(_named_rows(store, since_ns, until_ns, derive), {}, since_ns)
    begin = since_ns - LOOK_BACK_NS
    rows = read_traces(store, since_ns=begin, until_ns=until_ns, kinds=("request",), columns=_LISTED, derive=derive)
    found = _inferred_in(store, begin, until_ns, derive, rows, most)
    unsaid = pl.col("trace_id").replace_strict(found.episode_of, default=None, return_dtype=pl.String)
    linked = pl.when(pl.col("episode").is_null()).then(_found_by(found)).otherwise(pl.col("linked"))
    named = rows.with_columns(linked=linked, episode=pl.coalesce("episode", unsaid))
    return _lines(named.filter(pl.col("episode").is_not_null()), found.agents, since_ns)


_LISTED = (
    "trace_id",
    "at_ns",
    "episode",
    "agent",
    "key",
    "linked",
    "status",
    "error",
    "input_tokens",
    "output_tokens",
    "cost_nanousd",
)


def _named_rows(store: Store, since_ns: int, until_ns: int, derive: Derive) -> pl.DataFrame:
    """Requests of a window that are of an episode; where most are of none, most of the table is not read."""

    def wanted(trace: Trace) -> bool:
        return trace.kind == "request" and trace.episode is not None and since_ns <= trace.at_ns < until_ns

    tail = unsealed_traces(store, derive, _LISTED, wanted)
    table = store.traces.snapshot()
    named = pl.col("episode").is_not_null() & (pl.col("kind") == "request")
    sealed = table.scan().filter(named & pl.col("at_ns").is_between(since_ns, until_ns, closed="left"))
    return pl.concat([collect(sealed.select(_LISTED)), beyond(table, tail)])


def _lines(rows: pl.DataFrame, agents: dict[str, int], since_ns: int) -> list[EpisodeLine]:
    good = pl.col("error").is_null() & pl.col("status").is_between(200, 299)
    found = (
        rows.group_by("episode", "key")
        .agg(
            how=pl.col("linked").unique().sort(),
            first_ns=pl.col("at_ns").min(),
            last_ns=pl.col("at_ns").max(),
            steps=pl.len(),
            agents=pl.col("agent").n_unique(),
            failed=(~good).sum(),
            input_tokens=pl.col("input_tokens").sum(),
            output_tokens=pl.col("output_tokens").sum(),
            cost_nanousd=pl.col("cost_nanousd").sum(),
        )
        .filter(pl.col("last_ns") >= since_ns)
        .sort("first_ns", "episode", descending=True)
    )
    return [_line(row, agents) for row in found.iter_rows(named=True)]


def _line(row: dict[str, Any], agents: dict[str, int]) -> EpisodeLine:
    episode_id = row.pop("episode")
    how = cast("tuple[Linked, ...]", tuple(linked for linked in row.pop("how") if linked))
    row["agents"] = agents.get(episode_id, row["agents"])
    return EpisodeLine(episode_id=episode_id, how=how, **row)


def _inferred_in(store: Store, since_ns: int, until_ns: int, derive: Derive, rows: pl.DataFrame, most: int) -> Inferred:
    unsaid = rows.filter(pl.col("episode").is_null())
    if unsaid.height > most:
        raise RequestError(
            f"{unsaid.height:,} requests in this window say of no episode; at most {most:,} are looked at together.",
            "Ask for a shorter window, or for named episodes only.",
        )
    return _infer(store, since_ns, until_ns, derive, unsaid.get_column("at_ns").to_list())


def _infer(
    store: Store, since_ns: int, until_ns: int, derive: Derive, times: Sequence[int], key: str | Any | None = ...
) -> Inferred:
    """The episodes among requests of a window that say of none, made at these `times` (of one key, if it is given)."""
    hearing = Hearing()
    traces = _traces(store, since_ns, until_ns, derive, times)
    return inferred([hearing(trace) for trace in traces if trace.episode is None and key in (..., trace.key)])


def _traces(store: Store, since_ns: int, until_ns: int, derive: Derive, times: Sequence[int]) -> Iterator[Trace]:
    """Requests in a window, in the order of time, not all in memory at once; `times`: when they were, in order."""
    ends = [*times[BATCH::BATCH], until_ns]
    begin = since_ns
    for end in ends:
        if end > begin:
            rows = read_traces(
                store, since_ns=begin, until_ns=end, kinds=("request",), columns=list(TRACE_FIELDS), derive=derive
            )
            yield from (trace_of(row) for row in rows.iter_rows(named=True))
            begin = end


def _read(store: Store, episode_id: str, derive: Derive, key: str | None) -> tuple[Episode, list[Trace]]:
    rows = read_traces(store, episode=episode_id, kinds=("request",), columns=NEEDED, derive=derive)
    first = first_trace(episode_id)
    if not rows.height and first is not None:
        rows = _inferred_rows(store, episode_id, first, derive)
    if key is not None:
        rows = rows.filter(pl.col("key").is_null() if key == NO_KEY else pl.col("key") == key)
    owners = rows.get_column("key").unique().sort().to_list()
    if not owners:
        raise NotFound(f"There is no episode {episode_id}.", "`freehold episode list` shows those there are.")
    if len(owners) > 1:
        whose = ", ".join(owner or "no key" for owner in owners)
        raise RequestError(
            f"Several callers have an episode {episode_id}: {whose}.", "Say whose: --key ID, or --key ''."
        )
    exchanges, traces = heard_in(rows)
    feedback = _feedback(store, episode_id, owners[0], [trace.trace_id for trace in traces])
    return episode_of(episode_id, owners[0], exchanges, feedback), traces


def heard_in(rows: pl.DataFrame) -> tuple[list[Exchange], list[Trace]]:
    """What rows of one episode (columns `NEEDED`) hold, in the order of time."""
    hearing = Hearing()
    exchanges: list[Exchange] = []
    traces: list[Trace] = []
    for row in rows.sort("at_ns", "trace_id").iter_rows(named=True):
        trace = trace_of(row)
        traces.append(trace)
        exchanges.append(Exchange(msgspec.convert({name: row[name] for name in _SHOWN}, Step), hearing(trace)))
    return exchanges, traces


def _inferred_rows(store: Store, episode_id: str, first: str, derive: Derive) -> pl.DataFrame:
    """The rows of an inferred episode: its first trace says when and whose it is."""
    begun = read_traces(store, trace_ids=[first], columns=["at_ns", "key"], derive=derive)
    if not begun.height:
        return begun.select(**{name: pl.lit(None).first() for name in NEEDED}).clear()
    at_ns, key = begun.row(0)
    ahead = HOUR
    while True:
        window = {"since_ns": at_ns, "until_ns": at_ns + ahead}
        rows = read_traces(store, **window, kinds=("request",), columns=["trace_id", "at_ns"], derive=derive)
        found = _infer(store, at_ns, at_ns + ahead, derive, rows.get_column("at_ns").to_list(), key)
        steps = [trace_id for trace_id, name in found.episode_of.items() if name == episode_id]
        last = rows.filter(pl.col("trace_id").is_in(steps)).get_column("at_ns").max()
        if ahead >= LOOK_AHEAD_NS or not isinstance(last, int) or last < at_ns + ahead // 2:
            break
        ahead *= 2  # it may go on
    rows = read_traces(store, **window, trace_ids=steps, columns=NEEDED, derive=derive)
    return rows.with_columns(linked=_found_by(found))


def _found_by(found: Inferred) -> pl.Expr:
    """How a request that says of no episode was found to be of one."""
    by_id = pl.col("trace_id").is_in(list(found.by_response_id))
    return pl.when(by_id).then(pl.lit("response-id")).otherwise(pl.lit("inferred"))


def _feedback(store: Store, episode_id: str, key: str | None, trace_ids: Sequence[str]) -> list[Feedback]:
    """Of the episode, and of its steps by themselves."""
    whole = read_episode_feedback(store, episode_id)
    whole = whole.filter(pl.col("key").is_null() | (pl.col("key") == key) if key else pl.col("key").is_null())
    steps = read_feedback(store, trace_ids=trace_ids).filter(pl.col("episode").is_null())
    rows = pl.concat([whole, steps.select(whole.columns)]).sort("at_ns", maintain_order=True)
    return [
        msgspec.convert({name: row[name] for name in FEEDBACK_FIELDS} | {"type": "feedback"}, Feedback)
        for row in rows.iter_rows(named=True)
    ]
