"""Input checks shared by the tests: bad evidence raises, so that it can never become a certificate."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from freehold.domain.errors import EvidenceError, RequestError

FloatArray: TypeAlias = NDArray[np.float64]
Floats: TypeAlias = Sequence[float] | FloatArray | NDArray[np.integer] | NDArray[np.bool_]


def check_level(name: str, value: float) -> float:
    """`value` if it lies strictly between 0 and 1 (an ε, a δ, a power).

    Raises:
        RequestError: it does not, or is not a number.
    """
    if not 0.0 < value < 1.0:
        raise RequestError(f"`{name}` is {value}, but must lie strictly between 0 and 1.", f"Choose another {name}.")
    return float(value)


def check_range(low: float, high: float) -> None:
    """Check the range that losses are said to lie in.

    Raises:
        RequestError: it is empty or not finite.
    """
    if not (isfinite(low) and isfinite(high) and low < high):
        raise RequestError(f"Losses cannot lie in [{low}, {high}].", "Give a finite low below a finite high.")


def as_losses(losses: Floats, low: float = 0.0, high: float = 1.0) -> FloatArray:
    """The losses as a float64 vector, shape (n,), after checking each.

    Raises:
        EvidenceError: not a vector, or some loss is not a number or lies outside [low, high].
    """
    check_range(low, high)
    values = as_vector("losses", losses)
    outside = (values < low) | (values > high)
    if outside.any():
        where = int(np.argmax(outside))
        raise EvidenceError(
            f"{int(outside.sum())} of {values.size} losses lie outside [{low}, {high}]; the first is number {where}: "
            f"{values[where]}.",
            "Correct the scorer, or state the range of its losses.",
        )
    return values


def as_vector(name: str, values: Floats) -> FloatArray:
    """`values` as a float64 vector, shape (n,), all finite.

    Raises:
        EvidenceError: not a vector of numbers, or some value is NaN or infinite.
    """
    try:
        vector = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise EvidenceError(f"`{name}` are not numbers: {error}.", "Leave out what could not be scored.") from error
    if vector.ndim != 1:
        raise EvidenceError(f"`{name}` have {vector.ndim} dimensions instead of 1.", "Pass one number per request.")
    finite = np.isfinite(vector)
    if not finite.all():
        where = int(np.argmin(finite))
        raise EvidenceError(
            f"{int((~finite).sum())} of {vector.size} `{name}` are not finite; the first is number {where}.",
            "Leave out what could not be scored, and say how much that was.",
        )
    return vector
