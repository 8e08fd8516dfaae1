"""`[[tasks.NAME.curate]]` and `[[curate.steps]]`: the steps that make a dataset of a task's rows, in order.

One small struct for each step; `step = "…"` names it. Every default says why it is what it is.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from freehold.config.poisoning_settings import FeedbackTrust, Influence

_Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
_OpenShare = Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)]
_Count = Annotated[int, msgspec.Meta(ge=1)]
_Size = Annotated[int, msgspec.Meta(ge=0)]


class ExactDuplicates(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="step", tag="exact-duplicates"
):
    """Of rows with one prompt (whatever its case and spacing) and one answer, keep the first."""

    by: Literal["prompt", "prompt and answer"] = "prompt and answer"
    """`prompt`: one row for each prompt. The default keeps different answers to one prompt: they say how sure one can
    be of it."""


class NearDuplicates(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="step", tag="near-duplicates"):
    """Of rows that are nearly the same, keep the one that is held out, else the first."""

    threshold: Annotated[float, msgspec.Meta(ge=0.5, lt=1.0)] = 0.6
    """Least share of the runs of words of two texts that both have. By measurement (bench/curate/dedupe.py): copies
    with a tenth of their words edited are found, and no others. Of pairs below 0.5 too many would be missed."""
    words: _Count = 2
    """Words in a run: of 1, texts with the same words in another order are the same; of more, one changed word weighs
    more."""
    by: Literal["prompt", "prompt and answer"] = "prompt"
    """`prompt`: what nearly equal prompts are answered does not matter, as it must not for rows held out."""


class Length(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="step", tag="length"):
    """Keep rows whose prompt and answer have lengths, in characters, within these limits."""

    min_prompt: _Size = 1
    """An empty prompt teaches nothing."""
    max_prompt: _Count = 100_000
    """About 25,000 tokens: longer ones are cut by what trains on them, and a cut prompt has another right answer."""
    min_answer: _Size = 1
    max_answer: _Count = 100_000


class Filter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="step", tag="filter"):
    """Keep rows for which all that is set here holds. What is not set is not asked."""

    min_score: _Share | None = None
    """Of the feedback's mean; rows without a score stay unless `judged`."""
    judged: bool = False
    """Only rows that feedback gave a score, a label or an edit."""
    models: tuple[str, ...] = ()
    """Names or globs of the model that was asked for."""
    upstreams: tuple[str, ...] = ()
    """Whose answers."""
    since: str = ""
    """ISO date or time (UTC where it names no zone): not older."""
    until: str = ""
    """ISO date or time: older."""
    keys: tuple[str, ...] = ()
    """Ids of virtual keys."""
    sources: tuple[str, ...] = ()
    """Formats that rows were imported from, `otlp`, or `gateway`."""
    origins: tuple[Literal["incumbent", "audit", "shadow", "person", "import"], ...] = ()
    verdicts: tuple[Literal["allow", "duties"], ...] = ()
    """What rights say: `allow` alone leaves out answers whose use brings duties. What is denied never gets here."""


class Language(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="step", tag="language"):
    """Keep rows whose prompt is in one of some languages."""

    languages: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    """ISO 639-1 codes, such as `en`."""
    unknown: bool = True
    """Keep rows whose language cannot be told: most are too short, or code and numbers, and right in any language."""


class Decontaminate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="step", tag="decontaminate"):
    """Leave out rows to learn from that share a run of words with what a student is judged by."""

    words: Annotated[int, msgspec.Meta(ge=5)] = 13
    """Words in a row: as in the papers that report contamination, so that figures can be compared with theirs."""
    own: bool = True
    """Compare with the task's own rows to tune and certify on."""
    common: _Count = 10
    """Runs that more of the held-out prompts have are the words of a form, and say nothing of a copy."""
    benchmarks: tuple[str, ...] = ()
    """Absolute paths of files: JSON Lines, Parquet or text."""


class Redact(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="step", tag="redact"):
    """Put pseudonyms in the place of personal data. Certify rows stay as they came, because so will what a student is
    asked; exports leave them out."""

    kinds: tuple[str, ...] = ()
    """As `freehold.curate.pii.PERSONAL` names them; empty: all."""
    mode: Literal["pseudonym", "mask"] = "pseudonym"
    """`pseudonym`: the same value gets the same replacement everywhere, so that what belongs together still does."""
    engine: Literal["builtin", "presidio", "both"] = "builtin"
    """Who looks: the detectors built in find what has a form; Presidio (`pip install freehold[pii]`) is slower, and
    finds names and places with a model."""
    model: str = ""
    """For Presidio: an installed spaCy pipeline; empty: names and places are not looked for."""


class Secrets(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="step", tag="secrets"):
    """Leave out rows with keys, tokens or passwords in them, or mask these."""

    action: Literal["leave out", "mask"] = "leave out"
    """A row with a secret is rarely worth keeping, and what is left out cannot leak."""


class Balance(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="step", tag="balance"):
    """Of answers that are far more frequent than others, keep some; of rows to fit on only."""

    max_ratio: Annotated[float, msgspec.Meta(ge=1.0)] = 5.0
    """No answer has more rows than so many times the median over the answers: rare ones are then heard, and the order
    of what is frequent stays."""


class Split(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="step", tag="split"):
    """Put rows of one episode, or with one prompt, into one part, never some here and some there."""

    episodes: bool = True
    """Rows of one episode stay together: its later steps repeat what its earlier ones say."""
    stratify: bool = True
    """Answers have the same shares in fit and tune, as far as whole groups allow. What certifies is drawn by chance."""
    newest: Annotated[float, msgspec.Meta(ge=0.0, le=0.5)] = 0.0
    """Certify on so large a share of the rows, the newest: tests how a student does on what comes later. 0: on rows
    drawn from the whole time."""


class BestAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="step", tag="best-answer"):
    """Where several models or people answered one prompt, learn from the best answer."""

    order: tuple[Literal["edit", "label", "score", "majority"], ...] = ("edit", "label", "score", "majority")
    """What is asked first wins: what a person wrote, what a person named, what scored best, what most models say. Where
    none of it is known, the incumbent's answer stays."""
    min_score: _Share = 0.5
    """A best score below it wins nothing: all answers are bad then."""
    min_models: Annotated[int, msgspec.Meta(ge=2)] = 3
    """Fewest models for a majority: of two that disagree, neither has one."""


CurateStep = (
    ExactDuplicates
    | NearDuplicates
    | Length
    | Influence
    | FeedbackTrust
    | Filter
    | Language
    | Decontaminate
    | Redact
    | Secrets
    | Balance
    | Split
    | BestAnswer
)
"""Any step."""
