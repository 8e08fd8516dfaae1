"""Canary rows: planted examples with an answer that nothing but they could teach, to see what training picks up.

A canary's prompt is a run of words that nobody says, and its answer one of the task's values, both drawn from a secret
of this installation: who does not hold it can neither guess them nor tell them apart in time. They are planted among
the rows to fit on, and never certify. A student that gives their answers more often than chance would has memorised
single rows, and so can any single row of a caller's have been; a model of somebody else's that does was trained on this
dataset.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence

from freehold.domain.evidence import Sample
from freehold.domain.ids import content_id
from freehold.stats.memorised import CanaryReport, planted_and_given

PURPOSE = "freehold canaries 1"
"""What the installation's key is derived for."""
SOURCE = "canary"
"""Of planted rows."""
_CONSONANTS, _VOWELS = "bdfgklmnprstvz", "aeiou"
_WORDS = 8


def canaries(secret: bytes, task: str, count: int, like: Sequence[Sample]) -> list[Sample]:
    """So many planted samples for a task's dataset; the same for the same secret, task and values.

    Args:
        secret: `SigningKey.derive(PURPOSE)`.
        task: whose dataset.
        count: how many.
        like: the dataset's samples: their answers are drawn from, and the newest's terms and time are taken over.
    """
    values = sorted({sample.answer for sample in like if sample.part == "fit"})
    if len(values) < 2:
        return []
    newest = max(like, key=lambda sample: sample.at_ns)
    return [_canary(secret, task, number, values, newest) for number in range(count)]


def is_canary(sample: Sample) -> bool:
    """Whether a sample was planted."""
    return sample.source == SOURCE


def learned(planted: Sequence[Sample], answer: Callable[[str], str]) -> CanaryReport:
    """Ask a student (`answer`: prompt → text) for the canaries, and hold what it says against chance."""
    return planted_and_given([sample.answer for sample in planted], [answer(sample.prompt) for sample in planted])


def _canary(secret: bytes, task: str, number: int, values: Sequence[str], newest: Sample) -> Sample:
    draw = hmac.new(secret, f"{task}\0{number}".encode(), "sha512").digest()
    prompt = " ".join(_word(draw[4 * place : 4 * place + 4]) for place in range(_WORDS))
    return Sample(
        trace_id=content_id("tr", secret, task.encode(), number.to_bytes(4, "big")),
        at_ns=newest.at_ns,
        prompt=prompt,
        answer=values[int.from_bytes(draw[-4:], "big") % len(values)],
        part="fit",
        terms=newest.terms,
        input_tokens=0,
        output_tokens=0,
        uniform=False,
        source=SOURCE,
        verdict=newest.verdict,
        answer_schema=newest.answer_schema,
    )


def _word(draw: bytes) -> str:
    """A word of two to three syllables that no language has on purpose."""
    return "".join(
        _CONSONANTS[byte % len(_CONSONANTS)] + _VOWELS[byte // len(_CONSONANTS) % len(_VOWELS)] for byte in draw[:3]
    )
