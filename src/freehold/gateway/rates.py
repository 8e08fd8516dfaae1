"""What a model's tokens cost, remembered: for limits in the request's path. The ledger looks prices up anew."""

from __future__ import annotations

import time
from typing import NamedTuple

from freehold.record.prices import PriceList

_REMEMBERED_SECONDS = 3600.0
"""List prices change with time."""
_USUAL = 10_000
"""Tokens at which a price is taken. Some models cost more for long prompts: those are looked up each time."""
LONG = 100_000


class Rate(NamedTuple):
    """Nano-dollars per token."""

    input: float
    cached: float
    output: float
    known: bool
    """Whether there is a price at all; zeros if not."""
    until: float
    """Monotonic seconds."""


class Rates:
    """Used by the event loop; `look_up` also by threads."""

    def __init__(self, prices: PriceList, owned: frozenset[str]) -> None:
        """`owned`: upstreams whose models are the organisation's: without a price in the settings they cost nothing."""
        self._prices = prices
        self._owned = owned
        self._rates: dict[tuple[str, str], Rate] = {}

    def of(self, upstream: str, model: str) -> Rate | None:
        """The rate, if it was looked up lately."""
        rate = self._rates.get((upstream, model))
        return rate if rate is not None and time.monotonic() < rate.until else None

    def look_up(self, upstream: str, model: str) -> Rate:
        """Find the rate. The first list price takes about a second, since the list has to be loaded."""
        until = time.monotonic() + _REMEMBERED_SECONDS
        amounts = ((_USUAL, 0, 0), (_USUAL, _USUAL, 0), (0, 0, _USUAL))
        costs = [self._cost(upstream, model, *amount) for amount in amounts]
        if any(cost is None for cost in costs):
            rate = Rate(0.0, 0.0, 0.0, upstream in self._owned or upstream == "student", until)
        else:
            given, cached, said = ((cost or 0) / _USUAL for cost in costs)
            rate = Rate(given, cached, said, True, until)
        self._rates[upstream, model] = rate
        return rate

    def nanousd(self, upstream: str, model: str, given: int, cached: int, said: int) -> int:
        """What so many tokens cost (`cached` of those `given`); 0 where that is unknown."""
        if given > LONG:
            return self._cost(upstream, model, given, cached, said) or 0
        rate = self.of(upstream, model) or self.look_up(upstream, model)
        return int((given - cached) * rate.input + cached * rate.cached + said * rate.output)

    def _cost(self, upstream: str, model: str, given: int, cached: int, said: int) -> int | None:
        nano, source = self._prices.cost(
            upstream, (model,), input=given, cached=cached, output=said, at_ns=time.time_ns()
        )
        return None if source == "none" else nano
