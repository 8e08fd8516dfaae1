"""Which test for which loss; decided by what losses can be, before any certify loss is seen."""

from __future__ import annotations

from freehold.domain.errors import RequestError
from freehold.stats.betting import PValue, betting_test
from freehold.stats.binomial import exact_binomial
from freehold.stats.checks import Floats, as_losses, check_level
from freehold.stats.trinomial import trinomial_test


def loss_test(
    support: Floats, delta: float, low: float = 0.0, high: float = 1.0, *, second_moment: float | None = None
) -> tuple[PValue, str]:
    """The most powerful test at `delta` that is valid for losses in [low, high], and its name.

    `support`: every value the loss can take, or those seen in fit and tune, never in certify. Only 0 and 1, with
    low = 0: "binomial"; only −1, 0, 1: "trinomial"; anything else: "betting", with the `second_moment` forecast there.
    A later loss off the support that was counted on makes the chosen test raise EvidenceError.

    Raises:
        EvidenceError: some value lies outside [low, high] or is not a number.
        RequestError: there is no value, δ is not in (0, 1), or [low, high] is empty.
    """
    check_level("delta", delta)
    values = set(as_losses(support, low, high).tolist())
    if not values:
        raise RequestError("A loss that can take no value cannot be tested.", "State the values, or score some rows.")
    if values <= {0.0, 1.0} and low >= 0.0:
        return exact_binomial, "binomial"
    if values <= {-1.0, 0.0, 1.0}:
        return trinomial_test(delta), "trinomial"
    return betting_test(delta, low, high, second_moment=second_moment), "betting"
