"""What is derived from a trace when it is sealed. The sealer derives it; the trace table holds it beside the trace."""

from __future__ import annotations

from typing import Literal

import msgspec


class Derived(msgspec.Struct, frozen=True, kw_only=True):
    """The derived columns of one trace."""

    answer: str | None = None
    """Text of the first choice as far as it came; None if there is none. See `finish_reason` before trusting it."""
    finish_reason: str = ""
    """OpenAI's word for it (`stop`, `length` …), whatever the API; empty if the answer never finished."""
    input_tokens: int = 0
    """Cached ones included."""
    cached_input_tokens: int = 0
    """Of the input, read from the provider's cache."""
    cache_write_tokens: int = 0
    """Of the input, written to the provider's cache, which some charge more for."""
    output_tokens: int = 0
    tokens_source: Literal["measured", "estimated", ""] = ""
    cost_nanousd: int = 0
    """10⁻⁹ dollars."""
    price_source: Literal["config", "quoted", "owned", "cached", "none"] = "none"
    """config: the price in the settings; quoted: genai-prices' list price; owned: a student answered, at no price
    here; cached: the gateway's cache answered, and nothing was billed; none: nobody answered, or the price is unknown
    and the cost is not counted."""
    incumbent_cost_nanousd: int = 0
    """10⁻⁹ dollars that the incumbent would have cost for an owned answer; 0 for any other."""
    incumbent_price_source: Literal["config", "quoted", "none"] = "none"
    """Whose price that is; none: the answer was not owned, or the price is unknown and the saving is not counted."""
    upstream: str = ""
    answer_model: str = ""
    """The model that says it answered, else the one that was asked."""
    terms: str = ""
    """Under whose terms or licence the answer was got, and of which date, `ID@DATE`; `own`; `unknown`; empty if nobody
    answered."""
