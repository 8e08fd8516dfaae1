"""What a caller's headers say: to the gateway, and to the upstream."""

from __future__ import annotations

from copy import copy

from freehold.access import Grant
from freehold.domain.episodes import is_name
from freehold.domain.errors import RequestError
from freehold.gateway.http import Request
from freehold.gateway.runs import TOLD, Place, placed, told
from freehold.upstreams.base import HOP_BY_HOP, Headers

PREFIX = b"x-freehold-"
_PLACES = frozenset((b"episode", b"agent", b"parent", b"subject"))
_NO_NAMES: dict[str, str] = {}
_NOT_FORWARDED = HOP_BY_HOP | {
    b"host",  # the upstream's own is sent
    b"content-length",  # set from the body that is sent
    b"accept-encoding",  # see `freehold.upstreams.http.deployment`
    b"expect",  # answered here
}


class Caller:
    """A request's headers, read once."""

    __slots__ = (
        "_named",
        "_orders",
        "_told",
        "api_key",
        "authorization",
        "buffered",
        "cached",
        "content_type",
        "credentials",
        "forward",
        "grant",
        "heads",
        "method",
        "pinned",
        "place",
        "recorded",
        "task",
        "upstream_path",
    )

    def __init__(self, request: Request) -> None:
        """Read a request's line and headers; what the caller orders by them is for `admitted`."""
        self.method = request.method
        rest = request.raw_path.removeprefix(b"/v1")
        self.upstream_path = rest + b"?" + request.query if request.query else rest
        """What follows an upstream's base URL."""
        self.authorization: bytes | None = None
        self.api_key: bytes | None = None
        """`x-api-key`, as Anthropic's clients send their key. Neither of the two is held in `forward`."""
        self.content_type = b""
        self.place: Place | None = None
        """In which agent's run; None if its head says nothing of that, nor whose data it is."""
        self.pinned = False
        self.buffered = False
        """A streamed answer may be looked at whole before its first word is sent."""
        self.cached = True
        """A kept answer may be given, and this one kept, where the cache is on."""
        self.recorded = True
        self.task = b""
        self.grant: Grant
        """What its key allows."""
        self._orders: Headers = []
        self._told: Headers = []
        self._named = _NO_NAMES
        self.forward: Headers = []
        """What goes upstream; keys are kept apart."""
        hop_names: list[bytes] = []
        for header in request.headers:
            name, value = header
            if name == b"authorization":
                self.authorization = value
            elif name == b"x-api-key":
                self.api_key = value
            elif name == b"connection":
                hop_names += (part.strip().lower() for part in value.split(b","))
            elif name.startswith(PREFIX):
                self._orders.append(header)
            elif name not in _NOT_FORWARDED:
                self.forward.append(header)
                if name == b"content-type":
                    self.content_type = value
                elif name in TOLD:
                    self._told.append(header)
        self.credentials = (self.authorization, self.api_key)
        """Both as they were sent."""
        self.heads: dict[object, bytes] = {}
        """What upstreams make of this head, for requests that repeat it."""
        if hop_names and hop_names not in ([b"keep-alive"], [b"close"]):
            self.forward = [header for header in self.forward if header[0] not in hop_names]

    def admitted(self, grant: Grant) -> None:
        """The key is good: look at the rest.

        Raises:
            RequestError: a freehold header has a value that is not one of its values.
        """
        self.grant = grant
        if grant.own:  # then the key is the gateway's, and goes nowhere
            self.authorization = self.api_key = None
        for name, value in self._orders:
            self._order(name[len(PREFIX) :], value.strip())
        if self._named or self._told:
            self.place = placed(self._named, told(self._told))

    def works_in(self, run: Place) -> None:
        """The base URL says which agent's run it is; what headers of ours say counts more.

        Where the URL is one for all agents of a harness that names them itself, its names count.
        """
        harness = told(self._told) if self._told and run.agent is None else None
        if harness is not None and harness.linked == "session":
            run = run._replace(agent=harness.agent, parent=harness.parent or run.parent)
        self.place = placed(self._named, run)

    def with_forward(self, headers: Headers) -> Caller:
        """The same caller with other headers to go upstream; other requests with its head keep theirs."""
        other = copy(self)
        other.forward, other.heads = headers, {}
        return other

    def _order(self, name: bytes, value: bytes) -> None:
        if name == b"task":
            self.task = value
        elif name == b"record":
            self.recorded = _choice(name, value, {b"on": True, b"off": False})
        elif name == b"cache":
            self.cached = _choice(name, value, {b"on": True, b"off": False})
        elif name == b"pin":
            self.pinned = _choice(name, value, {b"incumbent": True, b"none": False})
        elif name == b"buffer":
            self.buffered = _choice(name, value, {b"allow": True, b"deny": False})
        elif name in _PLACES:
            self._named = {**self._named, name.decode(): _identifier(name, value)}


def _choice(name: bytes, value: bytes, choices: dict[bytes, bool]) -> bool:
    chosen = choices.get(value.lower())
    if chosen is None:
        known = ", ".join(choice.decode() for choice in choices)
        raise RequestError(f"The header x-freehold-{name.decode()} has a value that is not known.", f"Send: {known}.")
    return chosen


def _identifier(name: bytes, value: bytes) -> str:
    """An id of ours, or any other name of the caller's."""
    text = value.decode("ascii", errors="replace")
    if is_name(text):
        return text
    raise RequestError(
        f"The header x-freehold-{name.decode(errors='replace')} is not an identifier.",
        "Send 1 to 128 visible ASCII characters.",
    )
