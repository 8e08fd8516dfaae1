"""What the gateway executes: per task a ladder of rungs, cheapest first, the incumbent always last."""

from __future__ import annotations

from typing import Literal

import msgspec

from freehold.domain.fingerprint import Template

Reason = Literal[
    "accepted",  # a rung answered
    "no-rung",  # the task has no rung in force
    "pinned",  # the caller pinned the incumbent
    "unrecorded",  # the caller forbade recording, so the answer could not be audited
    "unsupported",  # the request asks for what a student cannot give (tools, n > 1, logprobs, images …)
    "novel",  # unlike the certified traffic
    "uncertain",  # the rung's signal was below its threshold
    "student-missing",  # the student's files are gone or changed
    "student-failed",  # the student raised while it answered
    "policy-stale",  # the control store could not be reached within the lease: nothing moves
    "passthrough",  # not a chat completion
    "cached",  # an answer that was given before to the same request
    "streaming",  # the ladder must see a whole answer, and the caller wants a stream and allowed no buffering
    "rung-failed",  # a rung failed, was too slow, or gave what is no answer
    "rung-resting",  # the rung failed several times in a row and is left alone for a while
    "router-failed",  # the router raised
    "shadow",  # the rung in force answers unseen, beside the incumbent
    "canary",  # the rung in force answers a share of the requests, and this is none of them
    "ladder-unusable",  # the ladder's files are gone or changed, or one of its models cannot be asked
    "drill",  # an exit drill was in force, whoever answered: neither certified traffic nor evidence
    "fallback",  # another model than the one asked for answered in its place: no evidence of either
    "imported",  # recorded elsewhere: `Trace.source` says by whom
    "sampled",  # of a call to a rung: asked once more, to see whether it agrees with itself
]


Stage = Literal["shadow", "canary", "full"]
"""shadow: it answers unseen beside the incumbent. canary: a share of the requests. full: all that it accepts."""


class Rung(msgspec.Struct, frozen=True, kw_only=True):
    """One owned answerer and its acceptance rule: accept when signal ≥ threshold and novelty ≤ its limit."""

    student: str
    path: str
    """Folder of the student, relative to the data folder."""
    sha256: str
    """Of the student's manifest, which carries the hash of each of its files."""
    threshold: float
    novelty_limit: float
    certificate: str
    fingerprints: tuple[str, ...]
    """The calls that were in the evidence; any other is a stranger."""
    kind: Literal["classifier", "generative"] = "classifier"
    """classifier: answers in the gateway's worker. generative: its server is asked."""
    stage: Stage = "full"
    share: float = 1.0
    """Of the requests that it may answer, in a canary."""


class LadderModel(msgspec.Struct, frozen=True, kw_only=True):
    """One model of a ladder, as the router knows it."""

    name: str
    """As its upstream calls it; `student/ID` for an owned student."""
    path: str = ""
    """A student's folder, relative to the data folder."""
    sha256: str = ""
    """Of a student's manifest."""


class Ladder(msgspec.Struct, frozen=True, kw_only=True):
    """Several models, tried in order before the incumbent, and the router that says which of them shall answer.

    Certified as a whole: where any of it cannot be used, the incumbent answers everything.
    """

    router: str
    """The router's id."""
    path: str
    """Its folder, relative to the data folder."""
    sha256: str
    """Of its manifest, which carries the hash of each of its files."""
    models: tuple[LadderModel, ...]
    """In the order they are tried: the router's rungs."""
    signal: Literal["prompt", "cascade"]
    """`prompt`: one model is chosen before anybody is asked. `cascade`: models answer in turn until an answer will
    do."""
    certificate: str
    fingerprints: tuple[str, ...]
    """The calls that were in the evidence; any other is a stranger."""
    samples: int = 1
    """How often each model of a cascade is asked, to see whether it agrees with itself; 1: it is not looked at."""
    logprobs: bool = False
    """The router looks at token log-probabilities, and the models give them."""
    validity: bool = False
    """The router looks at whether an answer has the form that the request's `response_format` asks for."""


class TaskPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How one task is served."""

    task: str
    rungs: tuple[Rung, ...] = ()
    audit_rate: float = 0.05
    repeat_rate: float = 0.0
    """Share of the incumbent's answers asked for twice, to measure how often it disagrees with itself."""
    ladder: Ladder | None = None
    """Where there is one, it decides, and `rungs` do not."""

    @property
    def students(self) -> tuple[str, ...]:
        """Ids of the students that answer, of the rungs and then of the ladder."""
        models = self.ladder.models if self.ladder is not None else ()
        owned = (model.name.removeprefix("student/") for model in models if model.path)
        return (*(rung.student for rung in self.rungs), *owned)


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """All ladders in force, and which fingerprints belong to which task. Versions only grow."""

    version: int = 0
    created_ns: int = 0
    reason: str = ""
    tasks: dict[str, TaskPolicy] = {}
    templates: tuple[Template, ...] = ()
    """Calls whose instructions vary in ways no mask knows; see `freehold.domain.fingerprint`."""
