"""The pages: each reads the store and gives HTML. They run in a thread (see `desk`); polars is loaded by the first."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

from freehold.config import Settings
from freehold.dashboard.show import render
from freehold.domain.errors import NotFound
from freehold.domain.ids import is_id
from freehold.domain.traces import KINDS, Kind

if TYPE_CHECKING:
    from freehold.dashboard.queries import Wanted, Whole
    from freehold.store import Store

DAY = 86_400 * 1_000_000_000
WINDOWS: Mapping[str, tuple[str, int | None]] = {
    "day": ("24 hours", DAY),
    "week": ("7 days", 7 * DAY),
    "month": ("30 days", 30 * DAY),
    "all": ("all time", None),
}
"""Name in the address → how people call it, nanoseconds."""
SCREENFUL = 50
EVENTS = 200
MOST_LOOKED_AT = 20_000
"""Requests among which a page looks for runs that nobody named; the command line looks among more."""
REFRESH_SECONDS = 5
REFRESH_FACTOR = 40
"""An open overview waits at least this many times as long as it took to make: large stores are not busy with it."""


class Asked(NamedTuple):
    """What a page is asked for."""

    settings: Settings
    host: str
    """Of the Host header: where callers reach the gateway too."""
    path: Mapping[str, str]
    query: Mapping[str, str]

    @property
    def window(self) -> str:
        """A name in `WINDOWS`."""
        name = self.query.get("window", "")
        return name if name in WINDOWS else "month"

    @property
    def since_ns(self) -> int | None:
        """Where the window begins."""
        length = WINDOWS[self.window][1]
        return None if length is None else time.time_ns() - length


def overview(store: Store, asked: Asked) -> str:
    """`/`: how much is owned, what it saves, what stands in the way."""
    from freehold.dashboard.charts import share_chart
    from freehold.dashboard.ownership import checked
    from freehold.dashboard.queries import owned_over_time
    from freehold.dashboard.rights import said_of
    from freehold.dashboard.standing import standings
    from freehold.domain.ownership import ASKED
    from freehold.ledger import ledger
    from freehold.rights.words import NOTICE

    started = time.perf_counter()
    since = asked.since_ns
    books = ledger(store, since)
    rows = standings(store.control, books)
    chart = share_chart(owned_over_time(store, since))
    pause = max(REFRESH_SECONDS, math.ceil(REFRESH_FACTOR * (time.perf_counter() - started)))
    return render(
        "overview.html",
        books=books,
        chart=chart,
        standings=rows,
        tasks_owned=sum(row.task.state == "owned" for row in rows),
        ownership=checked(store, asked.settings),
        objections=[said for said in said_of(store, asked.settings) if said.objection],
        ASKED=ASKED,
        NOTICE=NOTICE,
        events=store.control.events(6),
        names=_names(store),
        window=asked.window,
        windows=WINDOWS,
        host=asked.host,
        refresh=0 if asked.query.get("live") == "0" else pause,
    )


def task(store: Store, asked: Asked) -> str:
    """`/tasks/{task_id}`: one task with all its evidence.

    Raises:
        NotFound: there is no such task.
    """
    from freehold.dashboard.charts import share_chart
    from freehold.dashboard.ownership import checked, of_task
    from freehold.dashboard.queries import Wanted, list_traces, owned_over_time
    from freehold.dashboard.rights import said_of
    from freehold.dashboard.standing import audits, certificates, standing
    from freehold.ledger import ledger
    from freehold.loop.ladder_view import ladder_view
    from freehold.monitor import spending
    from freehold.monitor.spending import NOTHING
    from freehold.rights.words import NOTICE

    task_id = asked.path["task_id"]
    found = store.control.tasks.get(task_id)
    if found is None:
        raise NotFound(f"There is no task {task_id}.", "The overview lists those there are.")
    books = ledger(store, asked.since_ns)
    policy = store.control.current_policy().tasks.get(task_id)
    line = next((line for line in books.tasks if line.key == task_id), None)
    stands = standing(store.control, found, line)
    spent = spending(store, time.time_ns(), task_id).get(task_id, NOTHING)
    return render(
        "task.html",
        task=found,
        line=line,
        standing=stands,
        audits=audits(store.control, stands, spent, asked.settings.loop.audit_dollars_per_day),
        certificates=certificates(store.control, task_id),
        students=store.control.students.list(task_id, 20, newest_first=True),
        policy=policy,
        owned=of_task(checked(store, asked.settings), task_id),
        rights_said=said_of(store, asked.settings, task_id),
        NOTICE=NOTICE,
        ladder=ladder_view(store, policy),
        chart=share_chart(owned_over_time(store, asked.since_ns, task_id)),
        events=store.control.events(20, task_id),
        traces=list_traces(store, Wanted(task=task_id), 15),
        names={task_id: found.name},
        window=asked.window,
        windows=WINDOWS,
    )


def evaluation(store: Store, asked: Asked) -> str:
    """`/tasks/{task_id}/evaluation`: the newest student slice by slice, its worst examples, and its safety.

    Raises:
        NotFound: there is no such task.
    """
    from freehold.dashboard.evaluation import drawn
    from freehold.evaluate.reports import newest
    from freehold.store.evaluations import read_examples

    task_id = asked.path["task_id"]
    found = store.control.tasks.get(task_id)
    if found is None:
        raise NotFound(f"There is no task {task_id}.", "The overview lists those there are.")
    known = newest(store, task_id)
    return render(
        "evaluation.html",
        task=found,
        drawn=None if known.comparison is None else drawn(store, known.comparison),
        safety=known.safety,
        unsafe=[] if known.safety is None else read_examples(store, known.safety),
        harness=known.harness,
    )


def traces(store: Store, asked: Asked) -> str:
    """`/traces`: the newest exchanges, filtered.

    Raises:
        NotFound: a filter is not one.
    """
    from freehold.dashboard.queries import list_traces

    wanted = _wanted(asked.query)
    rows = list_traces(store, wanted, SCREENFUL)
    return render(
        "traces.html",
        traces=rows,
        wanted=wanted,
        names=_names(store),
        older=rows[-1].at_ns if len(rows) == SCREENFUL else 0,
        host=asked.host,
    )


def trace(store: Store, asked: Asked) -> str:
    """`/traces/{trace_id}`: one exchange: what was asked and answered, by whom and why.

    Raises:
        NotFound: there is no such trace.
    """
    from freehold.dashboard.exchange import view_request, view_response
    from freehold.dashboard.queries import asked_about
    from freehold.domain.answers import disagreement
    from freehold.store.traces.read import read_feedback

    whole = _find(store, asked.settings, asked.path["trace_id"])
    own = whole.derived.answer
    pairs = [
        (other, None if own is None or other.derived.answer is None else not disagreement(own, other.derived.answer))
        for other in asked_about(store, whole.trace)
    ]
    return render(
        "trace.html",
        trace=whole.trace,
        derived=whole.derived,
        sealed=whole.sealed,
        pairs=pairs,
        request=view_request(whole.trace.request),
        response=view_response(whole.trace.response),
        feedback=read_feedback(store, trace_ids=[whole.trace.trace_id]).rows(named=True),
        names=_names(store),
    )


def episodes(store: Store, asked: Asked) -> str:
    """`/episodes`: agents' runs of the last day.

    Raises:
        RequestError: too many requests say of no episode to look at them together.
    """
    from freehold.record.derive import Deriver
    from freehold.record.episodes.read import list_episodes

    now = time.time_ns()
    found = asked.query.get("found") == "1"
    derive = Deriver(asked.settings.upstreams)
    lines = list_episodes(store, since_ns=now - DAY, until_ns=now, derive=derive, infer=found, most=MOST_LOOKED_AT)
    return render(
        "episodes.html",
        lines=lines[:EVENTS],
        more=max(0, len(lines) - EVENTS),
        found=found,
        hours=24,
        host=asked.host,
    )


def episode(store: Store, asked: Asked) -> str:
    """`/episode?id=…&key=…`: one agent run as a tree. Names are the callers', hence not in the path.

    Raises:
        NotFound: there is no such episode.
        RequestError: several callers have one of this name, and the address does not say whose is meant.
    """
    from freehold.dashboard.episode import LINKED_BY, view_episode
    from freehold.record.derive import Deriver
    from freehold.record.episodes.read import read_episode

    wanted = asked.query.get("id", "")
    if not wanted:
        raise NotFound("The address names no episode.", "Follow a link here.")
    found = read_episode(store, wanted, derive=Deriver(asked.settings.upstreams), key=asked.query.get("key"))
    return render(
        "episode.html",
        episode=found,
        view=view_episode(found),
        steps=len(found.steps),
        began_ns=found.steps[0].at_ns,
        LINKED_BY=LINKED_BY,
    )


def events(store: Store, asked: Asked) -> str:
    """`/events`: what happened, with its evidence.

    Raises:
        NotFound: the task to filter by is not an id.
    """
    task_id = _id(asked.query.get("task", ""))
    return render(
        "events.html",
        events=store.control.events(EVENTS, task_id or None),
        names=_names(store),
        task_id=task_id,
        most=EVENTS,
    )


def ledger(store: Store, asked: Asked) -> str:
    """`/ledger`: every dollar, and what it rests on."""
    from freehold.ledger import ledger

    books = ledger(store, asked.since_ns)
    return render("ledger.html", books=books, window=asked.window, windows=WINDOWS, host=asked.host)


def _find(store: Store, settings: Settings, trace_id: str) -> Whole:
    from freehold.dashboard.queries import Whole, whole_trace
    from freehold.record.derive import Deriver
    from freehold.store.traces.read import get_trace

    whole = whole_trace(store, trace_id)
    if whole is None:  # perhaps it is not sealed yet
        found = get_trace(store, trace_id)
        if found is None:
            raise NotFound(f"There is no trace {trace_id}.", "It may have been made with x-freehold-record: off.")
        whole = Whole(found, Deriver(settings.upstreams)(found), sealed=False)
    return whole


def _names(store: Store) -> dict[str, str]:
    return {task.task_id: task.name for task in store.control.tasks.list()}


def _wanted(query: Mapping[str, str]) -> Wanted:
    from freehold.dashboard.queries import Wanted

    by: dict[str, Literal["", "owned", "rented"]] = {"": "", "owned": "owned", "rented": "rented"}
    kinds: dict[str, Kind] = {kind: kind for kind in KINDS}
    before = query.get("before", "")
    return Wanted(
        task=_id(query.get("task", "")),
        by=by.get(query.get("by", ""), ""),
        kind=kinds.get(query.get("kind", ""), "request"),
        errors=query.get("errors") == "1",
        before_ns=int(before) if before.isascii() and before.isdigit() and len(before) <= 19 else 0,
    )


def _id(text: str) -> str:
    if text and not is_id(text):
        raise NotFound("What stands in the address is not a task id.", "Follow a link here.")
    return text
