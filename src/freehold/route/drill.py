"""Who answers in an exit drill: the best that the organisation owns, or nobody. Pure but for the students it asks.

In this order: what the task's policy would have let answer anyway; the task's student in force, below its threshold;
the dearest owned model of its ladder; the configured stand-in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, cast

from freehold.config import UpstreamSettings
from freehold.domain.chat import ChatRequest, model_can_answer, student_can_answer, student_input
from freehold.domain.drills import Drill, Outcome
from freehold.domain.policy import Rung, TaskPolicy
from freehold.domain.traces import Api
from freehold.route.decide import decide
from freehold.route.identify import Identity
from freehold.route.ladder import STUDENT
from freehold.route.policy_view import PolicyView, key_of
from freehold.route.student import Answered, Gate, Student
from freehold.route.usable import why_unusable
from freehold.upstreams.matching import ModelMap

_BY_STAND_IN: frozenset[Api] = frozenset(("chat", "messages", "responses", "completions"))
_ENDPOINT = "An endpoint of the provider's own has no owned counterpart."
_EMBEDDINGS = "Vectors of another model do not fit those that are stored already."


class StandIn(NamedTuple):
    """An owned model at an upstream."""

    upstream: str
    model: str

    @property
    def name(self) -> str:
        """As traces name who answered."""
        return f"{self.upstream}/{self.model}"


def stand_in_of(
    upstreams: Mapping[str, UpstreamSettings], model: str, cut: frozenset[str]
) -> tuple[StandIn | None, str]:
    """The configured stand-in, or None and why it cannot be one, with its remedy.

    Args:
        upstreams: the settings, by name.
        model: `[drill] stand_in`, as its upstream calls it; empty: none is configured.
        cut: the upstreams that a drill cuts.
    """
    if not model:
        return None, "No stand-in is configured: name an owned model in `[drill] stand_in`."
    problem = why_unusable(upstreams, model)
    if problem:
        return None, f"The stand-in cannot be asked. {problem}"
    where = ModelMap({name: settings.models for name, settings in upstreams.items()}).find(model) or ""
    if not upstreams[where].owned:
        return None, f"The stand-in {model!r} is at upstream {where!r}, which is not `owned = true`."
    if where in cut:
        return None, f"The stand-in {model!r} is at upstream {where!r}, which the drill cuts."
    return StandIn(where, model), ""


class DrillView:
    """A drill as one worker sees it: with what its own settings say is owned. Never changed, only replaced."""

    __slots__ = ("_models", "_owned", "_why", "cut", "drill", "header", "stand_in")

    def __init__(self, drill: Drill, upstreams: Mapping[str, UpstreamSettings], stand_in: str) -> None:
        """`upstreams`: the settings, by name; `stand_in`: `[drill] stand_in`."""
        self.drill = drill
        self.header = drill.drill_id.encode()
        self.cut = frozenset(drill.upstreams)
        self.stand_in, self._why = stand_in_of(upstreams, stand_in, self.cut)
        self._owned = frozenset(name for name, settings in upstreams.items() if settings.owned) - self.cut
        self._models = ModelMap({name: settings.models for name, settings in upstreams.items()})

    def takes(self, upstream: str, task: str, now_ns: int, chance: Callable[[], float]) -> bool:
        """Whether a request for `upstream` is rerouted at this time; `chance` draws uniformly from [0, 1)."""
        drill = self.drill
        if upstream not in self.cut or not drill.in_force(now_ns) or drill.task not in ("", task):
            return False
        return drill.share >= 1.0 or chance() < drill.share

    def where(self, model: str) -> str:
        """The owned upstream that serves `model`; empty if none does."""
        found = self._models.find(model)
        return found if found in self._owned else ""

    def why_not(self, api: Api) -> str:
        """Why nothing owned answers a request by this API, in a sentence."""
        if api == "embeddings":
            return _EMBEDDINGS
        return self._why if api in _BY_STAND_IN else _ENDPOINT


class Able(NamedTuple):
    """Something owned that may be asked, although no certificate says that it should be."""

    outcome: Outcome
    rung: Rung | None = None
    """A student in force."""
    upstream: str = ""
    model: str = ""
    """A model at `upstream`; without one, a student of the task's ladder: `student/ID`."""
    prompt: str = ""
    """What a generative student is to be asked, in place of the caller's messages."""


def able(
    drill: DrillView, entry: TaskPolicy | None, fingerprint: str, request: ChatRequest | None, api: Api
) -> Iterator[Able]:
    """Everything owned that may be asked, the best first.

    Args:
        drill: the drill.
        entry: the policy of the request's task, if it has one.
        fingerprint: of the call: a student knows only calls that it was trained on.
        request: as chat completion; None if it is none.
        api: which API it came by.
    """
    if request is not None and entry is not None:
        plain = student_can_answer(request) and student_input(request) is not None
        if plain and entry.ladder is None:
            prompt = student_input(request) or ""
            for rung in entry.rungs:
                if fingerprint in rung.fingerprints and rung.kind == "classifier":
                    yield Able("uncertified", rung)
                elif fingerprint in rung.fingerprints and prompt:
                    yield Able("uncertified", upstream=STUDENT.rstrip("/"), model=rung.student, prompt=prompt)
        if entry.ladder is not None and fingerprint in entry.ladder.fingerprints and model_can_answer(request):
            for model in reversed(entry.ladder.models):
                if model.name.startswith(STUDENT):
                    if plain:
                        yield Able("uncertified", model=model.name)
                elif where := drill.where(model.name):
                    yield Able("uncertified", upstream=where, model=model.name)
    if drill.stand_in is not None and api in _BY_STAND_IN:
        yield Able("stand-in", upstream=drill.stand_in.upstream, model=drill.stand_in.model)


