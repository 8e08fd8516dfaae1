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


class Rates:
    """By who answers, `upstream/model`. Used by the event loop; `look_up` also by threads."""

    def __init__(self, prices: PriceList, owned: frozenset[str]) -> None:
        """`owned`: upstreams whose models are the organisation's: without a price in the settings they cost nothing."""
        self._prices = prices
        self._owned = owned
        self._rates: dict[str, Rate] = {}
        self._until = time.monotonic() + _REMEMBERED_SECONDS

    def of(self, answerer: str) -> Rate | None:
        """The rate, if it was looked up lately."""
        if time.monotonic() > self._until:
            self._until = time.monotonic() + _REMEMBERED_SECONDS
            self._rates = {}
        return self._rates.get(answerer)

    def look_up(self, answerer: str) -> Rate:
        """Find the rate. The first list price takes about a second, since the list has to be loaded."""
        given = self._cost(answerer, _USUAL, 0, 0)
        cached = self._cost(answerer, _USUAL, _USUAL, 0)
        said = self._cost(answerer, 0, 0, _USUAL)
        if given is None or cached is None or said is None:
            rate = Rate(0.0, 0.0, 0.0, answerer.partition("/")[0] in self._owned)
        else:
            rate = Rate(given / _USUAL, cached / _USUAL, said / _USUAL, True)
        self._rates[answerer] = rate
        return rate

    def nanousd(self, answerer: str, given: int, cached: int, said: int) -> int:
        """What so many tokens cost (`cached` of those `given`); 0 where that is unknown."""
        if answerer.startswith("student/"):
            return 0
        if given > LONG:
            return self._cost(answerer, given, cached, said) or 0
        rate = self._rates.get(answerer) or self.look_up(answerer)
        return int((given - cached) * rate.input + cached * rate.cached + said * rate.output)

    def _cost(self, answerer: str, given: int, cached: int, said: int) -> int | None:
        upstream, _, model = answerer.partition("/")
        nano, source = self._prices.cost(
            upstream, (model,), input=given, cached=cached, output=said, at_ns=time.time_ns()
        )
        return None if source == "none" else nano
