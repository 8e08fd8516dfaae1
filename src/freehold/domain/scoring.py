"""What good means for a task: the scorers there are, what a score is, and the loss of one answer beside another.

A scorer is data: it says which measure and with which options; `freehold.scorers` carries it out.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

Tolerance = Annotated[float, msgspec.Meta(ge=0.0, le=1e300)]
Weight = Annotated[float, msgspec.Meta(ge=0.0, le=1e9)]
Seconds = Annotated[float, msgspec.Meta(gt=0.0, le=300.0)]
Megabytes = Annotated[int, msgspec.Meta(ge=64, le=65_536)]
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Count = Annotated[int, msgspec.Meta(ge=1, le=10_000_000)]


class _Scorer(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", forbid_unknown_fields=True):
    reason: str = ""
    """Why it was chosen, with the figures; empty where a person chose it."""


class ExactScorer(_Scorer, frozen=True, kw_only=True, tag="exact"):
    """1 if answer and reference are the same text (or the same JSON object) after folding, else 0."""

    fold_case: bool = True
    fold_space: bool = True
    """Runs of white space count as one space, outer white space as none."""
    fold_punctuation: bool = False


class JsonScorer(_Scorer, frozen=True, kw_only=True, tag="json"):
    """The weighted share of fields that agree. A field is named by its keys joined with dots; lists are values."""

    weights: dict[str, Weight] = {}
    default_weight: Weight = 1.0
    """Of fields that `weights` does not name."""
    tolerances: dict[str, Tolerance] = {}
    """Field → how far its numbers may lie apart."""
    tolerance: Tolerance = 0.0
    """Of fields that `tolerances` does not name."""
    fold_case: bool = False
    extra: Literal["count", "ignore"] = "count"
    """count: a field that only the answer has is a wrong one. A missing field is always wrong."""


class NumericScorer(_Scorer, frozen=True, kw_only=True, tag="numeric"):
    """1 if |answer − reference| ≤ max(absolute, relative · |reference|), else 0. `%` is a unit: 50% is 50."""

    absolute: Tolerance = 0.0
    relative: Tolerance = 1e-6
    final: bool = False
    r"""Take the number in the last `\boxed{}`, or the last number of the text, where the text is not just a number."""


class RegexScorer(_Scorer, frozen=True, kw_only=True, tag="regex"):
    """1 if the pattern is found in the answer; or, with `compare`, finds the same there as in the reference."""

    pattern: Annotated[str, msgspec.Meta(min_length=1, max_length=10_000)]
    """In the syntax of the `regex` library."""
    full: bool = False
    """The whole answer must match."""
    ignore_case: bool = False
    compare: bool = False
    """Compare the first group (without groups: the match) with what the pattern finds in the reference."""
    seconds: Seconds = 0.25


class SchemaScorer(_Scorer, frozen=True, kw_only=True, tag="schema"):
    """1 if the answer is JSON that is valid by the JSON Schema, else 0."""

    schema: dict[str, Any] | None = None
    """None: the one in the request's `response_format`."""
    seconds: Seconds = 2.0


class SqlScorer(_Scorer, frozen=True, kw_only=True, tag="sql"):
    """1 if the answer's query has the same result as the reference's on a SQLite database, else 0."""

    database: str = ""
    """Absolute path of a SQLite file. A database that comes with the request goes before this."""
    script: str = ""
    """SQL that makes a small database in memory, where there is no file."""
    absolute: Tolerance = 1e-9
    relative: Tolerance = 1e-6
    seconds: Seconds = 2.0
    """For each of the two queries."""
    max_rows: Count = 10_000
    max_bytes: Count = 4_000_000


class PythonScorer(_Scorer, frozen=True, kw_only=True, tag="python"):
    """1 if the answer's code passes unit tests in a sandbox, else 0."""

    tests: str = ""
    """Python source: asserts, `test_*` functions without parameters, `unittest.TestCase` classes, a `check(candidate)`.
    The names of the answer are there (except those of builtins), and `solution` is a module of them. Tests that come
    with the request go before these."""
    entry: str = ""
    """The function that tests know as `candidate`."""
    partial: bool = False
    """The score is the share of the tests that pass."""
    seconds: Seconds = 5.0
    memory_mb: Megabytes = 512
    allow_without_network_isolation: bool = False
    """Where the system gives no namespaces, run the code with resource limits only. It can then reach the network and
    read and write whatever this user can: for code you trust."""


