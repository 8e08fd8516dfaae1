"""The six questions. Nothing is taken on trust: weights and datasets are read and hashed, rights are judged anew."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from freehold.domain.drills import Drill, DrillLine, Outcome
from freehold.domain.errors import RightsError, StoreError
from freehold.domain.evidence import Dataset
from freehold.domain.ownership import Point
from freehold.domain.rights import Ruling
from freehold.release.held import Held, base_lacks, held
from freehold.release.ownership.case import Case, Model
from freehold.rights import rule, terms_of_upstream
from freehold.rights.grips import USES, binding, limited, may_end, owns_outputs
from freehold.rights.words import basis
from freehold.store.artifacts import read_dataset
from freehold.store.counsel import decisions, today
from freehold.store.recalls import check_not_recalled

if TYPE_CHECKING:
    from freehold.store import Store

DRILL_DAYS = 90
"""An exit drill that is older says little of today's traffic."""
_DAY_NS = 86_400 * 10**9
_KEPT: tuple[Outcome, ...] = ("certified", "uncertified", "stand-in")
_LOST: tuple[Outcome, ...] = ("failed", "spared")


def points(case: Case, drills: Sequence[Drill]) -> tuple[Point, ...]:
    """All points of a task; `drills`: all there were, newest first.

    Raises:
        StoreError: the control store cannot be read.
    """
    return _weights(case), _ending(case), _limits(case), _outputs(case), _drill(case, drills), _data(case)


def _weights(case: Case) -> Point:
    if not case.models:
        kept = case.store.control.students.list(case.task.task_id, 1, newest_first=True)
        also = (f"Student {kept[0].student_id} is kept, and not in force.",) if kept else ()
        answer = "No: the incumbent answers, and its weights are the provider's."
        todo = "Let the loop train and certify a student: `freehold tasks` says what it waits for."
        return case.point("weights", False, answer, *also, command="freehold tasks", todo=todo)
    found = {model.name: _held(case, model) for model in (*case.models, *case.routers)}
    missing = [name for name, one in found.items() if not one.whole]
    said = tuple(f"{name}: {one.sentence}" for name, one in found.items())
    if missing:
        todo = "Put the folder back from a backup, or train again; of a rented model, train a student in its place."
        return case.point("weights", False, f"Not all of them: {', '.join(missing)}.", *said, todo=todo)
    return case.point("weights", True, "Yes: hashed now, and unchanged.", *said, todo="")


def _held(case: Case, model: Model) -> Held:
    if model.sha256:
        found = held(case.store.data / model.path, model.sha256)
        if found.whole and model.student is not None and model.student.base:
            lack = base_lacks(case.store.data, case.store.data / model.path)
            if lack:
                return Held(False, lack)
        if found.whole and model.sha256 not in case.certified:
            return Held(False, "Its files are whole, but no certificate in force, signed here, names their hash.")
        return found
    upstream = case.settings.upstreams.get(model.name.partition("/")[0])
    if upstream is not None and upstream.owned:
        return Held(False, "Declared yours (`owned = true`), but nothing here can hash weights behind an upstream.")
    return Held(False, "A rented model.")


def _ending(case: Case) -> Point:
    if not case.models:
        answer = "No: the provider may end its service, change its terms, or its price."
        return case.point("ending", False, answer, *_incumbents(case), todo="Move the task to a student of your own.")
    rented = [model.name for model in case.models if not model.sha256]
    if rented:
        answer = f"No: {', '.join(rented)} answers by leave of whoever serves it."
        return case.point("ending", False, answer, todo="Replace it by a student of your own.")
    said = may_end(_bound(case))
    if said:
        todo = "Train on a base and with teachers whose licences cannot be ended, such as apache-2.0."
        return case.point("ending", False, "Somebody else may, or that is not known.", *said, todo=todo)
    bound = ", ".join(_bound(case)) or "no licence but your own"
    return case.point("ending", True, "Nobody can.", f"What answers comes under {bound}.", todo="")


def _limits(case: Case) -> Point:
    facts, day = case.settings.organisation, today()
    if not case.models:
        answer = "No: a rented model is not yours to change or to pass on."
        return case.point("limits", False, answer, *_incumbents(case), todo="Move the task to a student of your own.")
    rulings: list[Ruling] = []
    for asset in case.assets:
        counsel = decisions(case.store, case.task.task_id, asset.asset_id)
        rulings += [rule(action, asset, facts, day, decisions=counsel) for action in USES]
    against = limited(rulings)
    said = tuple(_ruled(ruling) for ruling in rulings)
    command = f"freehold rights explain {case.assets[0].asset_id}"
    if against:
        barred = sorted({ruling.action.replace("_", " ") for ruling in rulings if not ruling.permits})
        todo = "See `freehold rights explain`: train without these answers, or let counsel decide where that helps."
        return case.point("limits", False, f"Not all of it: {', '.join(barred)}.", *said, command=command, todo=todo)
    duties = any(ruling.duties for ruling in rulings)
    answer = "Yes, with the duties that are shown." if duties else "Yes."
    return case.point("limits", True, answer, *said, command=command, todo="")


