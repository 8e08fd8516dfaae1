"""Recall: do without the answers of a provider or under a licence, or the rows of a key or subject, from now on.

Crash-safe by its order, so that the same request, made again, carries on. First of all the recall is stored: from then
on no new dataset takes such rows. Then all that rests on them is found and marked, so that nothing of it is promoted
any more; then its traffic goes back to the incumbent, task by task; and only then jobs that are under way are waited
for, and everything is looked through once more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import polars as pl

from freehold import __version__
from freehold.config import Settings
from freehold.curate.poisoning.aside import in_force, leave_out
from freehold.curate.poisoning.rows import rows_of_task
from freehold.domain.erasures import ErasureKind
from freehold.domain.errors import EvidenceError, LeaseHeld, NotFound
from freehold.domain.events import Event
from freehold.domain.genai import provider_of
from freehold.domain.ids import content_id
from freehold.domain.recalls import RECALL_VERSION, Recall, RecallKind, Retraining
from freehold.domain.rights import UNKNOWN
from freehold.loop.jobs import stepwise
from freehold.loop.steps import result_of
from freehold.promote import roll_back
from freehold.record.forgetting.select import Asked, select
from freehold.record.sealer import Sealer
from freehold.release.downstream import Downstream, find_downstream
from freehold.rights import terms_of_upstreams
from freehold.store.counsel import today
from freehold.store.locks import FileLock
from freehold.store.recalls import PURPOSE, described, mark, sign_recall, write_rows
from freehold.store.traces.delta import collect

if TYPE_CHECKING:
    from freehold.store import Store

WAIT_SECONDS = 60.0
"""How long to wait for jobs that are under way; the traffic is back by then."""
_TICK = 0.1
_SELECTED: dict[RecallKind, ErasureKind] = {"key": "key", "subject": "subject"}
_ELSEWHERE = "What was copied elsewhere: exports, backups, and releases that were given away."
_COUNTED = ("rows", "rows_sha256", "datasets", "students", "certificates", "policies", "releases", "not_searched")


class Wanted(NamedTuple):
    """What to recall."""

    kind: RecallKind
    value: str
    """The provider (as an upstream is called, or as its host is known: `openai`), the id of the licence or terms, the
    id of the key, or the subject."""
    since_ns: int = 0
    reason: str = ""


class Concerned(NamedTuple):
    """What a recall takes hold of: for a look beforehand."""

    recall: Recall
    serving: tuple[str, ...]
    """Tasks whose traffic goes, or would go, back to the incumbent."""


def _nothing(_step: str) -> None:
    return


def look(store: Store, settings: Settings, wanted: Wanted) -> Concerned:
    """What would be recalled, of what is sealed; changes nothing.

    Raises:
        NotFound: nothing rests on such rows, and none are known.
        StoreError: something cannot be read.
    """
    recall = _new(store, settings, wanted)
    rows = _rows(store, wanted, recall)
    found = find_downstream(store, recall, rows.get_column("trace_id").to_list())
    _check_any(wanted, rows, found)
    return Concerned(msgspec.structs.replace(recall, **_lists(rows, "", found)), found.serving)


def recall_rows(
    store: Store,
    settings: Settings,
    wanted: Wanted,
    *,
    at_step: Callable[[str], None] = _nothing,
    wait_seconds: float = WAIT_SECONDS,
) -> Recall:
    """Recall; carries on with what was interrupted, and done again finds what has come since. Returns the report.

    Args:
        store, settings: where the data are, and how the loop works.
        wanted: what to recall.
        at_step: called with the name of each step before it is done; tests stop the process there.
        wait_seconds: how long to wait for jobs that are under way.

    Raises:
        NotFound: nothing rests on such rows, and none are known.
        LeaseHeld: a job was under way for too long; the traffic is back, and the same command carries on.
        StoreError: something cannot be read or written; the same command carries on.
    """
    at_step("seal")
    with suppress(LeaseHeld):  # whoever seals now does the same
        Sealer(store, settings.upstreams).seal_once()
    if store.control.recalls.get(_new(store, settings, wanted).recall_id) is None:
        look(store, settings, wanted)  # what nobody has is not recalled
    return _Recalling(store, settings, wanted, at_step, wait_seconds).run()


def end_recall(store: Store, recall_id: str, now_ns: int) -> Recall:
    """Let rows that are recorded from now on be used again; all that was recalled stays so.

    Raises:
        NotFound: there is no such recall that still takes hold of new rows.
        StoreError: the control store or the signing key cannot be used.
    """
    with store.control.transaction():
        recall = store.control.recalls.get(recall_id)
        if recall is None or recall.until_ns:
            raise NotFound(
                f"No recall {recall_id} takes hold of new rows.", "`freehold rights recall list` shows which do."
            )
        ended = sign_recall(store, msgspec.structs.replace(recall, until_ns=now_ns, updated_ns=now_ns))
        store.control.recalls.put(ended)
        store.control.add_event(_event(ended, "recall-ended", f"New rows of {described(ended)} may be used again."))
    return ended


class _Recalling:
    def __init__(
        self,
        store: Store,
        settings: Settings,
        wanted: Wanted,
        at_step: Callable[[str], None],
        wait_seconds: float,
    ) -> None:
        self._store = store
        self._settings = settings
        self._wanted = wanted
        self._at_step = at_step
        self._until = time.monotonic() + wait_seconds
        self._recall = self._begun()
        self._before = self._recall

    def run(self) -> Recall:
        self._move_back(self._mark())
        self._at_step("wait")
        with self._no_jobs(self._tasks()):
            self._move_back(self._mark())
            self._at_step("jobs")
            self._give_up_jobs()
        self._at_step("plan")
        plan = tuple(_retraining(self._store, self._settings, task) for task in self._tasks())
        self._at_step("report")
        return self._finish(plan)

    def _begun(self) -> Recall:
        """The stored recall; from when this returns, new datasets do without its rows."""
        fresh = _new(self._store, self._settings, self._wanted)
        self._at_step("store")
        with self._store.control.transaction():
            known = self._store.control.recalls.get(fresh.recall_id)
            if known is not None and set(fresh.upstreams) <= set(known.upstreams) and not known.until_ns:
                return known
            if known is not None:
                names = tuple(sorted({*known.upstreams, *fresh.upstreams}))
                fresh = msgspec.structs.replace(known, upstreams=names, until_ns=0, state="running")
            self._store.control.recalls.put(fresh)
        return fresh

    def _mark(self) -> tuple[str, ...]:
        """Find all that rests on the rows, and note it; returns the tasks that it serves."""
        self._at_step("mark")
        rows = _rows(self._store, self._wanted, self._recall)
        ids = rows.get_column("trace_id").to_list()
        found = find_downstream(self._store, self._recall, ids)
        self._keep(**_added(self._recall, _lists(rows, write_rows(self._store, ids), found)))
        return found.serving

    def _move_back(self, tasks: Iterable[str]) -> None:
        for task in tasks:
            self._at_step("move")
            reason = f"What answered was recalled: it rests on rows of {described(self._recall)}."
            evidence: dict[str, object] = {"recall": self._recall.recall_id}
            with self._store.control.transaction():
                entry = self._store.control.current_policy().tasks[task]
                if entry.rungs or entry.ladder:  # else somebody was quicker
                    roll_back(self._store, self._settings, task, reason, evidence, time.time_ns(), same_traffic=True)
                self._keep(moved_back=tuple(sorted({*self._recall.moved_back, task})))

    def _tasks(self) -> list[str]:
        """Known tasks that have such rows, or datasets of them."""
        datasets = filter(None, map(self._store.control.datasets.get, self._recall.datasets))
        named = {*self._recall.rows, *(dataset.task for dataset in datasets), *self._recall.moved_back}
        return sorted(task for task in named if self._store.control.tasks.get(task) is not None)

    def _give_up_jobs(self) -> None:
        """Jobs that would carry on with a recalled dataset begin anew at the loop's next look."""
        for job in self._store.control.jobs.list():
            curated = result_of(job, "curate") if job.state in ("running", "waiting") else None
            if curated is not None and curated["dataset"] in self._recall.datasets:
                error = EvidenceError(f"Its dataset was recalled ({self._recall.recall_id}).", "A new one is built.")
                stepwise(self._store, self._settings, job).fail(error)

    @contextmanager
    def _no_jobs(self, tasks: list[str]) -> Generator[None]:
        """Hold the tasks' locks: a job that began before this may still store a dataset that holds such rows."""
        waiting = threading.Event()
        with ExitStack() as stack:
            for task in tasks:
                stack.callback(self._lock(task, waiting).release)
            yield

    def _lock(self, task: str, waiting: threading.Event) -> FileLock:
        while True:
            try:
                return FileLock(self._store.data / "locks" / f"move-{task}.lock")
            except LeaseHeld as error:
                if time.monotonic() > self._until:
                    raise LeaseHeld(
                        f"A job of task {task} is still under way: {error.message}",
                        "The traffic is back with the incumbent. Run the same command again to finish the recall.",
                    ) from error
            waiting.wait(_TICK)

    def _finish(self, plan: tuple[Retraining, ...]) -> Recall:
        before, now = self._before, self._recall
        if before.state == "done" and now.plan == plan and all(_same(before, now, name) for name in _COUNTED):
            self._store.control.recalls.put(before)
            return before
        stamped = msgspec.structs.replace(now, plan=plan, state="done", updated_ns=time.time_ns())
        done = sign_recall(self._store, stamped)
        message = f"{sum(done.rows.values())} rows of {described(done)} were recalled; {_in_words(done)}."
        with self._store.control.transaction():
            self._store.control.recalls.put(done)
            self._store.control.add_event(_event(done, "recalled", message))
        return done

    def _keep(self, **changes: Any) -> None:
        state = {"state": "running", "signature": "", "updated_ns": time.time_ns()}
        self._recall = msgspec.structs.replace(self._recall, **state, **changes)
        self._store.control.recalls.put(self._recall)


