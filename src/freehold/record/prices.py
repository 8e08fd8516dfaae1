"""What tokens cost: the price in the settings, else genai-prices' list price (bundled with it: no network)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from freehold.config import UpstreamSettings

if TYPE_CHECKING:
    from genai_prices.types import PriceCalculation

_NANO = 1_000_000_000
_NANO_PER_MILLIONTH = 1_000
"""A dollar per million tokens is 1,000 nano-dollars per token."""


class PriceList:
    """Prices per upstream and model; what was found is remembered."""

    def __init__(self, upstreams: Mapping[str, UpstreamSettings]) -> None:
        self._upstreams = upstreams
        self._quotes: dict[tuple[str, tuple[str, ...]], PriceCalculation | None] = {}

    def cost(
        self, upstream: str, models: tuple[str, ...], *, input: int, cached: int, output: int, at_ns: int
    ) -> tuple[int, Literal["config", "quoted", "none"]]:
        """Nano-dollars for so many tokens (`cached` of the `input` ones), and whose price that is.

        Args:
            upstream: its name in the settings.
            models: the model's names, the best first: as it was asked for, as the answer calls it.
            input: tokens in, cached ones included.
            cached: of those, read from the provider's cache.
            output: tokens out.
            at_ns: when, unix nanoseconds: list prices change with time.
        """
        settings = self._upstreams.get(upstream)
        prices = settings.prices if settings else {}
        price = next((prices[name] for name in (*models, "*") if name in prices), None)
        if price is not None:
            cached_price = price.input if price.cached_input is None else price.cached_input
            dollars = (input - cached) * price.input + cached * cached_price + output * price.output
            return round(dollars * _NANO_PER_MILLIONTH), "config"
        quote = self._quote(upstream, models)
        if quote is None:
            return 0, "none"
        return _quoted(quote, input, cached, output, at_ns), "quoted"

    def _quote(self, upstream: str, models: tuple[str, ...]) -> PriceCalculation | None:
        key = (upstream, models)
        if key not in self._quotes:
            settings = self._upstreams.get(upstream)
            self._quotes[key] = _look_up(settings.base_url if settings else None, models)
        return self._quotes[key]


def _look_up(base_url: str | None, models: tuple[str, ...]) -> PriceCalculation | None:
    """A calculation that carries the provider and model; a model behind an unknown address has its maker's price."""
    from genai_prices import Usage, calc_price

    for url in (base_url, None):
        for model in models:
            where: dict[str, Any] = {"provider_api_url": url} if url else {}
            try:
                return calc_price(Usage(input_tokens=0, output_tokens=0), model, **where)
            except LookupError:
                continue
    return None


def _quoted(quote: PriceCalculation, input: int, cached: int, output: int, at_ns: int) -> int:
    from genai_prices import Usage

    at = datetime.fromtimestamp(at_ns / _NANO, tz=UTC)
    price = quote.model.get_prices(at)
    per_input, per_output = price.input_mtok, price.output_mtok
    per_cached = price.cache_read_mtok if price.cache_read_mtok is not None else per_input
    if isinstance(per_input, Decimal) and isinstance(per_output, Decimal) and isinstance(per_cached, Decimal):
        # A flat price: the same sum as the library's, for a fiftieth of its time.
        dollars = (input - cached) * per_input + cached * per_cached + output * per_output
        return round(dollars * _NANO_PER_MILLIONTH)
    usage = Usage(input_tokens=input, output_tokens=output, cache_read_tokens=cached)
    return round(quote.model.calc_price(usage, quote.provider, genai_request_timestamp=at).total_price * _NANO)
