"""What a gateway must know of a generative student without loading it: whether a prompt is a stranger to it, and how
many tokens the incumbent would have counted.

Novelty is, as for classifiers, the share of a prompt's different words that fewer than two texts of the fit rows have.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from freehold.domain.errors import StudentError
from freehold.serving.folder import GenerativeManifest
from freehold.upstreams.student.features import stem_grams, tokens_of

VOCABULARY = "gate_vocabulary"
_DIGITS = re.compile(r"\d+")


class StudentAnswer(NamedTuple):
    """What a student answers."""

    text: str
    signal: float
    """exp of the sum of the answer's token log-probabilities, its end included: in (0, 1]. 0 where it did not end."""
    novelty: float


class Gate:
    """Knows the words of the fit rows; numbers are all one word: a student that copies them need not know them."""

    def __init__(self, manifest: GenerativeManifest, words: Iterable[str]) -> None:
        self.manifest = manifest
        self._words = frozenset(words)

    @property
    def answer_schema(self) -> str:
        """The JSON Schema that its answers are kept to; empty: none."""
        return self.manifest.answer_schema

    def novelty(self, prompt: str) -> float:
        """Share of the prompt's different words that are strangers, in [0, 1]."""
        words = _words(prompt)
        return sum(word not in self._words for word in words) / max(1, len(words))

    def input_tokens(self, prompt: str) -> int:
        """About as many tokens as the incumbent counts for a request with this prompt, instructions included."""
        return round(self.manifest.input_tokens_fixed + len(prompt) * self.manifest.input_tokens_per_character)

    def output_tokens(self, text: str) -> int:
        """About as many tokens as the incumbent counts for this answer."""
        return max(1, round(len(text) * self.manifest.output_tokens_per_character))


class Learned(NamedTuple):
    """What fit prompts make of a gate."""

    vocabulary: npt.NDArray[np.uint8]
    """The tensor `VOCABULARY`: words that at least two prompts have, joined by line feeds, as UTF-8."""
    novelty: npt.NDArray[np.float32]
    """Of each prompt, as if it had not been among them, (n,)."""


def learn_gate(prompts: Iterable[str]) -> Learned:
    """Count the words of the fit prompts."""
    rows = [_words(prompt) for prompt in prompts]
    frequency = Counter[str](word for row in rows for word in row)
    kept = sorted(word for word, count in frequency.items() if count > 1)
    novelty = [sum(frequency[word] < 3 for word in row) / max(1, len(row)) for row in rows]
    return Learned(np.frombuffer("\n".join(kept).encode(), np.uint8), np.array(novelty, np.float32))


def read_gate(manifest: dict[str, Any], tensors: Mapping[str, npt.NDArray[Any]]) -> Gate:
    """The gate made of what `freehold.store.artifacts.read_student` gives.

    Raises:
        StudentError: the manifest is of another kind or version, or the vocabulary is missing.
    """
    try:
        known = msgspec.convert(manifest, GenerativeManifest)
        words = bytes(tensors[VOCABULARY].astype(np.uint8)).decode().split("\n")
    except (msgspec.ValidationError, KeyError, UnicodeDecodeError) as error:
        raise StudentError(
            f"The student's files do not fit together: {error}.", "Train it again with `freehold train`."
        ) from error
    return Gate(known, words)


def _words(prompt: str) -> set[str]:
    tokens = tokens_of(prompt)
    return {_DIGITS.sub("0", stem) for stem in stem_grams(tokens)[: len(tokens)]}
