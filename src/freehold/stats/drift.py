"""A change detector: says when the loss has left the level it was certified at, with a stated false-alarm rate.

The Shiryaev–Roberts e-detector of Shin, Ramdas and Rinaldo, "E-detectors: a nonparametric framework for sequential
change detection", New England J. Statist. Data Sci. 2 (2024), section 2: a gambler who bets that losses are above the
baseline starts afresh at every time, and M is the sum of all their wealths, Mₜ = (Mₜ₋₁ + 1)·Lₜ with
Lₜ = (1 − f) + f·Xₜ/baseline; the mean of M over a grid of stakes f is again an e-detector (their mixtures). An alarm is
raised at M ≥ `arl`. While the mean loss, given the past, is at most the baseline, Mₜ − t is a supermartingale:

- the expected number of audits to a false alarm is at least `arl`;
- the chance of any false alarm within the first T audits is at most T/`arl`.

No distribution, independence or upper limit of the losses is needed, only that they are not negative; so losses
weighted by inverse propensities may be passed too. The sum (Shiryaev–Roberts) is never below the maximum (CUSUM) at
the same threshold and guarantee, so it is never later.
"""

from __future__ import annotations

import msgspec
import numpy as np

from freehold.domain.errors import EvidenceError, RequestError
from freehold.stats.checks import FloatArray, Floats, as_vector

_STAKES = 12


class DetectorState(msgspec.Struct, frozen=True):
    """All that a change detector remembers; plain numbers."""

    baseline: float
    epsilon: float
    arl: float
    wealth: tuple[float, ...]
    """M of each stake."""
    observations: int
    alarm_at: int | None


class ChangeDetector:
    """Watches losses ≥ 0 for a rise of their mean above `baseline`; most sensitive to a rise to `epsilon` or more."""

    def __init__(self, baseline: float, epsilon: float, *, arl: float = 10_000.0) -> None:
        """`baseline`: the mean loss that is in order (a certificate's upper bound); `arl`: see the module.

        Raises:
            RequestError: not 0 < baseline < epsilon ≤ 1, or `arl` is not above 1.
        """
        if not 0.0 < baseline < epsilon <= 1.0:
            raise RequestError(
                f"A change from {baseline} to {epsilon} cannot be watched for.",
                "Give 0 < baseline < epsilon ≤ 1: the loss in order, and the smallest one worth an alarm.",
            )
        if not 1.0 < arl < float("inf"):
            raise RequestError(f"`arl` is {arl}.", "Give how many audits a false alarm may come in, say 10000.")
        self._baseline, self._epsilon, self._arl = baseline, epsilon, arl
        self._stakes = detector_stakes(baseline, epsilon)
        self._wealth: FloatArray = np.zeros(_STAKES)
        self._observations = 0
        self._alarm_at: int | None = None

    def update(self, losses: Floats) -> bool:
        """Add losses in the order they were seen; True if an alarm has been raised, now or before.

        After an alarm nothing is added: begin a new detector once the cause is dealt with.

        Raises:
            EvidenceError: a loss is NaN, infinite or negative; then none is added.
        """
        values = as_vector("losses", losses)
        if (values < 0).any():
            raise EvidenceError("A loss below 0 cannot be watched.", "Pass max(0, loss), and say so.")
        for loss in values.tolist():
            if self._alarm_at is not None:
                break
            self._observations += 1
            self._wealth = detector_step(self._wealth, self._stakes, loss / self._baseline)
            if self._wealth.mean() >= self._arl:
                self._alarm_at = self._observations
        return self._alarm_at is not None

    @property
    def alarm_at(self) -> int | None:
        """The number of the audit that raised the alarm, counted from 1; None if there was none."""
        return self._alarm_at

    @property
    def observations(self) -> int:
        """How many losses have been added."""
        return self._observations

    @property
    def score(self) -> float:
        """Evidence of a change as a share of what raises an alarm: 1 or more is an alarm."""
        return float(self._wealth.mean()) / self._arl

    def state(self) -> DetectorState:
        """What to store."""
        wealth = tuple(self._wealth.tolist())
        return DetectorState(self._baseline, self._epsilon, self._arl, wealth, self._observations, self._alarm_at)

    @classmethod
    def from_state(cls, state: DetectorState) -> ChangeDetector:
        """Go on from a stored state.

        Raises:
            EvidenceError: the state was not written by `state()`.
        """
        detector = cls(state.baseline, state.epsilon, arl=state.arl)
        wealth = np.asarray(state.wealth, np.float64)
        if wealth.shape != (_STAKES,) or not np.isfinite(wealth).all() or wealth.min() < 0 or state.observations < 0:
            raise EvidenceError("A stored change detector is damaged.", "Start it again from the stored audits.")
        detector._wealth, detector._observations, detector._alarm_at = wealth, state.observations, state.alarm_at
        return detector


def detector_stakes(baseline: float, epsilon: float) -> FloatArray:
    """The stakes, shape (12,): the best ones against 0/1 losses of mean `epsilon` up to (nearly) 1, log-spaced."""
    return np.geomspace((epsilon - baseline) / (1.0 - baseline), 1.0, _STAKES + 1)[:-1]


def detector_step(wealth: FloatArray, stakes: FloatArray, ratio: float | FloatArray) -> FloatArray:
    """One step of M for a loss that is `ratio` times the baseline; broadcasts (streams, 1) against (stakes,)."""
    return (wealth + 1.0) * (1.0 + stakes * (ratio - 1.0))
