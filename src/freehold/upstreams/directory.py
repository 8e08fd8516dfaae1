"""Which upstream serves a model, and which to fall back to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from freehold.domain.errors import ModelNotFound, UpstreamUnreachable
from freehold.upstreams.base import Call, Sink, Upstream, UpstreamRequest, UpstreamResponse
from freehold.upstreams.falling import Falling
from freehold.upstreams.health import Health
from freehold.upstreams.matching import ModelMap
from freehold.upstreams.reading import Answer


class Entry:
    """An upstream with the models it serves (names or globs; none: any other), and its fallbacks in order.

    A fallback is the name of an upstream, or that with the model to ask it for in place of the caller's.
    """

    __slots__ = ("by_name_only", "fallbacks", "models", "upstream")

    def __init__(
        self,
        upstream: Upstream,
        models: Sequence[str] = (),
        fallbacks: Sequence[str | tuple[str, str]] = (),
        *,
        by_name_only: bool = False,
    ) -> None:
        """`by_name_only`: it gets no request that names none of its models, even if there is no other upstream."""
        self.by_name_only = by_name_only
        self.upstream = upstream
        self.models = tuple(models)
        self.fallbacks = tuple((each, "") if isinstance(each, str) else each for each in fallbacks)


class UpstreamDirectory:
    """Finds the upstream of a model: exact name, then glob, then the first that takes any model."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = {entry.upstream.name: entry for entry in entries}
        self.without: Callable[[], frozenset[str]] = frozenset
        """Says which upstreams nothing falls back to at present."""
        self._map = ModelMap({name: entry.models for name, entry in self.entries.items()})

    @property
    def default(self) -> str | None:
        """Where a request that names no known model goes: the one that takes any, else the only one."""
        return self._map.any or (self.open[0] if len(self.open) == 1 else None)

    @property
    def open(self) -> list[str]:
        """Names of the upstreams that may get requests which name no model."""
        return [name for name, entry in self.entries.items() if not entry.by_name_only]

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

    def start(self, name: str, request: UpstreamRequest, sink: Sink) -> Call:
        """Send to `name`, then to its fallbacks in order while the answer is one that another may cure.

        The caller's own key is not carried to a fallback at another origin: give such a fallback a key of its own. A
        request by another protocol than an upstream's is translated. `sink` hears the name of the upstream that
        answers; the last one's answer, or error, comes as it is.

        Raises:
            RequestError: the upstream's protocol has not what the request asks for.
            UpstreamUnreachable: there is no such upstream any more.
        """
        entry = self._entry(name)
        if not entry.fallbacks:
            return entry.upstream.start(request, sink)
        return self._falling(entry, request, sink, other_models=True)

    async def send(self, name: str, request: UpstreamRequest) -> tuple[str, UpstreamResponse]:
        """`start`, for a coroutine that waits for the head: the name of the upstream that answers, and its answer.

        Fallbacks with a model of their own are left out: ladders, audits and judges want to know what the model that
        they ask says, and another's answer would be taken for its.

        Raises:
            RequestError: see `start`.
            UpstreamError: the last upstream did not begin an answer.
        """
        answer = Answer()
        call = self._falling(self._entry(name), request, answer, other_models=False)
        await answer.head(call)
        return answer.upstream, answer

    def _entry(self, name: str) -> Entry:
        entry = self.entries.get(name)
        if entry is None:  # whoever asks holds on to a name from before the settings changed
            raise UpstreamUnreachable(f"Upstream {name!r} is not configured any more.", "Try again.")
        return entry

    def health(self) -> list[Health]:
        """How each deployment of each upstream does, as this worker sees it."""
        return [health for entry in self.entries.values() for health in entry.upstream.health()]

    def _falling(self, entry: Entry, request: UpstreamRequest, sink: Sink, *, other_models: bool) -> Call:
        steps, cut = [(entry.upstream, "")], self.without()
        for fallback, model in entry.fallbacks:
            if (other_models or not model) and fallback not in cut:
                steps.append((self.entries[fallback].upstream, model))
        return Falling(steps, request, sink)

    async def aclose(self) -> None:
        """Close every upstream."""
        for entry in self.entries.values():
            await entry.upstream.aclose()
