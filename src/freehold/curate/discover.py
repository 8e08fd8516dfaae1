"""Find the tasks in the traffic, gather calls that differ in slots, and say what form each task's answers have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import polars as pl

from freehold.config import Settings
from freehold.curate.forms import recognise_form
from freehold.curate.templates import find_templates
from freehold.domain.errors import RequestError
from freehold.domain.events import Event, EventKind
from freehold.domain.fingerprint import Shape, Template, shape_of
from freehold.domain.ids import new_id
from freehold.domain.tasks import AnswerForm, Task
from freehold.domain.traces import Api
from freehold.store.traces.read import get_trace, read_traces
from freehold.upstreams.translate import chat_request

if TYPE_CHECKING:
    from freehold.store import Store

MIN_REQUESTS = 20
"""A call that nobody named is a task once it was seen this often."""
MAX_STRAYS = 2_000
"""Most recent rare calls looked at for templates."""
_TITLE_WORDS = 9
_ANSWERS_LOOKED_AT = 5_000


class Seen(NamedTuple):
    """How much of a task's traffic there is."""

    requests: int
    answers: int
    """Answers of the incumbent, audits included."""


def discover(store: Store, settings: Settings, now_ns: int) -> dict[str, Seen]:
    """Bring the stored tasks up to date with the traffic; returns how much was seen of each."""
    frame = read_traces(
        store,
        kinds=("request", "audit"),
        columns=("trace_id", "kind", "task", "task_name", "fingerprint", "owned", "reason", "status", "at_ns"),
    )
    known = {task.task_id: task for task in store.control.tasks.list()}
    since = pl.DataFrame(
        {"task": list(known), "since": [task.evidence_since_ns for task in known.values()]},
        schema={"task": pl.String, "since": pl.Int64},
    )
    theirs = ~pl.col("owned") & (pl.col("reason") != "accepted")
    answered = (pl.col("status") == 200) & theirs & (pl.col("at_ns") >= pl.col("since").fill_null(0))
    groups = (
        frame.filter(pl.col("task") != "")
        .join(since, on="task", how="left")
        .group_by("task")
        .agg(
            requests=(pl.col("kind") == "request").sum(),
            answers=answered.sum(),
            name=pl.col("task_name").last(),
            fingerprints=pl.col("fingerprint").unique().sort(),
            example=pl.col("trace_id").last(),
            last=pl.col("at_ns").last(),
        )
        .sort("last", "task")
    )
    seen: dict[str, Seen] = {}
    strays: list[str] = []
    for row in groups.iter_rows(named=True):
        if not row["name"] and row["requests"] < MIN_REQUESTS and row["task"] not in known:
            strays.append(row["example"])
            continue
        seen[row["task"]] = Seen(row["requests"], row["answers"])
        _store_task(store, settings, known.get(row["task"]), row, now_ns)
    if len(strays) >= MIN_REQUESTS:
        _gather_strays(store, strays[-MAX_STRAYS:], now_ns)
    return seen


def _store_task(store: Store, settings: Settings, task: Task | None, row: dict[str, Any], now_ns: int) -> None:
    fingerprints = tuple[str, ...](row["fingerprints"])
    name = str(row["name"])
    title = task.name if task is not None else name or _title(store, str(row["example"]))
    own = settings.task(title, str(row["task"]))
    epsilon = settings.loop.epsilon if own.epsilon is None else own.epsilon
    delta = settings.loop.delta if own.delta is None else own.delta
    if task is not None:
        scorer = own.scorer or task.scorer
        configured = (epsilon, delta, scorer)
        if set(fingerprints) - set(task.fingerprints) or configured != (task.epsilon, task.delta, task.scorer):
            # A job may change the task at the same time: only these fields are put.
            changes: dict[str, Any] = {
                "fingerprints": fingerprints,
                "epsilon": epsilon,
                "delta": delta,
                "scorer": scorer,
            }
            store.control.tasks.change(task.task_id, lambda fresh: msgspec.structs.replace(fresh, **changes))
        return
    task = Task(
        task_id=str(row["task"]),
        name=title,
        named=bool(name),
        fingerprints=fingerprints,
        epsilon=epsilon,
        delta=delta,
        scorer=own.scorer,
        note="Too few answers yet to say what they are.",
        created_ns=now_ns,
        updated_ns=now_ns,
    )
    store.control.tasks.put(task)
    how = "Named by its callers" if name else "Found by its instructions"
    store.control.add_event(_event("task-discovered", task, f"{how}, {row['requests']} requests so far.", now_ns))


