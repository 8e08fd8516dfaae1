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
        self,
        upstream: str,
        models: tuple[str, ...],
        *,
        input: int,
        cached: int,
        output: int,
        at_ns: int,
        written: int = 0,
        written_hour: int = 0,
    ) -> tuple[int, Literal["config", "quoted", "none"]]:
        """Nano-dollars for so many tokens (`cached` and `written` of the `input` ones), and whose price that is.

        Args:
            upstream: its name in the settings.
            models: the model's names, the best first: as it was asked for, as the answer calls it.
            input: tokens in, cached ones included.
            cached: of those, read from the provider's cache.
            output: tokens out.
            at_ns: when, unix nanoseconds: list prices change with time.
            written: of the input, written to the provider's cache.
            written_hour: of the written ones, those kept for an hour; the settings know one price for all.
        """
        settings = self._upstreams.get(upstream)
        prices = settings.prices if settings else {}
        price = next((prices[name] for name in (*models, "*") if name in prices), None)
        if price is not None:
            cached_price = price.input if price.cached_input is None else price.cached_input
            written_price = price.input if price.cache_write is None else price.cache_write
            dollars = (input - cached - written) * price.input + output * price.output
            dollars += cached * cached_price + written * written_price
            return round(dollars * _NANO_PER_MILLIONTH), "config"
        quote = self._quote(upstream, models)
        if quote is None:
            return 0, "none"
        counts = {"input": input, "cache_read": cached, "cache_write": written, "output": output}
        return _quoted(quote, {name: count for name, count in counts.items() if count}, written_hour, at_ns), "quoted"

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


def _quoted(quote: PriceCalculation, counts: dict[str, int], written_hour: int, at_ns: int) -> int:
    """`counts`: by kind; those of the cache are among the input's."""
    from genai_prices import Usage

    at = datetime.fromtimestamp(at_ns / _NANO, tz=UTC)
    price = quote.model.get_prices(at)
    prices = {kind: getattr(price, f"{kind}_mtok", None) for kind in counts}
    flat = {kind: value for kind, value in prices.items() if isinstance(value, Decimal)}
    if len(flat) == len(prices) and not written_hour:
        # Flat prices: the same sum as the library's, for a fiftieth of its time.
        given = counts.get("input", 0) - counts.get("cache_read", 0) - counts.get("cache_write", 0)
        dollars = sum(({**counts, "input": given}[kind] * value for kind, value in flat.items()), Decimal(0))
        return round(dollars * _NANO_PER_MILLIONTH)
    named = {f"{kind}_tokens": count for kind, count in counts.items()}
    if written_hour:
        named["cache_write_1h_tokens"] = written_hour
    return round(quote.model.calc_price(Usage(**named), quote.provider, genai_request_timestamp=at).total_price * _NANO)
