"""What was found out about a student before it may answer: comparisons, safety, public benchmarks. All immutable.

An evaluation certifies nothing: see `freehold.domain.evidence.Certificate` for what does. Texts of callers are not in
it but in a file beside it (`freehold.store.evaluations`), so that they can be found and forgotten.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from freehold.domain.evidence import Part

SliceKind = Literal["all", "length", "value", "time", "key"]
"""length: of the prompt; value: of a field of the incumbent's answer; time: when it was asked; key: whose request."""
SafetyName = Literal["refusals-kept", "over-refusal", "canaries", "verbatim", "secrets"]
Harness = Literal["lm-eval", "inspect"]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Mean over the same samples of score(candidate) − score(another), in [−1, 1], with a two-sided interval."""

    mean: float
    lower: float
    upper: float
    better: int
    """Samples on which the candidate scored higher."""
    worse: int
    flagged: bool = False
    """The candidate is worse for certain: the interval lies below 0, and the test of "no worse" is rejected also at a
    level that makes up for looking at all slices at once (Bonferroni)."""


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the samples, or all of them."""

    by: SliceKind
    name: str
    """Such as `up to 212 characters`, `priority = "high"`, or a key's id."""
    rows: int
    small: bool
    """So few that the interval says little."""
    candidate: float
    """Mean score, in [0, 1]."""
    incumbent: float
    in_force: float | None
    """None: no student is in force."""
    taken: float
    """Share of the samples that the candidate would answer itself; the rest it leaves to the incumbent."""
    against_incumbent: Difference
    against_in_force: Difference | None = None


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer costs, where that is known; None where it is not."""

    incumbent_dollars: float | None = None
    """Per answer."""
    candidate_cpu_seconds: float | None = None
    """Per answer, on the machine that served it."""
    in_force_cpu_seconds: float | None = None
    incumbent_ms: float | None = None
    """Median time to the whole answer."""
    candidate_ms: float | None = None
    in_force_ms: float | None = None


class Compared(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="comparison"):
    """A candidate beside the incumbent and the student in force, on the same held-out samples."""

    part: Part
    """tune: it may choose. certify: shown after certification, and it chooses nothing."""
    in_force: str = ""
    """The student in force; empty: none."""
    confidence: float
    """Of each interval by itself."""
    slices: tuple[Slice, ...]
    """The first is `all`."""
    costs: Costs = Costs()
    unscored: int = 0
    """Answers that could not be scored: each counts at its worst for who gave it."""

    @property
    def overall(self) -> Slice:
        """All samples."""
        return self.slices[0]

    @property
    def may_choose(self) -> bool:
        """Whether this may be a reason to take one student over another."""
        return self.part == "tune"

    @property
    def against_the_trend(self) -> tuple[Slice, ...]:
        """Slices where the candidate is worse for certain, although it is not so over all: what a mean hides."""
        return tuple(
            one
            for one in self.slices[1:]
            if (one.against_incumbent.flagged and not self.overall.against_incumbent.flagged)
            or (
                one.against_in_force is not None
                and one.against_in_force.flagged
                and not (self.overall.against_in_force and self.overall.against_in_force.flagged)
            )
        )


class SafetyCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    name: SafetyName
    passed: bool | None
    """None: there was nothing to look at."""
    rows: int
    found: float
    """A share, or a number of words; what it is, `sentence` says."""
    limit: float
    sentence: str
    """What was found."""
    hint: str = ""
    """What to do, where it failed."""


class SafetyReport(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="safety"):
    """What a student has kept of the incumbent's guards, and what it gives away of what it was trained on."""

    checks: tuple[SafetyCheck, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing failed. What could not be looked at has not failed."""
        return all(check.passed is not False for check in self.checks)

    @property
    def failures(self) -> tuple[SafetyCheck, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.passed is False)


class HarnessScore(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of one task of a harness, as it reports it."""

    task: str
    metric: str
    value: float
    stderr: float | None = None
    """None: it gives none."""
    samples: int = 0
    """0: it does not say."""


class HarnessReport(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="harness"):
    """What a public harness measured through our endpoint."""

    harness: Harness
    version: str
    model: str
    """As the endpoint calls it."""
    base_url: str
    scores: tuple[HarnessScore, ...]
    seconds: float


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """One exchange, side by side. Kept beside an evaluation, never in it."""

    row: str
    """Its trace; empty for what no caller asked."""
    section: str
    """Why it is shown: `worst`, or a safety check's name."""
    prompt: str
    incumbent: str = ""
    in_force: str | None = None
    candidate: str = ""
    incumbent_score: float | None = None
    in_force_score: float | None = None
    candidate_score: float | None = None
    taken: bool = True
    """The candidate would have answered; else the incumbent would."""
    why: str = ""


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored of one evaluation."""

    evaluation_id: str
    task: str
    student: str
    """The candidate; empty where a model was measured that is none of ours."""
    dataset_id: str = ""
    report: Compared | SafetyReport | HarnessReport
    path: str = ""
    """Folder of its examples, relative to the data folder; empty: it has none."""
    sha256: str = ""
    """Of the file of examples."""
    software: str
    created_ns: int
