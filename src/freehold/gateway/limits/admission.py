"""Takes a request out of the limits of its caller's key before it goes anywhere, and settles with what it used."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import msgspec

from freehold.access import Ticket
from freehold.domain.errors import Forbidden, FreeholdError
from freehold.gateway.exchange import Exchange
from freehold.gateway.limits.one_model import check_one_model
from freehold.gateway.limits.rates import Rate, Rates
from freehold.gateway.limits.usage import Tokens
from freehold.gateway.turn import Turn

Go = Callable[[], None]
_LARGE_BODY = 16_384
_ATTACHED = 1_500
"""Tokens that a picture or sound within a large body is expected to be: its bytes say nothing of them."""
_TEXT_BESIDE = 4_000


class _Asked(msgspec.Struct, gc=False):
    """What bounds an answer, by the names that it has in the protocols."""

    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None
    n: int | None = None


_decoder = msgspec.json.Decoder(_Asked)
_NOTHING = _Asked()


def admit(turn: Turn, upstream: str, go: Go) -> None:
    """Let `go` go on with the request once it is within the scope and the limits of its caller's key.

    That is at once where nothing is limited, or a lease is at hand. A limit that is used up is told to the caller.

    Raises:
        Forbidden: the key does not allow the model or the task, or limits dollars and the model's price is unknown.
        RequestError: the key depends on the model, and the body names more than one.
    """
    grant = turn.caller.grant
    if not grant.limited:
        go()
        return
    exchange = turn.exchange
    if grant.scoped or grant.costs:
        check_one_model(turn.body)
    if grant.scoped:
        grant.check(exchange.model, exchange.task_name or turn.caller.task.decode(errors="replace"), exchange.task)
    answerer = f"{upstream}/{exchange.model}"
    rate = turn.runtime.rates.of(answerer)
    if rate is not None:
        _take(turn, rate, go)
    else:
        turn.wait_for(_take_later(turn, answerer, go))


async def _take_later(turn: Turn, answerer: str, go: Go) -> None:
    _take(turn, await asyncio.to_thread(turn.runtime.rates.look_up, answerer), go)


def _take(turn: Turn, rate: Rate, go: Go) -> None:
    grant = turn.caller.grant
    if grant.costs and not rate.known:
        raise Forbidden(
            f"The key {grant.name!r} has a budget, and the price of {turn.exchange.model!r} is unknown.",
            "Ask whoever runs this gateway to set it: [upstreams.NAME.prices].",
        )
    given, said = _expect(turn) if grant.corrected else (0, 0)
    entry = _Entry(turn, given, go)
    turn.runtime.access.take(grant, given + said, int(given * rate.input + said * rate.output), entry.taken)
    if not entry.done:
        turn.reply.listener = entry


def _expect(turn: Turn) -> tuple[int, int]:
    """Tokens in and out that a request is expected to need."""
    body = turn.body
    try:
        asked = _decoder.decode(body) if body else _NOTHING
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        asked = _NOTHING  # the upstream will say what is wrong with it
    most = asked.max_tokens
    if most is None:
        most = asked.max_completion_tokens if asked.max_completion_tokens is not None else asked.max_output_tokens
    size = len(body)
    if size > _LARGE_BODY:
        attached = body.count(b"base64")
        if attached:
            size = min(size, 4 * (attached * _ATTACHED + _TEXT_BESIDE))
    given, said = turn.caller.grant.estimate(size, most if most is None or most > 0 else 0)
    return given, said * asked.n if asked.n is not None and asked.n > 1 else said


class _Entry:
    """A request at the gate, as its reply's listener while it has to wait there."""

    __slots__ = ("_given", "_go", "_gone", "_turn", "done")

    def __init__(self, turn: Turn, given: int, go: Go) -> None:
        self._turn = turn
        self._given = given
        """Tokens that the prompt is expected to be."""
        self._go = go
        self.done = False
        """It need not wait any more."""
        self._gone = False

    def taken(self, outcome: Ticket | FreeholdError) -> None:
        """Go on, or tell the caller why not."""
        turn = self._turn
        if self._gone:
            if isinstance(outcome, Ticket):
                outcome.settle(0, 0)
            return
        self.done = True
        turn.reply.listener = None
        exchange = turn.exchange
        rates = turn.caller.grant.headers()
        if rates:
            exchange.more_headers = [*exchange.more_headers, *rates]
        if isinstance(outcome, FreeholdError):
            turn.refuse(outcome)
            return
        exchange.on_finish = partial(_settle, turn.runtime.rates, outcome, self._given)
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


def _settle(rates: Rates, ticket: Ticket, expected: int, exchange: Exchange, used: Tokens | None) -> None:
    """Correct what was taken to what was used.

    An answer that does not say its tokens counts as `expected` for the prompt, and a token for each event of a stream
    or four bytes of a document. What was answered from the cache, or with an error, used none.
    """
    if exchange.cached or not exchange.answered_by or exchange.status >= 400:
        ticket.settle(0, 0)
        return
    if used is not None:
        given, cached, said = used
    else:
        events = exchange.response.count(b"\ndata:") if exchange.stream else 0
        given, cached, said = expected, 0, events or len(exchange.response) // 4
    ticket.settle(given + said, rates.nanousd(exchange.answered_by, given, cached, said), said)