class TextScorer(_Scorer, frozen=True, kw_only=True, tag="text"):
    """How alike two texts are, in [0, 1]: character n-grams (chrF) or words (token F1)."""

    measure: Literal["chrf", "token_f1"] = "chrf"


class FeedbackScorer(_Scorer, frozen=True, kw_only=True, tag="feedback"):
    """The mean of people's scores of the answer; unscored where there is none."""


class JudgeScorer(_Scorer, frozen=True, kw_only=True, tag="judge"):
    """A model compares the answer with the reference, in both orders: 1 better, 0.5 as good, 0 worse."""

    model: Annotated[str, msgspec.Meta(min_length=1)]
    criteria: str = ""
    """What matters here, in a sentence or two, added to the prompt."""
    prompt: Literal["judge_v1"] = "judge_v1"
    retries: Annotated[int, msgspec.Meta(ge=0, le=5)] = 2
    """Asked again so many times where the verdict cannot be read."""
    minimum_agreement: Share = 0.8
    """A judge whose agreement with people may be lower than this cannot certify."""
    minimum_pairs: Count = 50
    """Fewer answers that both judged say too little."""


Scorer = (
    ExactScorer
    | JsonScorer
    | NumericScorer
    | RegexScorer
    | SchemaScorer
    | SqlScorer
    | PythonScorer
    | TextScorer
    | FeedbackScorer
    | JudgeScorer
)
SCORERS: tuple[type[Scorer], ...] = (
    ExactScorer,
    JsonScorer,
    NumericScorer,
    RegexScorer,
    SchemaScorer,
    SqlScorer,
    PythonScorer,
    TextScorer,
    FeedbackScorer,
    JudgeScorer,
)


def kind_of(scorer: Scorer) -> str:
    """`exact`, `json` …: the word a scorer is called by in settings."""
    return str(scorer.__struct_config__.tag)


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """How good an answer is. Either it has a value, or `failed` says why it could not be scored; never both."""

    value: float | None
    """In [0, 1]."""
    detail: str = ""
    """A sentence for people."""
    failed: str = ""
    notes: dict[str, str] = {}
    """What the score rests on: a judge's model, prompt and prompt hash."""


def scored(value: float, detail: str, **notes: str) -> Score:
    """A score with a value in [0, 1]."""
    if not 0.0 <= value <= 1.0:  # also where it is NaN
        raise ValueError(f"A score lies in [0, 1], not {value}.")
    return Score(value=value, detail=detail, notes=notes)


def unscored(why: str, **notes: str) -> Score:
    """A score that could not be given, and why."""
    return Score(value=None, failed=why, notes=notes)


def signed(reference: float | None, value: float | None) -> float:
    """The signed loss in [−1, 1]: the reference's score less the answer's.

    What could not be scored (None) counts at its worst for the answer: reference 1, answer 0. A caller who leaves such
    pairs out instead must leave out only by what does not depend on the answer.
    """
    return (1.0 if reference is None else reference) - (0.0 if value is None else value)


def harm(reference: float | None, value: float | None) -> float:
    """The loss in [0, 1] that gains cannot offset: max(0, `signed`)."""
    return max(0.0, signed(reference, value))


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The scores of two answers to one request: the incumbent's and another's."""

    reference: Score
    answer: Score

    @property
    def signed(self) -> float:
        """See `signed`."""
        return signed(self.reference.value, self.answer.value)

    @property
    def harm(self) -> float:
        """See `harm`."""
        return harm(self.reference.value, self.answer.value)

    @property
    def failed(self) -> str:
        """Why one of the two could not be scored; empty if both were."""
        return self.reference.failed or self.answer.failed
