"""What a translation gives."""

from __future__ import annotations

import msgspec


class Translated(msgspec.Struct, frozen=True, kw_only=True):
    """A document in the other protocol."""

    body: bytes
    """JSON."""
    dropped: dict[str, str]
    """Fields that were left out because the answer does not depend on them, and why: never left out in silence."""


class TranslatedRequest(Translated, frozen=True, kw_only=True):
    """A request in the other protocol, and what the way back must know of it."""

    stream: bool
    include_usage: bool
    """Whether an OpenAI caller wants the usage at a stream's end."""
