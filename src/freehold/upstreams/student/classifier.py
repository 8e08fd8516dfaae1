"""A classical student: plain arrays that give a closed answer, how sure it is, and how strange the text was.

Per field of the answer a head scores its values with two linear models (words, characters). A second stage, a
logistic regression over the shape of those scores, says how probable it is that the incumbent would agree (selective
classification with a learnt confidence; El-Yaniv and Wiener, "On the foundations of noise-free selective
classification", JMLR 2010, gives the setting).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from freehold.domain.errors import StudentError
from freehold.upstreams.student.features import Features, Featuriser
from freehold.upstreams.student.rendering import Path, Style, render

ABSENT = ""
"""The value of a field that an answer lacks."""
PAD = -4.0
"""Score of a value a head does not have: heads share one array as wide as the widest."""
MIN_WIDTH = 3
_SIGNALS = 14
Scores = npt.NDArray[np.float32]


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """One closed field of the answer."""

    path: Path
    values: tuple[str, ...]
    """The label itself, or the canonical JSON of a field's value; `ABSENT` where the field is left out."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a student's folder says of itself; its tensors lie beside it as safetensors."""

    version: int = 1
    kind: str = "classifier"
    task: str
    dataset: str
    dataset_sha256: str
    seed: int
    heads: tuple[Head, ...]
    style: Style
    input_tokens_fixed: float
    """The instructions' tokens, and what else each request costs whatever its prompt."""
    input_tokens_per_character: float
    output_tokens_per_character: float


class StudentAnswer(NamedTuple):
    """What the student says: its answer, the signal g(x) in [0, 1], and the text's novelty in [0, 1]."""

    text: str
    signal: float
    novelty: float


class Classifier:
    """The student in memory.

    Args:
        manifest: the student's manifest.
        tensors: `vocabulary` (uint8, grams joined by newlines), `idf` (V,), `weights` (V, H·K) float16,
            `bias` (2, H·K), `log_counts` (H, K), `second` (H, 15).
    """

    def __init__(self, manifest: Manifest, tensors: dict[str, npt.NDArray[np.generic]]) -> None:
        self.manifest = manifest
        grams = bytes(tensors["vocabulary"].astype(np.uint8)).decode().split("\n")
        self.featurise = Featuriser(
            {gram: column for column, gram in enumerate(grams)}, tensors["idf"].astype(np.float32)
        )
        self._weights = tensors["weights"].astype(np.float32)
        self._bias = tensors["bias"].astype(np.float32)
        self._log_counts = tensors["log_counts"].astype(np.float32)
        second = tensors["second"].astype(np.float32)
        self._slopes, self._offsets = second[:, :-1], second[:, -1]

    def input_tokens(self, prompt: str) -> int:
        """About as many tokens as the incumbent counts for a request with this prompt, instructions included."""
        return round(self.manifest.input_tokens_fixed + len(prompt) * self.manifest.input_tokens_per_character)

    def output_tokens(self, text: str) -> int:
        """About as many tokens as the incumbent counts for this answer."""
        return max(1, round(len(text) * self.manifest.output_tokens_per_character))

    def answer(self, prompt: str) -> StudentAnswer:
        """Answer a prompt; the signal is the estimated probability that the incumbent agrees with all of it."""
        features = self.featurise(prompt)
        heads = len(self.manifest.heads)
        words = features.word_weights @ self._weights.take(features.words, axis=0) + self._bias[0]
        characters = features.character_weights @ self._weights.take(features.characters, axis=0) + self._bias[1]
        choice, shape = score_shape(words.reshape(heads, -1), characters.reshape(heads, -1), features, self._log_counts)
        logits: list[float] = ((shape * self._slopes).sum(1) + self._offsets).tolist()
        signal = math.prod(1.0 / (1.0 + math.exp(-max(-50.0, min(50.0, logit)))) for logit in logits)
        chosen: list[int] = choice.tolist()
        values = {
            head.path: value
            for head, best in zip(self.manifest.heads, chosen, strict=True)
            if (value := head.values[best]) != ABSENT or head.path == ()
        }
        return StudentAnswer(render(self.manifest.style, values), signal, features.novelty)


def score_shape(
    words: Scores, characters: Scores, features: Features, log_counts: Scores
) -> tuple[npt.NDArray[np.int64], Scores]:
    """The best value per head and the shape of its scores.

    Args:
        words, characters: the two models' scores, (H, K).
        features: of the text.
        log_counts: log(1 + training rows) per value, (H, K).

    Returns:
        The index of the best value per head, (H,), and 14 figures per head, (H, 14), for the second stage.
    """
    both = words + characters
    heads = len(both)
    rows = np.arange(heads)
    best = both.argmax(1)
    top = np.sort(both, axis=1)  # quicker than a partition at a few hundred values
    third, second, first = top[:, -3], top[:, -2], top[:, -1]
    soft = np.exp(2 * (both - first[:, None]))
    shape = np.empty((heads, _SIGNALS), np.float32)
    shape[:, 0] = first - second
    shape[:, 1] = first
    shape[:, 2] = first - third
    shape[:, 3] = 1 / (soft * soft).sum(1)
    shape[:, 4] = -np.log(soft.sum(1))
    shape[:, 5] = features.unknown_grams
    shape[:, 6] = math.log1p(features.size)
    shape[:, 7] = log_counts[rows, best]
    views = np.stack((words, characters))
    own = views[:, rows, best]
    views[:, rows, best] = -np.inf
    margin = (own - views.max(2)).T
    shape[:, 8::3] = own.T
    shape[:, 9::3] = margin
    shape[:, 10::3] = margin >= 0
    return best, shape


def build_classifier(manifest: dict[str, object], tensors: dict[str, npt.NDArray[np.generic]]) -> Classifier:
    """The student made of what `freehold.store.artifacts.read_student` gives.

    Raises:
        StudentError: the manifest is of another kind or version, or a tensor is missing or of the wrong shape.
    """
    try:
        known = msgspec.convert(manifest, Manifest)
        _check_shapes(known, tensors)
        classifier = Classifier(known, tensors)
        classifier.answer("")
    except (msgspec.ValidationError, KeyError, ValueError, IndexError, UnicodeDecodeError) as error:
        raise StudentError(
            f"The student's files do not fit together: {error}.", "Train it again with `freehold train`."
        ) from error
    return classifier


def _check_shapes(manifest: Manifest, tensors: dict[str, npt.NDArray[np.generic]]) -> None:
    heads, width = tensors["log_counts"].shape
    columns = len(tensors["idf"])
    if heads != len(manifest.heads) or width < max(MIN_WIDTH, *(len(head.values) for head in manifest.heads)):
        raise ValueError(f"{len(manifest.heads)} fields, but log_counts for {heads} of at most {width} values")
    wanted = {
        "weights": (columns, heads * width),
        "bias": (2, heads * width),
        "second": (heads, _SIGNALS + 1),
    }
    for name, shape in wanted.items():
        if tensors[name].shape != shape:
            raise ValueError(f"{name} has the shape {tensors[name].shape}, not {shape}")
    if bytes(tensors["vocabulary"].astype(np.uint8)).count(b"\n") + 1 != columns:
        raise ValueError(f"the vocabulary has not {columns} grams")
