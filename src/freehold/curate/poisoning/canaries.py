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
from typing import NamedTuple

from freehold.domain.evidence import Sample
from freehold.domain.ids import content_id
from freehold.stats.binomial import binomial_p_value

PURPOSE = "freehold canaries 1"
"""What the installation's key is derived for."""
SOURCE = "canary"
"""Of planted rows."""
LEARNED_AT = 0.01
"""So improbable must the canaries' answers be by chance before they count as learned."""
_CONSONANTS, _VOWELS = "bdfgklmnprstvz", "aeiou"
_WORDS = 8


class CanaryReport(NamedTuple):
    """How a student answered the canaries of its dataset."""

    planted: int
    answered: int
    """With the planted answer."""
    expected: float
    """Share of the planted answers that chance explains: the largest share of a value among the answers it gave."""
    p_value: float
    """Exact, one-sided: of so many planted answers by chance."""

    @property
    def learned(self) -> bool:
        """Whether training picked them up."""
        return self.planted > 0 and self.p_value <= LEARNED_AT


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
    if not planted:
        return CanaryReport(0, 0, 0.0, 1.0)
    given = [answer(sample.prompt) for sample in planted]
    hits = sum(said.strip() == sample.answer.strip() for said, sample in zip(given, planted, strict=True))
    wanted = [sample.answer.strip() for sample in planted]
    # A student that knows nothing of a prompt gives one value all the time: it is right as often as that was planted.
    chance = max(wanted.count(value) for value in set(wanted)) / len(wanted)
    chance = min(max(chance, 1e-6), 1 - 1e-6)
    return CanaryReport(len(planted), hits, chance, binomial_p_value(len(planted) - hits, len(planted), 1.0 - chance))


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
    )


def _word(draw: bytes) -> str:
    """A word of two to three syllables that no language has on purpose."""
    return "".join(
        _CONSONANTS[byte % len(_CONSONANTS)] + _VOWELS[byte // len(_CONSONANTS) % len(_VOWELS)] for byte in draw[:3]
    )