def _same(before: Recall, now: Recall, name: str) -> bool:
    return getattr(before, name) == getattr(now, name)


def _new(store: Store, settings: Settings, wanted: Wanted) -> Recall:
    secret = store.keys.derive(PURPOSE)
    now = time.time_ns()
    parts = (wanted.kind, wanted.value, str(wanted.since_ns))
    return Recall(
        recall_id=content_id("re", secret, *(part.encode("utf-8", "surrogatepass") for part in parts)),
        version=RECALL_VERSION,
        kind=wanted.kind,
        value=mark(secret, wanted.value) if wanted.kind == "subject" else wanted.value,
        upstreams=_upstreams(settings, wanted),
        since_ns=wanted.since_ns,
        reason=wanted.reason,
        created_ns=now,
        software=f"freehold {__version__}",
        updated_ns=now,
    )


def _upstreams(settings: Settings, wanted: Wanted) -> tuple[str, ...]:
    """Names that stand before the model in `answered_by`: also of upstreams that are not configured any more."""
    if wanted.kind == "provider":
        known = (name for name, one in settings.upstreams.items() if provider_of(one.base_url) == wanted.value)
        return tuple(sorted({wanted.value, *known}))
    if wanted.kind == "licence":
        terms = terms_of_upstreams(settings.upstreams)
        return tuple(sorted(name for name, found in terms.items() if found == wanted.value))
    return ()


