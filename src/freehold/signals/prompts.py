"""What a prompt says before anybody has answered it: expected losses and costs, and how novel it is.

Three estimates of each figure are put together: the mean of the prompt's task, a linear model on hashed words and
structure, and the mean over the nearest prompts of the evidence. The weights of the three are fitted by least squares
on predictions for prompts that the estimates had not seen, so that what is predicted is right on average over any
level of it (calibration by stacking: Breiman, "Stacked regressions", Machine Learning 24, 1996).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from freehold.domain.errors import StudentError
from freehold.signals.text import BUCKETS, STRUCTURE, HashedText, hash_text

NEIGHBOURS = 40
STACKED = 4
"""Figures stacked per target: a constant, the task's mean, the linear model, the neighbours."""
MIN_COST = 1e-3
"""No answer is expected to cost less than this share of the incumbent's mean."""
STRANGER = 4.0
"""Added to the novelty of a prompt whose task is not in the evidence: beyond any limit."""
Floats32 = NDArray[np.float32]


class Prediction(NamedTuple):
    """What is expected of a prompt."""

    losses: Floats32
    """Signed loss of each candidate, shape (k,)."""
    costs: Floats32
    """Of the incumbent and each candidate, as shares of the incumbent's mean cost, shape (k + 1,); above 0."""
    novelty: float
    """1 − similarity to the nearest prompt of the evidence, plus the share of the prompt that the space of the evidence
    does not hold: in [0, 2]; `STRANGER` more where the task itself is unknown."""


class PromptManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is not a tensor."""

    candidates: int
    tasks: tuple[str, ...]
    """Names, in the order of the rows of `task_means`."""
    embedded: int = 0
    """Dimensions of the embedder's vectors; 0: none is used."""
    embedder: str = ""
    """SHA-256 of the embedder's files."""


class PromptModel:
    """Loaded tensors and what is computed from them.

    With q = 2·candidates + 1 targets (losses, then the incumbent's cost and the candidates'), d dimensions and r
    reference prompts:
    `idf` (BUCKETS,), `linear` (BUCKETS, q), `structure` (STRUCTURE + e + 1, q), `projection` (BUCKETS, d),
    `references` (r, d + e) of unit length, `neighbours` (r, q), `task_means` (tasks + 1, q; the last for unknown
    tasks), `stack` (STACKED, q); e dimensions of an embedder, 0 without one.
    """

    def __init__(self, manifest: PromptManifest, tensors: dict[str, NDArray[np.generic]]) -> None:
        """Raises: StudentError, if a tensor is missing or has another shape."""
        self.manifest = manifest
        self._rows = {task: row for row, task in enumerate(manifest.tasks)}
        checked = _checked(manifest, tensors)
        self.idf = checked["idf"]
        self.table: Floats32 = np.hstack((checked["linear"], checked["projection"]))
        """Both gathers of a prompt's buckets in one."""
        self.structure, self.references = checked["structure"], checked["references"]
        self.neighbours, self.task_means, self.stack = checked["neighbours"], checked["task_means"], checked["stack"]
        self._targets = 2 * manifest.candidates + 1

    def predict(self, task: str, prompt: str) -> Prediction:
        """What is expected of one prompt; about 0.2 ms."""
        return self.predict_hashed(task, hash_text(prompt))

    def predict_hashed(self, task: str, text: HashedText) -> Prediction:
        """The same, of a prompt that was hashed before, with the embedding that the manifest wants."""
        values = text.counts * self.idf.take(text.buckets)
        values /= max(1e-9, float(np.sqrt(values @ values)))
        gathered = values @ self.table.take(text.buckets, axis=0)
        projected = gathered[self._targets :]
        outside = 1.0 - float(np.sqrt(projected @ projected))
        place, structure = _unit(projected), text.structure
        if text.embedding is not None:
            place, structure = (
                _unit(np.concatenate((place, text.embedding))),
                np.concatenate((structure, text.embedding)),
            )
        linear = gathered[: self._targets] + structure @ self.structure[:-1] + self.structure[-1]
        near, similarity = nearest(self.references @ place, self.neighbours)
        row = self._rows.get(task, -1)
        mean = self.task_means[row]
        stacked = self.stack[0] + self.stack[1] * mean + self.stack[2] * linear + self.stack[3] * near
        novelty = 1.0 - similarity + outside + (STRANGER if row < 0 and self._rows else 0.0)
        k = self.manifest.candidates
        return Prediction(stacked[:k], np.maximum(stacked[k:], MIN_COST), novelty)

    def predict_all(self, tasks: Sequence[str], texts: Sequence[HashedText]) -> list[Prediction]:
        """`predict_hashed` of each."""
        return [self.predict_hashed(task, text) for task, text in zip(tasks, texts, strict=True)]


def _unit(vector: NDArray[np.floating[Any]]) -> Floats32:
    return (vector / max(1e-9, float(np.sqrt(vector @ vector)))).astype(np.float32)


def nearest(similarities: Floats32, values: Floats32) -> tuple[Floats32, float]:
    """The mean of `values` (r, q) over the nearest references, weighted by squared similarity, and the largest one."""
    if len(similarities) > NEIGHBOURS:
        chosen = np.argpartition(similarities, -NEIGHBOURS)[-NEIGHBOURS:]
    else:
        chosen = np.arange(len(similarities))
    picked = similarities[chosen]
    weights = np.maximum(picked, 0.0) ** 2
    # Half a neighbour's weight on nothing: with no neighbour near, the mean of the task stands.
    return weights @ values[chosen] / (weights.sum() + 0.5), float(picked.max(initial=0.0))


def _checked(manifest: PromptManifest, tensors: dict[str, NDArray[np.generic]]) -> dict[str, Floats32]:
    q, r = 2 * manifest.candidates + 1, len(tensors["references"]) if "references" in tensors else 0
    d = tensors["projection"].shape[-1] if "projection" in tensors else 0
    wanted = {
        "idf": (BUCKETS,),
        "linear": (BUCKETS, q),
        "structure": (STRUCTURE + manifest.embedded + 1, q),
        "projection": (BUCKETS, d),
        "references": (r, d + manifest.embedded),
        "neighbours": (r, q),
        "task_means": (len(manifest.tasks) + 1, q),
        "stack": (STACKED, q),
    }
    for name, shape in wanted.items():
        if name not in tensors or tensors[name].shape != shape:
            found = tensors[name].shape if name in tensors else "missing"
            raise StudentError(f"The router's tensor {name} is {found}, not {shape}.", "Fit the router again.")
    return {name: np.ascontiguousarray(tensors[name], np.float32) for name in wanted}
