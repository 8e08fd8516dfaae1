"""Passes an upstream's answer on to the caller as it comes, and keeps a copy for the trace."""

from __future__ import annotations

from collections.abc import Callable

from freehold.domain.errors import UpstreamError
from freehold.gateway.cache.repeat import keep
from freehold.gateway.dialect import own_sink
from freehold.gateway.telemetry.spans import TimedAttempts
from freehold.gateway.turn import Turn
from freehold.upstreams.base import Call, Headers, UpstreamRequest, UpstreamResponse

_ENDINGS = (b"\n\n", b"\r\n\r\n", b"\r\r")
_TAIL_BYTES = 64
"""Enough of a stream to see how it ended."""


class Copy:
    """The first `limit` bytes of a body, and its last."""

    __slots__ = ("_limit", "_parts", "_size", "tail")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0
        self.tail = b""
        """The last bytes that came, kept or not."""

    def add(self, chunk: bytes) -> None:
        """Keep what of `chunk` still fits."""
        room = self._limit - self._size
        self._size += len(chunk)
        if room > 0:
            self._parts.append(chunk if len(chunk) <= room else chunk[:room])
        self.tail = chunk[-_TAIL_BYTES:] if len(chunk) >= _TAIL_BYTES else (self.tail + chunk)[-_TAIL_BYTES:]

    @property
    def kept(self) -> bytes:
        """What was kept."""
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    @property
    def truncated(self) -> bool:
        """Whether there was more."""
        return self._size > self._limit


class Relay:
    """The `Sink` of a caller's answer, and its reply's `Listener`. The trace is kept before the last byte goes out.

    An answer that breaks off is cut for the caller, too.
    """

    __slots__ = (
        "_asked",
        "_call",
        "_copy",
        "_exchange",
        "_headers",
        "_messages",
        "_model",
        "_paused",
        "_reply",
        "_status",
        "_then",
        "_turn",
    )

    def __init__(
        self,
        turn: Turn,
        model: str,
        then: Callable[[], None] | None = None,
        asked: UpstreamRequest | None = None,
    ) -> None:
        """`model`: the one that is asked, unless `asked` comes to say that a fallback was asked for another; `then` is
        called after an answer that went out whole."""
        self._asked = asked
        self._turn = turn
        self._exchange = turn.exchange
        self._messages = turn.exchange.api == "messages"
        self._reply = turn.reply
        self._model = model
        self._then = then
        self._copy: Copy | None = None
        self._call: Call | None = None
        self._paused = False
        self._status = 0
        self._headers: Headers = []

    def carry(self, call: Call) -> None:
        """Who brings the answer: told when the caller is slow or leaves."""
        self._call = call
        if self._paused:
            call.pause()

    # What the upstream calls.

    def begin(self, upstream: str, status: int, headers: Headers) -> None:
        """See `Sink`."""
        exchange = self._exchange
        exchange.began_answering()
        asked = self._asked
        if asked is not None and asked.asked_model:
            self._model, exchange.reason = asked.asked_model, "fallback"
        exchange.answered_by = f"{upstream}/{self._model}"
        exchange.status = self._status = status
        # The provider's rates are those of all our keys together: a caller with rates of its own is told those.
        self._headers = without_rates(headers) if self._turn.caller.grant.rated else headers

    def data(self, chunk: bytes, last: bool) -> None:
        """See `Sink`."""
        reply = self._reply
        if not reply.started:
            reply.start(self._status, self._headers + self._exchange.headers())
        copy = self._copy
        if copy is None:
            limit = self._turn.runtime.settings.gateway.max_recorded_response_bytes
            if last and len(chunk) <= limit and not self._exchange.stream:
                self._whole(chunk)
                return
            copy = self._copy = Copy(limit)
        copy.add(chunk)
        # Clients stop reading at [DONE]: for them that is the end, so what must be true at the end must be now.
        if last or (
            self._exchange.stream
            and (copy.tail.rstrip().endswith(b"data: [DONE]") or (self._messages and _is_stop(copy.tail)))
        ):
            self._finish(copy)
        reply.body(chunk, last)
        if last:
            self._over()

    def fail(self, error: UpstreamError) -> None:
        """See `Sink`."""
        self.store()
        self._turn.refuse(error)

    # What the caller's connection calls.

    def gone(self) -> None:
        """See `Listener`."""
        self.store()
        self._turn.gone()
        if self._call is not None:
            self._call.cancel()

    def pause(self) -> None:
        """See `Listener`."""
        self._paused = True
        if self._call is not None:
            self._call.pause()

    def resume(self) -> None:
        """See `Listener`."""
        self._paused = False
        if self._call is not None:
            self._call.resume()

    def _whole(self, body: bytes) -> None:
        """The answer has come in one piece, as most short ones do."""
        exchange = self._exchange
        exchange.response = body
        if self._turn.look is not None and self._asked is not None:
            keep(self._turn, self._turn.look, self._headers)
        exchange.finish()
        self._reply.body(body, True)
        self._over()

    def _over(self) -> None:
        """Let go of each other: cycles would leave it to the garbage collector to find each request."""
        self._call = self._reply.listener = None
        if self._then is not None:
            self._then()

    def store(self) -> None:
        """Hand the copy to the exchange, unless it is recorded already."""
        if self._copy is not None and not self._exchange.finished:
            self._exchange.response, self._exchange.truncated = self._copy.kept, self._copy.truncated

    def _finish(self, copy: Copy) -> None:
        exchange = self._exchange
        if not exchange.finished:
            if exchange.stream:
                self._check_ending(copy)
            exchange.response, exchange.truncated = copy.kept, copy.truncated
            if self._turn.look is not None and self._asked is not None:
                keep(self._turn, self._turn.look, self._headers)
            exchange.finish()

    def _check_ending(self, copy: Copy) -> None:
        """A stream that ends within an event is passed on as it is, but the trace says so."""
        for name, value in self._headers:
            if name == b"content-type" and value.startswith(b"text/event-stream"):
                if copy.tail and not copy.tail.endswith(_ENDINGS):
                    self._exchange.failed("upstream_protocol_error", "The event stream ended within an event.")
                return