class Replacement:
    """Who answers in the incumbent's place. Without `outcome` nobody does, and `why` says so."""

    __slots__ = ("answer", "certificate", "model", "name", "novelty", "outcome", "prompt", "signal", "student",
                 "upstream", "why")  # fmt: skip

    def __init__(self, outcome: Outcome | None = None, why: str = "") -> None:
        self.outcome = outcome
        self.why = why
        self.name = ""
        """As traces name who answered: `student/ID`, or `UPSTREAM/MODEL`."""
        self.student: Student | Gate | None = None
        """It has answered: `answer`."""
        self.answer = ""
        self.upstream = ""
        """Where `model` is to be asked."""
        self.model = ""
        self.prompt = ""
        """In place of the caller's messages, if there is one."""
        self.certificate: str | None = None
        """In force, where it let this answerer answer."""
        self.signal: float | None = None
        self.novelty: float | None = None


def stand_in_for(
    drill: DrillView, view: PolicyView, identity: Identity | None, request: ChatRequest | None, api: Api
) -> Replacement:
    """Who answers a request that the drill takes.

    Args:
        drill: the drill.
        view: the policy in force.
        identity: the request's; None if it is no chat completion.
        request: as chat completion; None if it is none.
        api: which API it came by.
    """
    entry, fingerprint = None, ""
    if identity is not None and request is not None:
        entry, fingerprint = view.policy.tasks.get(identity.task), identity.fingerprint
        certified = _certified(drill, view, identity, request)
        if certified is not None:
            return certified
    best: Replacement | None = None
    for one in able(drill, entry, fingerprint, request, api):
        if one.upstream:
            return best or _model(one)
        assert entry is not None and request is not None  # only its task's policy names a student
        found = _by_student(view, entry, one, request)
        if found is not None and (best is None or (found.signal or 0.0) > (best.signal or 0.0)):
            best = found
    return best or Replacement(why=drill.why_not(api))


def _certified(drill: DrillView, view: PolicyView, identity: Identity, request: ChatRequest) -> Replacement | None:
    """What would answer without the drill, where it is owned and need not be heard first."""
    loaded = view.ladders.get(identity.task)
    if loaded is not None and (loaded.slow or loaded.ladder.signal == "cascade"):
        return None
    decision = decide(
        view, identity, request, pinned=False, recorded=True, buffered=True, stale=False, chance=lambda: 1.0
    )
    if decision.rung is not None:
        found = Replacement("certified")
        found.name, found.student, found.answer = f"{STUDENT}{decision.rung.student}", decision.student, decision.answer
        found.certificate, found.signal, found.novelty = decision.rung.certificate, decision.signal, decision.novelty
        return found
    climb = decision.climb
    if climb is None or climb.rung is None:
        return None
    where = drill.where(climb.rung.name) if climb.rung.student is None else ""
    if where:
        found = _model(Able("certified", upstream=where, model=climb.rung.name))
    elif climb.rung.student is not None:
        given = _answered(climb.rung.student, climb.prompt)
        if given is None:
            return None
        found = Replacement("certified")
        found.name, found.student, found.answer = climb.rung.name, climb.rung.student, given.text
    else:
        return None
    found.certificate, found.signal = climb.loaded.ladder.certificate, climb.expected_loss
    found.novelty = climb.prediction.novelty
    return found


def _model(one: Able) -> Replacement:
    found = Replacement(one.outcome)
    found.upstream, found.model, found.name = one.upstream, one.model, f"{one.upstream}/{one.model}"
    found.prompt = one.prompt
    return found


def _by_student(view: PolicyView, entry: TaskPolicy, one: Able, request: ChatRequest) -> Replacement | None:
    """A student's answer; None if its files are gone or it failed."""
    if one.rung is not None:
        name, student = f"{STUDENT}{one.rung.student}", cast("Student | None", view.students.get(key_of(one.rung)))
    else:
        loaded = view.ladders.get(entry.task)
        rungs = loaded.rungs.values() if loaded is not None else ()
        name, student = one.model, next((rung.student for rung in rungs if rung.name == one.model), None)
    prompt = student_input(request)
    answered = _answered(student, prompt) if student is not None and prompt is not None else None
    if answered is None:
        return None
    found = Replacement("uncertified")
    found.name, found.student, found.answer = name, student, answered.text
    found.signal, found.novelty = answered.signal, answered.novelty
    return found


def _answered(student: Student, prompt: str) -> Answered | None:
    try:
        return student.answer(prompt)
    except Exception:  # noqa: BLE001 - whatever a student raises, the next one may answer, and the drill counts it
        return None
