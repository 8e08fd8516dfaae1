"""Streams of labelled traces for refitting: simulated ones, and banking77 with label noise. Needs numpy alone.

Imported both by `refits.py` and, in the peer's own environment, by `peer_tracer.py`: same seed, same streams.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

TARGET, REFITS, TEST_ROWS = 0.95, 30, 4000


class Fit(NamedTuple):
    """What one refit sees, and what its deployment is judged by."""

    x: Any
    """Features, float32, shape (rows, d)."""
    teacher: Any
    """The incumbent's label of each row, int64."""
    test_x: Any
    test_label: Any
    """The right label of each test row."""
    test_noise: Any
    """How likely the incumbent is to give another label there."""
    labels: int

    def agreement(self, predicted: Any, handled: Any) -> float:
        """The expected share of handled test rows where the incumbent would have said the same."""
        hit, noise = predicted == self.test_label, self.test_noise
        same = np.where(hit, 1.0 - noise, noise / (self.labels - 1))
        return float(same[handled].mean())


def fits(kind: str, data: str | None, seed: int, stream: int, rows: int) -> Iterator[Fit]:
    """The refits of one stream, each on fresh traces; `data`: the file that `refits.py` made of banking77."""
    table = dict(np.load(data)) if data else {}
    for number in range(REFITS):
        rng = np.random.default_rng((seed, stream, number))
        yield _banking(rng, table, rows) if kind == "banking77" else _simulated(rng, kind, rows)


def checksum(fit: Fit) -> float:
    """Tells whether two environments drew the same traces."""
    return round(float(fit.x.sum(dtype=np.float64)) + float((fit.teacher * np.arange(len(fit.teacher))).sum()), 3)


def _simulated(rng: np.random.Generator, kind: str, rows: int) -> Fit:
    """Two features; the first tells the right one of two labels. "useful": labels are noisier near the edge."""
    x = rng.normal(size=(rows + TEST_ROWS, 2)).astype(np.float32)
    label = (x[:, 0] > 0).astype(np.int64)
    useful = kind == "useful"
    noise = 0.5 * np.exp(-4.0 * np.abs(x[:, 0])) if useful else np.full(len(x), 1.02 * (1 - TARGET))
    return _fit(rng, x, label, noise, rows, 2)


def _banking(rng: np.random.Generator, table: dict[str, Any], rows: int) -> Fit:
    chosen = rng.permutation(len(table["label"]))[: rows + TEST_ROWS]
    label = table["label"][chosen]
    return _fit(rng, table["x"][chosen], label, np.full(len(chosen), 0.05), rows, int(table["label"].max()) + 1)


def _fit(rng: np.random.Generator, x: Any, label: Any, noise: Any, rows: int, labels: int) -> Fit:
    other = (label + rng.integers(1, labels, len(label))) % labels
    teacher = np.where(rng.random(len(label)) < noise, other, label)
    return Fit(x[:rows], teacher[:rows], x[rows:], label[rows:], noise[rows:], labels)
