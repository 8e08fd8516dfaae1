"""What `freehold scorer` reads: recorded answers, those with a second one beside them, and what people said of them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

from freehold.domain.chat import ChatRequest
from freehold.domain.errors import RequestError

if TYPE_CHECKING:
    import polars as pl

    from freehold.config import Settings
    from freehold.domain.tasks import Task
    from freehold.domain.traces import Api
    from freehold.scorers import Context
    from freehold.store import Store

_COLUMNS = ("trace_id", "of", "kind", "at_ns", "owned", "status", "error", "truncated", "finish_reason", "answer")
_REQUESTS_LOOKED_AT = 50


class Pair(NamedTuple):
    """Two answers to one request, the incumbent's as the reference."""

    trace: str
    how: str
    """Where the second answer comes from."""
    answer: str
    reference: str
    context: Context


def recorded_answers(store: Store, settings: Settings, task: Task, newest: int) -> tuple[list[str], list[ChatRequest]]:
    """The newest answers of the incumbent, newest last, and some of the requests for them."""
    import polars as pl

    frame = _usable(store, settings, task).filter(~pl.col("owned") & (pl.col("kind") == "request")).tail(newest)
    ids = frame.get_column("trace_id").to_list()[-_REQUESTS_LOOKED_AT:]
    requests = [request for body in _bodies(store, settings, ids).values() if (request := _parsed(*body)) is not None]
    return frame.get_column("answer").to_list(), requests


def recorded_pairs(store: Store, settings: Settings, task: Task, limit: int) -> list[Pair]:
    """The newest audits (an owned answer and the incumbent's) and repeats (the incumbent's two), oldest first."""
    import polars as pl

    frame = _usable(store, settings, task)
    firsts = frame.filter(pl.col("kind") == "request").select(of="trace_id", first="answer", owned_first="owned")
    seconds = frame.filter(pl.col("kind").is_in(["audit", "repeat"]))
    joined = seconds.join(firsts, on="of", how="inner").sort("at_ns", "trace_id").tail(limit)
    bodies = _bodies(store, settings, joined.get_column("of").to_list())
    people = _feedback(store, [*joined.get_column("of").to_list(), *joined.get_column("trace_id").to_list()])
    found: list[Pair] = []
    for row in joined.iter_rows(named=True):
        ours, theirs = row["of"], row["trace_id"]
        audit = row["kind"] == "audit"
        # An audit is the incumbent's answer beside an owned one; a repeat is the incumbent's second beside its first.
        answer, reference = (row["first"], row["answer"]) if audit else (row["answer"], row["first"])
        of_answer, of_reference = (ours, theirs) if audit else (theirs, ours)
        how = "owned, audited" if audit else "asked twice"
        context = _context(bodies.get(ours), people.get(of_answer, ()), people.get(of_reference, ()))
        found.append(Pair(ours, how, answer, reference, context))
    return found


def stand_ins(answers: list[str]) -> list[Pair]:
    """Where nothing was answered twice: the newest answer beside itself, and others beside another request's."""
    from freehold.scorers import Context

    newest = answers[-6:][::-1]
    if not newest:
        return []
    pairs = [Pair("", "beside itself", newest[0], newest[0], Context())]
    for answer, other in itertools.pairwise(newest):
        pairs.append(Pair("", "beside another request's", answer, other, Context()))
    return pairs


def _usable(store: Store, settings: Settings, task: Task) -> pl.DataFrame:
    import polars as pl

    from freehold.record.derive import Deriver
    from freehold.store.traces.read import read_traces

    frame = read_traces(store, task=task.task_id, columns=_COLUMNS, derive=Deriver(settings.upstreams))
    whole = (pl.col("status") == 200) & pl.col("error").is_null() & (pl.col("finish_reason") == "stop")
    return frame.filter(whole & ~pl.col("truncated") & pl.col("answer").is_not_null())


def _bodies(store: Store, settings: Settings, trace_ids: list[str]) -> dict[str, tuple[bytes, Api]]:
    """Requests and the APIs they came by."""
    from freehold.record.derive import Deriver
    from freehold.store.traces.read import read_traces

    columns = ("trace_id", "request", "api")
    frame = read_traces(store, trace_ids=trace_ids, columns=columns, derive=Deriver(settings.upstreams))
    return {trace_id: (request, api) for trace_id, request, api in frame.iter_rows()}


def _feedback(store: Store, trace_ids: list[str]) -> dict[str, tuple[float, ...]]:
    from freehold.store.traces.read import read_feedback

    found: dict[str, tuple[float, ...]] = {}
    frame = read_feedback(store, trace_ids=trace_ids).select("trace_id", "score").drop_nulls()
    for trace_id, value in frame.iter_rows():
        found[trace_id] = (*found.get(trace_id, ()), value)
    return found


def _parsed(body: bytes, api: Api) -> ChatRequest | None:
    from freehold.upstreams.translate import chat_request

    try:
        return chat_request(body, api)
    except RequestError:
        return None


def _context(
    body: tuple[bytes, Api] | None, feedback: tuple[float, ...], reference_feedback: tuple[float, ...]
) -> Context:
    from freehold.scorers import Context, context_of

    request = _parsed(*body) if body is not None else None
    if request is None:
        return Context(feedback=feedback, reference_feedback=reference_feedback)
    return context_of(request, feedback, reference_feedback)
