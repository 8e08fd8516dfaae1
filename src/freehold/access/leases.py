"""Takes requests out of leases, and fetches leases: one round to the store at a time, for all who wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog

from freehold.access.courier import Courier
from freehold.access.grants import Account, Grant, Ticket
from freehold.access.meters import Meter
from freehold.access.windows import DAY
from freehold.domain.errors import FreeholdError, LimitReached, StoreError
from freehold.store.control.access_tables import Lease, Spent, Want

Outcome = Ticket | FreeholdError
Then = Callable[[Outcome], None]
ROUND_SECONDS = 2.0
"""A store that has not answered a question by then counts as out of reach, and nobody waits for it."""
TICK_SECONDS = 0.5
_REPORT_TICKS = 4
"""What was used is reported every so many ticks."""
_log = structlog.get_logger()


class _Waiting:
    """A request that a lease must be fetched for."""

    __slots__ = ("amounts", "grant", "then")

    def __init__(self, grant: Grant, amounts: tuple[int, int, int], then: Then) -> None:
        self.grant = grant
        self.amounts = amounts
        self.then = then


class Leases:
    """Used by one event loop; only `Courier` leaves it."""

    def __init__(self, courier: Courier, *, serve_without_store: bool, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives unix seconds: it says which window it is."""
        self.reachable = True
        """Whether the store can be written: that it can be read is not enough to wait for it."""
        self._courier = courier
        self._serve = serve_without_store
        self._clock = clock
        self._waiting: list[_Waiting] = []
        self._asking: list[Meter] = []
        self._under_way = False
        self._scheduled = False
        self._trying = False
        self._held: set[Meter] = set()
        self._dirty: set[Account] = set()
        self._note = self._dirty.add
        self._ticks = 0
        self._timer: asyncio.TimerHandle | None = None
        self._late: asyncio.TimerHandle | None = None
        self._stopped = False

    def start(self) -> None:
        """Begin to tick: leases that lie idle go back, debts are charged, use is reported."""
        self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)

    def take(self, grant: Grant, tokens: int, nanousd: int, then: Then) -> None:
        """Take one request with so many tokens and nano-dollars.

        `then` gets a Ticket at once if the leases at hand suffice, else once the store has been asked; LimitReached if
        a limit of the key or its team is used up; StoreError if that cannot be known and is to be refused then.
        """
        amounts = (1, tokens, nanousd)
        now = self._clock()
        for meter in grant.meters:
            if meter.left < amounts[meter.unit] or now >= meter.ends:
                self._take_slowly(_Waiting(grant, amounts, then))
                return
        for meter in grant.meters:
            meter.left -= amounts[meter.unit]
            if meter.left < meter.low and not meter.asked:
                self._ask(meter)
        then(Ticket(grant, tokens, nanousd, now, self._dirty.add))

    def release(self, meters: Sequence[Meter]) -> None:
        """Give back what is held of these: their limits have changed."""
        for meter in meters:
            meter.forget()
        held = [(meter, meter.give_back(meter.left)) for meter in meters if meter.left > 0]
        if held:
            self._send(held)

    def stop(self) -> None:
        """Give everything back and report what was used; nothing is taken after this."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        self.reachable = False  # who still waits is not kept waiting
        self._retry()
        now = self._clock()
        held = [(meter, meter.give_back(meter.left)) for meter in self._held if meter.left != 0 and now < meter.ends]
        if held:
            self._send(held)
        self._report()

    def _take_slowly(self, waiting: _Waiting) -> None:
        outcome = self._try(waiting)
        if outcome is None:
            self._waiting.append(waiting)
            self._watch()
        else:
            waiting.then(outcome)

    def _try(self, waiting: _Waiting) -> Outcome | None:
        """Take from what is at hand, or say why not; None: the store has to be asked, and will be."""
        now, mono = self._clock(), time.monotonic()
        grant, amounts = waiting.grant, waiting.amounts
        missing: list[Meter] = []
        for meter in grant.meters:
            if now >= meter.ends:
                meter.turn(now)
                self._held.add(meter)
            if meter.left < amounts[meter.unit]:
                missing.append(meter)
        if not missing:
            return self._taken(waiting, now)
        for meter in missing:
            if meter.refuses(amounts[meter.unit], mono):
                return _refusal(grant, meter, amounts[meter.unit], now)
        if not self.reachable:
            return self._taken(waiting, now) if self._serve else _out_of_reach()
        for meter in missing:
            meter.need += amounts[meter.unit]
            self._ask(meter)
        return None

    def _taken(self, waiting: _Waiting, now: float) -> Ticket:
        for meter in waiting.grant.meters:
            meter.left -= waiting.amounts[meter.unit]
        return Ticket(waiting.grant, waiting.amounts[1], waiting.amounts[2], now, self._note)

    def _ask(self, meter: Meter) -> None:
        if meter.asked:
            return
        meter.asked = True
        self._asking.append(meter)
        if not self._under_way and not self._scheduled:
            self._scheduled = True  # what else is asked for in this turn of the loop goes along
            asyncio.get_running_loop().call_soon(self._go)

    def _go(self) -> None:
        self._scheduled = False
        if self._under_way or not self._asking or self._stopped:
            return
        meters, self._asking = self._asking, []
        mono = time.monotonic()
        self._under_way = True
        self._send([(meter, meter.want(mono)) for meter in meters], is_round=True)

    def _send(self, asked: list[tuple[Meter, Want]], *, is_round: bool = False) -> None:
        self._held.update(meter for meter, _ in asked)
        wants = [want for _, want in asked]

        def answered(answer: list[Lease] | FreeholdError) -> None:
            if is_round:
                self._under_way = False
            self._answered(asked, answer)

        self._courier.ask(lambda store: store.access.lease(wants), answered)

    def _answered(self, asked: list[tuple[Meter, Want]], answer: list[Lease] | FreeholdError) -> None:
        if isinstance(answer, FreeholdError):
            self.heard(answer)
            for meter, want in asked:
                meter.failed(want)
        else:
            self.heard(None)
            mono = time.monotonic()
            for (meter, want), lease in zip(asked, answer, strict=True):
                meter.granted(want, lease, mono)
        self._retry()
        self._go()

    def _watch(self) -> None:
        """While somebody waits, give the store a limited time from its last answer on."""
        if self._late is None:
            self._late = asyncio.get_running_loop().call_later(ROUND_SECONDS, self._give_up)

    def _give_up(self) -> None:
        """Nothing was heard for too long: answer who waits without it; leases are taken in when they come."""
        self.heard(StoreError("The control store does not answer.", "Check the database."))
        self._retry()

    def _retry(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        loop = asyncio.get_running_loop()
        for each in waiting:
            outcome = self._try(each)
            if outcome is None:
                self._waiting.append(each)
            else:
                loop.call_soon(each.then, outcome)  # one that fails must not keep the others waiting
        if self._waiting:
            self._watch()

    def heard(self, error: FreeholdError | None) -> None:
        """The store has answered, or could not be asked."""
        if (error is None) != self.reachable and not self._stopped:
            self.reachable = error is None
            if error is not None:
                _log.warning("access-store-out-of-reach", error=str(error), serve=self._serve)
            else:
                _log.info("access-store-back")

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)
        now, mono = self._clock(), time.monotonic()
        sent: list[tuple[Meter, Want]] = []
        for meter in list(self._held):
            if now >= meter.ends:
                meter.turn(now)
            spare = meter.measure(mono)
            if meter.asked or not self.reachable:
                continue
            if spare > 0:
                sent.append((meter, meter.give_back(spare)))
            elif meter.left < 0:
                self._ask(meter)
            elif meter.busy and not meter.ahead and meter.ends - now <= 2 * TICK_SECONDS:
                sent.append((meter, meter.want_ahead()))
            elif meter.idle:
                self._held.discard(meter)
        if sent:
            self._send(sent)
        if not self.reachable:
            self._try_store()
        self._ticks += 1
        if self._ticks % _REPORT_TICKS == 0 and self.reachable:
            self._report()

    def _try_store(self) -> None:
        """See whether the store takes leases again; nobody waits for it."""
        if self._trying:
            return
        self._trying = True

        def tried(answer: list[Lease] | FreeholdError) -> None:
            self._trying = False
            self.heard(answer if isinstance(answer, FreeholdError) else None)

        self._courier.ask(lambda store: store.access.lease(()), tried)

    def _report(self) -> None:
        """Tell the store what was used since the last time."""
        if not self._dirty:
            return
        accounts = list(self._dirty)
        self._dirty.clear()
        day = int(self._clock()) // DAY * DAY
        rows = [Spent(each.holder, day, each.requests, each.tokens, each.nanousd) for each in accounts]
        for account in accounts:
            account.requests = account.tokens = account.nanousd = 0

        def reported(answer: FreeholdError | None) -> None:
            if isinstance(answer, FreeholdError):
                for account, row in zip(accounts, rows, strict=True):
                    account.requests += row.requests
                    account.tokens += row.tokens
                    account.nanousd += row.nanousd
                    self._dirty.add(account)

        self._courier.ask(lambda store: store.access.add_spent(rows), reported)


def _refusal(grant: Grant, meter: Meter, amount: int, now: float) -> LimitReached:
    holder = next((account.label for account in grant.accounts if account.holder == meter.holder), "key")
    seconds = max(1, int(meter.ends - now) + 1)
    allowed = _allowance(meter)
    if amount > meter.limit:
        return LimitReached(
            f"This request alone may need more than the {holder} may use: {allowed}.",
            "Make it shorter, lower max_tokens, or ask for a higher limit.",
            retry_after=seconds,
            budget=meter.unit == 2,
        )
    return LimitReached(
        f"The {holder} has used up what it may use: {allowed}.",
        f"Try again in {seconds} seconds, or ask for a higher limit.",
        retry_after=seconds,
        budget=meter.unit == 2,
    )


def _allowance(meter: Meter) -> str:
    match meter.name:
        case "requests":
            return f"{meter.limit} requests per minute"
        case "tokens":
            return f"{meter.limit} tokens per minute"
        case "day" | "month":
            return f"${meter.limit / 1e9:.2f} per {meter.name}"


def _out_of_reach() -> StoreError:
    return StoreError("The limits of this key cannot be looked up at present.", "Try again in a few seconds.")
