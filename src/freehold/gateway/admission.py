"""Takes a request out of the limits of its caller's key before it goes anywhere, and settles with what it used."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import msgspec

from freehold.access import Ticket
from freehold.domain.errors import Forbidden, FreeholdError
from freehold.gateway.exchange import Exchange
from freehold.gateway.rates import Rate, Rates
from freehold.gateway.turn import Turn
from freehold.gateway.usage import Tokens

Go = Callable[[], None]
_LARGE_BODY = 16_384
_ATTACHED = 1_500
"""Tokens that a picture or sound within a large body is expected to be: its bytes say nothing of them."""
_TEXT_BESIDE = 4_000


class _Asked(msgspec.Struct):
    """What bounds an answer, by the names that it has in the protocols."""

    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None
    n: int | None = None


_decoder = msgspec.json.Decoder(_Asked)


class _Expected(NamedTuple):
    """Tokens that a request is expected to need."""

    given: int
    said: int


def admit(turn: Turn, upstream: str, go: Go) -> None:
    """Let `go` go on with the request once it is within the scope and the limits of its caller's key.

    That is at once where nothing is limited, or a lease is at hand. A limit that is used up is told to the caller.

    Raises:
        Forbidden: the key does not allow the model or the task, or limits dollars and the model's price is unknown.
    """
    grant, exchange = turn.caller.grant, turn.exchange
    if not grant.limited:
        go()
        return
    grant.check(exchange.model, exchange.task_name or turn.caller.task.decode(errors="replace"), exchange.task)
    rate = turn.runtime.rates.of(upstream, exchange.model)
    if rate is not None:
        _take(turn, rate, go)
    else:
        turn.wait_for(_take_later(turn, upstream, go))


async def _take_later(turn: Turn, upstream: str, go: Go) -> None:
    rate = await asyncio.to_thread(turn.runtime.rates.look_up, upstream, turn.exchange.model)
    _take(turn, rate, go)


def _take(turn: Turn, rate: Rate, go: Go) -> None:
    grant = turn.caller.grant
    if grant.costs and not rate.known:
        raise Forbidden(
            f"The key {grant.name!r} has a budget, and the price of {turn.exchange.model!r} is unknown.",
            "Ask whoever runs this gateway to set it: [upstreams.NAME.prices].",
        )
    expected = _expect(turn) if grant.corrected else _Expected(0, 0)
    cost = int(expected.given * rate.input + expected.said * rate.output)
    entry = _Entry(turn, expected, go)
    turn.runtime.access.take(grant, expected.given + expected.said, cost, entry.taken)
    entry.wait()


def _expect(turn: Turn) -> _Expected:
    body = turn.body
    try:
        asked = _decoder.decode(body) if body else _Asked()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        asked = _Asked()  # the upstream will say what is wrong with it
    bounds = (asked.max_tokens, asked.max_completion_tokens, asked.max_output_tokens)
    most = max((bound for bound in bounds if bound is not None), default=None)
    size = len(body)
    if size > _LARGE_BODY:
        attached = body.count(b"base64")
        if attached:
            size = min(size, 4 * (attached * _ATTACHED + _TEXT_BESIDE))
    given, said = turn.caller.grant.estimate(size, None if most is None else max(0, most))
    return _Expected(given, said * max(1, asked.n or 1))


class _Entry:
    """A request at the gate, as its reply's listener while it has to wait there."""

    __slots__ = ("_done", "_expected", "_go", "_gone", "_turn")

    def __init__(self, turn: Turn, expected: _Expected, go: Go) -> None:
        self._turn = turn
        self._expected = expected
        self._go = go
        self._done = False
        self._gone = False

    def wait(self) -> None:
        """Listen to the caller until a lease is there, if it is not yet."""
        if not self._done:
            self._turn.reply.listener = self

    def taken(self, outcome: Ticket | FreeholdError) -> None:
        """Go on, or tell the caller why not."""
        self._done = True
        turn = self._turn
        if self._gone:
            if isinstance(outcome, Ticket):
                outcome.settle(0, 0)
            return
        turn.reply.listener = None
        exchange, grant = turn.exchange, turn.caller.grant
        rates = grant.headers()
        if rates:
            exchange.more_headers = [*exchange.more_headers, *rates]
        if isinstance(outcome, FreeholdError):
            turn.refuse(outcome)
            return
        exchange.on_finish = partial(_settle, turn.runtime.rates, outcome, self._expected)
        try:
            self._go()
        except FreeholdError as error:
            turn.refuse(error)
        except Exception as error:  # noqa: BLE001 - the edge: the log says what, the caller only that
            turn.broke(error)

    def gone(self) -> None:
        """See `Listener`."""
        self._gone = True
        self._turn.gone()

    def pause(self) -> None:
        """See `Listener`: nothing is sent yet."""

    def resume(self) -> None:
        """See `Listener`."""


def _settle(rates: Rates, ticket: Ticket, expected: _Expected, exchange: Exchange, used: Tokens | None) -> None:
    """Correct what was taken to what was used.

    An answer that does not say its tokens counts as expected for the prompt, and a token for each event of a stream or
    four bytes of a document. What was answered from the cache, or with an error, used none.
    """
    if exchange.cached or not exchange.answered_by or exchange.status >= 400:
        ticket.settle(0, 0)
        return
    if used is not None:
        given, cached, said = used
    else:
        events = exchange.response.count(b"\ndata:") if exchange.stream else 0
        given, cached, said = expected.given, 0, events or len(exchange.response) // 4
    upstream, _, model = exchange.answered_by.partition("/")
    ticket.settle(given + said, rates.nanousd(upstream, model, given, cached, said), said)
