"""What an answer cost where the file does not say: its tokens at a given price or at the list price."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from freehold.domain.errors import RequestError


class Price(msgspec.Struct, frozen=True):
    """Dollars per million tokens in and out, or per request."""

    input: float = 0.0
    output: float = 0.0
    request: float = 0.0

    @property
    def by_token(self) -> bool:
        """Whether the numbers of tokens must be known."""
        return bool(self.input or self.output)


def parse_price(text: str) -> tuple[str, Price]:
    """`MODEL=IN,OUT` (dollars per million tokens) or `MODEL=DOLLARS` (per request).

    Raises:
        RequestError: it is neither.
    """
    model, sign, figures = text.rpartition("=")
    try:
        numbers = [float(figure) for figure in figures.split(",")]
    except ValueError:
        numbers = []
    if not sign or not model or len(numbers) not in (1, 2) or not all(0.0 <= number < 1e6 for number in numbers):
        raise RequestError(
            f"{text!r} is not a price.",
            "Write MODEL=IN,OUT in dollars per million tokens, or MODEL=DOLLARS per request.",
        )
    if len(numbers) == 1:
        return model, Price(request=numbers[0])
    return model, Price(input=numbers[0], output=numbers[1])


def list_price(model: str) -> Price | None:
    """The list price of today, from the table that comes with genai-prices (no network); None if it has none.

    Prices in tiers are taken at their lowest tier.
    """
    from genai_prices import Usage, calc_price

    try:
        found = calc_price(Usage(input_tokens=0, output_tokens=0), model)
    except LookupError:
        return None
    into, out = found.model_price.input_mtok, found.model_price.output_mtok
    if into is None or out is None:
        return None
    return Price(
        input=float(into if isinstance(into, Decimal) else into.base),
        output=float(out if isinstance(out, Decimal) else out.base),
    )
