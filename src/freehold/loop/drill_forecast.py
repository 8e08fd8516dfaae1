"""What a drill would do, from recorded traffic and the policy in force; nobody is asked anything. Needs polars."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl

from freehold.config import Settings
from freehold.domain.drills import Drill, DrillLine, DrillReport, Outcome
from freehold.domain.errors import FreeholdError
from freehold.domain.policy import Policy
from freehold.domain.traces import TASK_APIS
from freehold.loop.drills import SECOND_NS
from freehold.monitor.drill_advice import next_steps
from freehold.monitor.drill_needs import needs_of
from freehold.monitor.drill_report import of_upstreams, task_names
from freehold.record.derive import Deriver
from freehold.route.drill import DrillView, able
from freehold.store.traces.read import read_traces
from freehold.upstreams.translate import chat_request

if TYPE_CHECKING:
    from freehold.store import Store

MOST = 5_000
"""Most recent requests that are looked at."""
_COLUMNS = (
    "at_ns",
    "api",
    "task",
    "task_name",
    "fingerprint",
    "model",
    "owned",
    "certificate",
    "reason",
    "cached",
    "request",
)


def forecast(store: Store, settings: Settings, drill: Drill, since_ns: int) -> DrillReport:
    """What would have become of the requests since `since_ns` in such a drill.

    Only `requests`, `outcomes`, `tasks`, `apis` and `unable` are filled, and what follows from them. Whether a model
    would really have answered is not known before it is asked.

    Raises:
        StoreError: the traces cannot be read.
    """
    frame = read_traces(
        store, since_ns=since_ns, kinds=("request",), columns=_COLUMNS, derive=Deriver(settings.upstreams)
    )
    frame = of_upstreams(frame, settings.upstreams, drill.upstreams).filter(~pl.col("cached").fill_null(False))
    if drill.task:
        frame = frame.filter(pl.col("task") == drill.task)
    rows = frame.tail(MOST)
    view = DrillView(drill, settings.upstreams, settings.drill.stand_in)
    policy = store.control.current_policy()
    unable: Counter[str] = Counter()
    told: list[tuple[str, str, Outcome]] = []
    for row in rows.iter_rows(named=True):
        outcome = _outcome(view, policy, row, spare=drill.spare)
        told.append((row["task"], row["api"], outcome))
        if outcome in ("failed", "spared"):
            unable.update(needs_of(row["api"], row["request"]))
    names = task_names(store, rows)
    made = DrillReport(
        seconds=(drill.since_ns - since_ns) / SECOND_NS,
        requests=len(told),
        outcomes=dict(Counter(outcome for _, _, outcome in told)),
        tasks=_lines([(task, outcome) for task, _, outcome in told], names),
        apis=_lines([(api, outcome) for _, api, outcome in told], {}),
        unable=dict(unable.most_common()),
    )
    return _with_words(made, settings, frame.height)


def _outcome(view: DrillView, policy: Policy, row: dict[str, Any], *, spare: bool) -> Outcome:
    if row["reason"] == "pinned":
        return "pinned"
    entry = policy.tasks.get(row["task"])
    if row["reason"] == "accepted" and row["owned"] and entry is not None:
        ladder = {entry.ladder.certificate} if entry.ladder else set[str]()
        if row["certificate"] in {rung.certificate for rung in entry.rungs} | ladder:
            return "certified"
    try:
        request = chat_request(row["request"], row["api"]) if row["api"] in TASK_APIS else None
    except FreeholdError:
        request = None
    first = next(able(view, entry, row["fingerprint"], request, row["api"]), None)
    return first.outcome if first is not None else "spared" if spare else "failed"


def _lines(told: list[tuple[str, Outcome]], names: dict[str, str]) -> tuple[DrillLine, ...]:
    counts: dict[str, Counter[Outcome]] = {}
    for key, outcome in told:
        counts.setdefault(key, Counter())[outcome] += 1
    lines = (
        DrillLine(key=key, name=names.get(key, key), requests=each.total(), outcomes=dict(each))
        for key, each in counts.items()
    )
    return tuple(sorted(lines, key=lambda line: (-line.requests, line.key)))


def _with_words(made: DrillReport, settings: Settings, found: int) -> DrillReport:
    said = ["A forecast from recorded requests: what a model would have answered is not known before it is asked."]
    if not made.requests:
        said.append("No request of this time would have been in it.")
    if found > made.requests:
        said.append(f"Of {found} requests the {made.requests} most recent were looked at.")
    return msgspec.structs.replace(made, notes=tuple(said), next_steps=next_steps(made, bool(settings.drill.stand_in)))