def _ruled(ruling: Ruling) -> str:
    said = f"{ruling.action.replace('_', ' ')} {ruling.asset_id}: {ruling.outcome}"
    if not ruling.findings:
        return f"{said}, your own ({ruling.date})."
    first = ruling.findings[0]
    duties = "".join(f"; duty: {duty.text or duty.kind}" for duty in ruling.duties)
    return f"{said}, {first.licence}/{first.clause} {basis(first.source, first.date)}{duties}."


def _outputs(case: Case) -> Point:
    names = _bound(case) if case.models else _terms(case)
    said = owns_outputs(names)
    if said:
        todo = "Read the terms; a student under no licence but your own settles it."
        return case.point("outputs", False, "Not for certain.", *said, todo=todo)
    under = f"Under {', '.join(names)}." if names else "What answers comes under no licence but your own."
    return case.point("outputs", True, "Yes.", under, todo="")


def _bound(case: Case) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for asset in case.assets for name in binding(asset)))


def _terms(case: Case) -> tuple[str, ...]:
    """Of the upstreams that are not owned: the incumbents'."""
    found = (terms_of_upstream(upstream) for upstream in case.settings.upstreams.values() if not upstream.owned)
    return tuple(name for name in dict.fromkeys(found) if name != "own")


def _incumbents(case: Case) -> tuple[str, ...]:
    terms = _terms(case)
    return (f"Upstreams answer under the terms {', '.join(terms)}.",) if terms else ()


def _drill(case: Case, drills: Sequence[Drill]) -> Point:
    todo = "Try it, off peak and for some minutes: `freehold drill`."
    for drill in drills:
        line = _line(drill, case.task.task_id)
        if line is not None:
            return _drilled(case, drill, line, todo)
    return case.point("drill", False, "Never tried with this task.", command="freehold drill list", todo=todo)


def _line(drill: Drill, task_id: str) -> DrillLine | None:
    """What an ended drill showed of the task; None if nothing of it was rerouted."""
    if drill.report is None or drill.state == "running":
        return None
    lines = (line for line in drill.report.tasks if line.key == task_id)
    return next((line for line in lines if any(line.outcomes.get(name) for name in (*_KEPT, *_LOST))), None)


def _drilled(case: Case, drill: Drill, line: DrillLine, todo: str) -> Point:
    kept = sum(line.outcomes.get(name, 0) for name in _KEPT)
    lost = sum(line.outcomes.get(name, 0) for name in _LOST)
    days = max(0, case.now_ns - drill.until_ns) // _DAY_NS
    when = time.strftime("%Y-%m-%d", time.gmtime(drill.until_ns / 1e9))
    said = f"Drill {drill.drill_id} of {when}: something owned answered {kept:,} of {kept + lost:,} requests."
    command = f"freehold drill show {drill.drill_id}"
    if days > DRILL_DAYS:
        answer = f"Not lately: the last drill was {days} days ago, more than {DRILL_DAYS}."
        return case.point("drill", False, answer, said, command=command, todo=todo)
    if lost:
        answer = f"It did not hold: {lost:,} of {kept + lost:,} requests had no answer from anything owned."
        todo = f"`freehold drill show {drill.drill_id}` says what broke; mend it and drill again."
        return case.point("drill", False, answer, said, command=command, todo=todo)
    return case.point("drill", True, f"Yes, on {when}, and it held.", said, command=command, todo="")


def _data(case: Case) -> Point:
    wanted = [model.student.dataset_id for model in case.models if model.student is not None]
    lost = [model.name for model in case.models if model.sha256 and model.student is None]
    if lost:
        answer = f"Not known: there is no record of how {', '.join(lost)} was trained."
        return case.point("data", False, answer, todo="Restore a backup of the control database.")
    newest = case.store.control.datasets.list(case.task.task_id, 1, newest_first=True)
    ids = tuple(dict.fromkeys(wanted)) or tuple(dataset.dataset_id for dataset in newest)
    if not ids:
        answer = "There is none yet."
        todo = "The loop builds one once there is enough traffic: `freehold tasks`."
        return case.point("data", False, answer, command="freehold dataset list", todo=todo)
    found = {name: _whole(case.store, case.store.control.datasets.get(name)) for name in ids}
    said = tuple(f"{name}: {one.sentence}" for name, one in found.items())
    command = f"freehold dataset show {ids[0]}"
    broken = [name for name, one in found.items() if not one.whole]
    if broken:
        todo = "Put it back from a backup; where it was recalled, let the loop build another."
        return case.point("data", False, f"Not all of it: {', '.join(broken)}.", *said, command=command, todo=todo)
    return case.point("data", True, "Yes: read and hashed now.", *said, command=command, todo="")


def _whole(store: Store, dataset: Dataset | None) -> Held:
    """Whether a dataset's rows are those it was built with, and may still be trained on."""
    if dataset is None:
        return Held(False, "There is no record of it.")
    try:
        check_not_recalled(store, "dataset", dataset.dataset_id)
        rows = len(read_dataset(store.data / dataset.path, dataset.sha256))
    except (RightsError, StoreError) as error:
        return Held(False, error.message)
    return Held(True, f"{rows:,} rows, SHA-256 {dataset.sha256[:16]}…, as it was built.")