def _title(store: Store, trace_id: str) -> str:
    trace = get_trace(store, trace_id)
    shape = _shape(trace.request, trace.api) if trace is not None else None
    if shape is None:
        return trace_id
    words = shape.masked.removeprefix("(lead) ").split(" ")
    return " ".join(words[:_TITLE_WORDS]).rstrip(".,:;") + (" …" if len(words) > _TITLE_WORDS else "")


def _shape(request: bytes, api: Api) -> Shape | None:
    try:
        return shape_of(chat_request(request, api))
    except RequestError:
        return None


def _gather_strays(store: Store, examples: list[str], now_ns: int) -> None:
    requests = read_traces(store, trace_ids=examples, columns=("request", "api"))
    shapes = [shape for body, api in requests.iter_rows() if (shape := _shape(body, api)) is not None]
    found = find_templates(shapes)
    with store.control.transaction():
        policy = store.control.current_policy()
        known = {template.task for template in policy.templates}
        new: list[Template] = [template for template in found if template.task not in known]
        if not new:
            return
        message = f"{len(new)} call(s) whose instructions vary were gathered."
        store.control.publish_policy(
            msgspec.structs.replace(policy, reason=message, templates=(*policy.templates, *new)), policy.version
        )
        for template in new:
            store.control.add_event(
                Event(
                    event_id=new_id("ev"),
                    at_ns=now_ns,
                    kind="task-merged",
                    task=template.task,
                    message="Calls that differ in some words only are one task from now on.",
                    evidence={"words": [word or "<*>" for word in template.words[:60]]},
                )
            )


def look_at_form(store: Store, settings: Settings, task: Task, now_ns: int) -> Task:
    """Say what form the task's answers have, once there are enough; what a student can learn begins to be learned."""
    frame = read_traces(
        store,
        task=task.task_id,
        kinds=("request",),
        since_ns=task.evidence_since_ns,
        columns=("answer", "owned", "reason", "status", "error"),
    )
    form = recognise_form(_answers(frame)[-_ANSWERS_LOOKED_AT:])
    if form is None:
        return task
    learnable = settings.student_kind(msgspec.structs.replace(task, form=form)) is not None
    changes: dict[str, Any] = {
        "form": form,
        "state": "learning" if learnable else "unscorable",
        "note": "" if learnable else f"Stays with the incumbent: nothing can score it. {form.reason}",
    }
    with store.control.transaction():
        changed = store.control.tasks.change(task.task_id, lambda fresh: msgspec.structs.replace(fresh, **changes))
        if changed is None or (task.form is not None and task.form.kind == form.kind):
            return changed or task
        event = _event("form-recognised", changed, form.reason, now_ns)
        store.control.add_event(event)
        rate = settings.loop.repeat_rate if learnable else 0.0
        store.control.change_task_policy(task.task_id, event.message, repeat_rate=rate)
    return changed


def _answers(frame: pl.DataFrame) -> list[str]:
    theirs = ~pl.col("owned") & (pl.col("reason") != "accepted")
    usable = frame.filter(theirs & (pl.col("status") == 200) & pl.col("error").is_null())
    return usable.get_column("answer").fill_null("").to_list()


def _event(kind: EventKind, task: Task, message: str, now_ns: int) -> Event:
    form: AnswerForm | None = task.form
    return Event(
        event_id=new_id("ev"),
        at_ns=now_ns,
        kind=kind,
        task=task.task_id,
        message=message,
        evidence={"form": form.kind, "reason": form.reason} if form else {},
    )
