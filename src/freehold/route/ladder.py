"""A ladder of several models as the gateway holds it, and one request's way up it. Pure: whoever asks the models is
told whom to ask next, and tells what they answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from freehold.domain.errors import StudentError
from freehold.domain.policy import Ladder
from freehold.route.student import Student

if TYPE_CHECKING:  # numpy comes with these, and a gateway without ladders shall start without it
    from freehold.signals.answers import AnswerSignals
    from freehold.signals.prompts import Prediction
    from freehold.signals.router import Router

STUDENT = "student/"
"""What the name of an owned student begins with."""


class LadderRung:
    """One model that may answer: a student in this process, or a model at an upstream."""

    __slots__ = ("name", "number", "student", "upstream")

    def __init__(self, name: str, number: int, student: Student | None = None, upstream: str = "") -> None:
        self.name = name
        self.number = number
        """Among the router's candidates, from 1."""
        self.student = student
        self.upstream = upstream
        """Where the model is; empty for a student."""


class LoadedLadder:
    """A ladder with its router and its models at hand."""

    __slots__ = ("fingerprints", "ladder", "router", "rungs", "tasks", "with_students")

    def __init__(self, ladder: Ladder, router: Router, rungs: tuple[LadderRung, ...]) -> None:
        """`rungs`: in the order of `ladder.models`.

        Raises:
            StudentError: the router was made for other models, another order of them, or another signal.
        """
        manifest = router.manifest
        known = tuple(manifest.models[number] for number in manifest.rungs)
        if known != tuple(rung.name for rung in rungs) or manifest.signal != ladder.signal:
            raise StudentError(
                f"Router {ladder.router} is for a {manifest.signal} ladder of {', '.join(known)}, "
                f"not for a {ladder.signal} ladder of {', '.join(rung.name for rung in rungs)}.",
                "Publish the ladder that was certified.",
            )
        self.ladder = ladder
        self.router = router
        self.rungs = {rung.number: rung for rung in rungs}
        self.fingerprints = frozenset(ladder.fingerprints)
        self.tasks = frozenset(manifest.prompts.tasks)
        self.with_students = any(rung.student is not None for rung in rungs)

    @property
    def slow(self) -> bool:
        """Whether deciding takes so long that it belongs in a thread: an embedder must be asked."""
        return self.router.manifest.prompts.embedded > 0

    @property
    def mean_cost(self) -> float:
        """Dollars: the unit of the router's costs."""
        return self.router.manifest.mean_cost


class Climb:
    """One request on its way up: `rung` is whom to ask now, None: the incumbent."""

    __slots__ = ("_earlier", "_task", "expected_loss", "loaded", "prediction", "prompt", "rung", "tried")

    def __init__(self, loaded: LoadedLadder, name: str, task: str, prompt: str) -> None:
        """`name`: what the caller calls the task; `prompt`: see `freehold.domain.chat.student_input`."""
        self.loaded = loaded
        self.prompt = prompt
        self.tried: list[str] = []
        """Names of the models asked in vain."""
        self._task = name if name in loaded.tasks else task
        self._earlier: list[str] = []
        self.prediction: Prediction = loaded.router.predict(self._task, prompt)
        first = loaded.router.next_rung(self.prediction)
        losses = self.prediction.losses
        self.expected_loss = float(losses[first - 1] if first else min(losses[number - 1] for number in loaded.rungs))
        """Of the answer that was heard last; before any was: of the rung to ask, or the least there is."""
        self.rung = loaded.rungs.get(first)

    @property
    def known(self) -> bool:
        """Whether the prompt is like the evidence."""
        return self.loaded.router.knows(self.prediction)

    @property
    def expected_cost(self) -> float:
        """What the rung's answer is expected to cost, as a share of the incumbent's mean cost."""
        assert self.rung is not None
        return float(self.prediction.costs[self.rung.number])

    def takes(self, answer: AnswerSignals) -> bool:
        """Whether the rung's answer will do. If not, the rung was tried in vain and `rung` is the next."""
        from freehold.signals.answers import final_answer

        router, rung = self.loaded.router, self.rung
        assert rung is not None
        if self.loaded.ladder.signal == "prompt":
            return True
        self.expected_loss = router.expected_loss(self._task, self.prediction, rung.number, answer, self._earlier)
        if router.accepts(self.prediction, self.expected_loss):
            return True
        self._earlier.append(final_answer(answer.text))
        self.tried.append(rung.name)
        self.rung = self.loaded.rungs.get(router.next_rung(self.prediction, after=rung.number))
        return False