def _rows(store: Store, wanted: Wanted, recall: Recall) -> pl.DataFrame:
    """`trace_id` and `task` of the sealed traces concerned."""
    kind = _SELECTED.get(wanted.kind)
    if kind is not None:
        chosen = select(store, Asked(kind, wanted.value, time.time_ns())).traces
        return chosen.filter(pl.col("at_ns") >= recall.since_ns).select("trace_id", "task")
    who = pl.col("answered_by").str.split("/").list.first().is_in(list(recall.upstreams))
    if wanted.kind == "licence":
        noted = pl.col("terms").str.split("@").list.first()
        who = (noted == recall.value) | ((noted == UNKNOWN) & who)
    rows = store.traces.scan().filter(who, pl.col("at_ns") >= recall.since_ns)
    return collect(rows.select("trace_id", "task"))


def _check_any(wanted: Wanted, rows: pl.DataFrame, found: Downstream) -> None:
    if rows.height or found.datasets or found.students or found.certificates:
        return
    raise NotFound(
        f"Nothing is recorded of the {wanted.kind} {wanted.value!r}"
        + (" since then" if wanted.since_ns else "")
        + ", and nothing rests on it.",
        "Check the name: `freehold traces` shows who answered, and under which terms.",
    )


def _lists(rows: pl.DataFrame, rows_sha256: str, found: Downstream) -> dict[str, Any]:
    """What was found, as fields of a recall."""
    counted = rows.group_by("task").len().sort("task")
    unread = (f"Datasets whose rows are gone: {', '.join(found.unread)}.",) if found.unread else ()
    return {
        "rows": dict(counted.iter_rows()),
        "rows_sha256": rows_sha256,
        "datasets": found.datasets,
        "students": found.students,
        "certificates": found.certificates,
        "policies": found.policies,
        "releases": found.releases,
        "not_searched": (*unread, _ELSEWHERE),
    }


def _added(recall: Recall, found: dict[str, Any]) -> dict[str, Any]:
    """The fields, with what was found before: what is removed in between stays recalled."""
    names = ("datasets", "students", "certificates", "policies", "releases")
    return found | {name: tuple(sorted({*getattr(recall, name), *found[name]})) for name in names}


def _retraining(store: Store, settings: Settings, task_id: str) -> Retraining:
    rows, _ = leave_out(rows_of_task(store, settings, task_id, today()), in_force(store, task_id))
    return Retraining(task=task_id, left=rows.height, wanted=settings.loop.min_samples)


def _in_words(recall: Recall) -> str:
    counts = {"datasets": recall.datasets, "students": recall.students, "releases": recall.releases}
    told = ", ".join(f"{len(names)} {what}" for what, names in counts.items())
    return f"{told} rest on them; {len(recall.moved_back)} tasks went back to the incumbent"


def _event(recall: Recall, kind: Any, message: str) -> Event:
    at_ns = recall.updated_ns
    return Event(
        event_id=content_id("ev", kind.encode(), recall.recall_id.encode(), str(at_ns).encode()),
        at_ns=at_ns,
        kind=kind,
        task="",
        message=message,
        evidence={"recall": recall.recall_id, "students": list(recall.students), "moved_back": list(recall.moved_back)},
    )
