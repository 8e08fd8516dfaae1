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

    threshold: _OpenShare = 0.6
    """Least share of the runs of words of two texts that both have. By measurement (bench/curate/dedupe.py): copies with
    a tenth of their words edited are found, and no others."""
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


CurateStep = ExactDuplicates | NearDuplicates | Length | Influence | FeedbackTrust
"""Any step."""
