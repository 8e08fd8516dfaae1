"""Which upstream serves a model, and which to fall back to."""

from __future__ import annotations

from collections.abc import Sequence

from freehold.domain.errors import ModelNotFound, UpstreamError
from freehold.upstreams.base import RETRYABLE, Upstream, UpstreamRequest, UpstreamResponse
from freehold.upstreams.matching import ModelMap


class Entry:
    """An upstream with the models it serves (names or globs; none: any other) and its fallbacks' names."""

    __slots__ = ("fallbacks", "models", "upstream")

    def __init__(self, upstream: Upstream, models: Sequence[str] = (), fallbacks: Sequence[str] = ()) -> None:
        self.upstream = upstream
        self.models = tuple(models)
        self.fallbacks = tuple(fallbacks)


class UpstreamDirectory:
    """Finds the upstream of a model: exact name, then glob, then the first that takes any model."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = {entry.upstream.name: entry for entry in entries}
        self._map = ModelMap({name: entry.models for name, entry in self.entries.items()})

    @property
    def default(self) -> str | None:
        """Where a request that names no known model goes: the one that takes any, else the only one."""
        return self._map.any or (next(iter(self.entries)) if len(self.entries) == 1 else None)

    def find(self, model: str) -> str:
        """The name of the upstream that serves `model`.

        Raises:
            ModelNotFound: no upstream does; the message lists the models there are.
        """
        name = self._map.find(model)
        if name is None:
            known = sorted({model for entry in self.entries.values() for model in entry.models})
            raise ModelNotFound(
                f"No upstream serves the model {model!r}.", f"Models here: {', '.join(known) or 'none'}."
            )
        return name

    async def send(self, name: str, request: UpstreamRequest) -> tuple[str, UpstreamResponse]:
        """Send to `name`, then to its fallbacks in order while the answer is one that another may cure.

        The caller's own Authorization is not carried to a fallback at another origin: give such a fallback a key.
        Returns the name of the upstream that answered, and its answer; the last one's is returned as it is.

        Raises:
            UpstreamError: the last upstream did not begin an answer.
        """
        first = self.entries[name]
        authorization = request.authorization
        for fallback in (name, *first.fallbacks):
            upstream = self.entries[fallback].upstream
            request.authorization = authorization if upstream.origin == first.upstream.origin else None
            last = fallback == (first.fallbacks[-1] if first.fallbacks else name)
            try:
                response = await upstream.send(request)
            except UpstreamError:
                if last:
                    raise
            else:
                if last or response.status not in RETRYABLE:
                    return fallback, response
                response.close()
        raise AssertionError("the last upstream returns or raises")

    async def aclose(self) -> None:
        """Close every upstream."""
        for entry in self.entries.values():
            await entry.upstream.aclose()
