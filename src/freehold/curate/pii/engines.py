"""Who looks: the detectors built in, Presidio, or both."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Literal, Protocol

from freehold.curate.pii.kinds import KINDS
from freehold.curate.pii.scan import find, find_many
from freehold.curate.pii.spans import Span, resolve


class Engine(Protocol):
    """Finds in texts what it knows; findings of one text do not overlap and are in order."""

    def find(self, text: str) -> list[Span]:
        """What one text holds."""
        ...

    def find_many(self, texts: Sequence[str]) -> list[list[Span]]:
        """What each text holds."""
        ...


class BuiltIn:
    """The detectors of this package, for some kinds."""

    def __init__(self, kinds: Collection[str] = KINDS) -> None:
        self._kinds = frozenset(kinds)

    def find(self, text: str) -> list[Span]:
        """What one text holds."""
        return find(text, self._kinds)

    def find_many(self, texts: Sequence[str]) -> list[list[Span]]:
        """What each text holds."""
        return find_many(texts, self._kinds)


class Both:
    """What either of two engines finds."""

    def __init__(self, first: Engine, second: Engine) -> None:
        self._first = first
        self._second = second

    def find(self, text: str) -> list[Span]:
        """What one text holds."""
        return resolve([*self._first.find(text), *self._second.find(text)])

    def find_many(self, texts: Sequence[str]) -> list[list[Span]]:
        """What each text holds."""
        pairs = zip(self._first.find_many(texts), self._second.find_many(texts), strict=True)
        return [resolve([*one, *other]) for one, other in pairs]


class OfKinds:
    """Of what an engine finds, some kinds."""

    def __init__(self, engine: Engine, kinds: Collection[str]) -> None:
        self._engine = engine
        self._kinds = frozenset(kinds)

    def find(self, text: str) -> list[Span]:
        """What one text holds."""
        return [span for span in self._engine.find(text) if span.kind in self._kinds]

    def find_many(self, texts: Sequence[str]) -> list[list[Span]]:
        """What each text holds."""
        return [[span for span in spans if span.kind in self._kinds] for spans in self._engine.find_many(texts)]


EngineName = Literal["builtin", "presidio", "both"]


def make_engine(name: EngineName = "builtin", kinds: Collection[str] = (), model: str = "") -> Engine:
    """The engine of that name, for some kinds; for all that it knows if none is named.

    Args:
        name: whose detectors.
        kinds: as in `freehold.curate.pii.kinds`; Presidio knows more, whose names begin with `presidio-`.
        model: for Presidio: an installed spaCy pipeline that finds names and places; empty: they are not looked for.

    Raises:
        ConfigError: Presidio, or the model, is not installed.
    """
    own = BuiltIn(kinds or KINDS)
    if name == "builtin":
        return own
    presidio = OfKinds(_presidio(model), kinds) if kinds else _presidio(model)
    return presidio if name == "presidio" else Both(own, presidio)


@lru_cache(maxsize=2)
def _presidio(model: str) -> Engine:
    """It takes seconds to make: once for all batches of a process."""
    from freehold.curate.pii.presidio import Presidio

    return Presidio(model)
