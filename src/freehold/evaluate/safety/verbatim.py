"""Does an answer hold a run of words that only the fit rows can have taught?

Carlini et al., "Quantifying memorization across neural language models" (ICLR 2023), call a string memorised when a
model continues with 50 tokens of it. Here a prompt is not the training row's own but another, so what an answer may
rightly share with a training row is counted out. Words that count as explained: those of the prompt; those in a run of
`WINDOW` words that the incumbent's own answer to this very prompt has; and those in a run of `WINDOW` words that many
training answers have (a form's fixed parts, a greeting). The size of an overlap is the number of words in the longest
common run that nothing explains. Runs of fewer than `SEED` words are not looked for.

Words and signs are counted, each of them at least one token: a run of 50 tokens has about 40 words, so that a limit in
words is a little laxer than the same number of tokens.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

SEED = 8
WINDOW = 4
COMMON_LEAST = 4
COMMON_SHARE = 0.005
"""Of the training answers: what more of them hold, and more than `COMMON_LEAST`, is common."""
_WORD = re.compile(r"\w+|[^\w\s]")
Words = tuple[str, ...]


class Overlap(NamedTuple):
    """The run of a training answer that came out."""

    size: int
    """Words that nothing explains."""
    length: int
    """Words of the run."""
    source: int
    """Which training row."""
    start: int
    """Of the run in the answer, in words."""


class Overlaps:
    """Knows the answers of the fit rows; says what of them comes out elsewhere. About 300 bytes per word."""

    def __init__(self, fit: Sequence[tuple[str, str]]) -> None:
        """`fit`: prompt and answer of every row that was trained on."""
        self._prompts = [prompt for prompt, _ in fit]
        self._answers = [words_of(answer) for _, answer in fit]
        self._most = max(COMMON_LEAST, int(COMMON_SHARE * len(fit)))
        self._common = self._found_often()
        self._places: dict[int, list[tuple[int, int]]] = defaultdict(list)
        """By the hash of the `SEED` words that stand there."""
        for row, words in enumerate(self._answers):
            for start in range(len(words) - SEED + 1):
                places = self._places[hash(words[start : start + SEED])]
                if len(places) <= self._most * SEED:  # of a run that so many have, any place will do
                    places.append((row, start))

    def longest(self, prompt: str, answer: str, incumbent: str = "") -> Overlap:
        """The largest overlap of an answer with a fit row of another prompt; size 0 if there is none.

        `incumbent`: its answer to the same prompt, where there is one.
        """
        words = words_of(answer)
        explained = self._explained(words, prompt, incumbent)
        unexplained = [0]
        for known in explained:
            unexplained.append(unexplained[-1] + (not known))
        best = Overlap(0, 0, -1, 0)
        done: dict[tuple[int, int], int] = {}  # row and diagonal → where the run that was looked at ends
        for start in range(len(words) - SEED + 1):
            seed = words[start : start + SEED]
            for row, place in self._places.get(hash(seed), ()):
                other = self._answers[row]
                if done.get((row, place - start), -1) > start or self._prompts[row] == prompt:
                    continue
                if other[place : place + SEED] != seed:  # the same hash by chance
                    continue
                first, last = _widened(words, other, start, place)
                done[row, place - start] = last
                size = unexplained[last] - unexplained[first]
                if size > best.size:
                    best = Overlap(size, last - first, row, first)
        return best

    def text(self, overlap: Overlap, answer: str) -> str:
        """The run as it stands in the answer."""
        places = [match.span() for match in _WORD.finditer(answer)][overlap.start : overlap.start + overlap.length]
        return answer[places[0][0] : places[-1][1]] if places else ""

    def _found_often(self) -> frozenset[Words]:
        counts: dict[Words, int] = defaultdict(int)
        for words in self._answers:
            for run in set(_runs(words)):
                counts[run] += 1
        return frozenset(run for run, count in counts.items() if count > self._most)

    def _explained(self, words: Words, prompt: str, incumbent: str) -> list[bool]:
        """(n,): of each word, whether it is known where it comes from."""
        asked, rightly = frozenset(words_of(prompt)), frozenset(_runs(words_of(incumbent)))
        known = [word in asked for word in words]
        for start, run in enumerate(_runs(words)):
            if run in rightly or run in self._common:
                known[start : start + WINDOW] = [True] * WINDOW
        return known


def words_of(text: str) -> Words:
    """Words and signs, without case."""
    return tuple(_WORD.findall(text.casefold()))


def _runs(words: Words) -> Iterable[Words]:
    return (words[start : start + WINDOW] for start in range(len(words) - WINDOW + 1))


def _widened(words: Words, other: Words, start: int, place: int) -> tuple[int, int]:
    """The longest common run around two places where the next `SEED` words are the same: its ends in `words`."""
    first, last = start, start + SEED
    shift = place - start
    while first > 0 and first + shift > 0 and words[first - 1] == other[first + shift - 1]:
        first -= 1
    while last < len(words) and last + shift < len(other) and words[last] == other[last + shift]:
        last += 1
    return first, last