def without_rates(headers: Headers) -> Headers:
    """`headers` but for `x-ratelimit-*`."""
    return [header for header in headers if not header[0].lower().startswith(b"x-ratelimit-")]


def _is_stop(tail: bytes) -> bool:
    """Whether a stream of Anthropic's ends here. Within a text of its events the quotes would be escaped."""
    return b'"type":"message_stop"' in tail or b'"type": "message_stop"' in tail


def pass_on(turn: Turn, upstream: str, then: Callable[[], None] | None = None) -> None:
    """Send the request's bytes to `upstream` and its answer's bytes back; a failure is told to the caller."""
    caller, exchange = turn.caller, turn.exchange
    request = UpstreamRequest(
        method=caller.method,
        path=caller.upstream_path,
        headers=caller.forward,
        body=turn.body,
        authorization=caller.authorization,
        api_key=caller.api_key,
        heads=caller.heads,
    )
    if exchange.span is not None:
        request.attempts = TimedAttempts()
    exchange.attempts = request.attempts
    turn.reply.listener = relay = Relay(turn, exchange.model, then, request)
    relay.carry(turn.runtime.upstreams.start(upstream, request, relay))


async def pour(name: str, response: UpstreamResponse, turn: Turn, model: str) -> None:
    """Pass on a chat completion that the turn's coroutine has begun to read."""
    relay = Relay(turn, model)
    sink = own_sink(turn.exchange.api, relay)
    try:
        sink.begin(name, response.status, response.headers)
        at_end = False
        while not at_end and not turn.reply.over:
            chunk = await response.read()
            at_end = response.at_end
            sink.data(chunk, at_end)
            await turn.room()
    except UpstreamError as error:
        sink.fail(error)
    finally:
        response.close()
        relay.store()
