"""Asks in the background: the incumbent about rungs' answers (audits) or a second time (repeats), candidates about the
incumbent's (shadows)."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from typing import Literal, NamedTuple

import structlog

from freehold.domain.errors import FreeholdError
from freehold.domain.traces import Api
from freehold.gateway.background.asking import PATHS, ask_whole, gives_logprobs, question, rewritten
from freehold.gateway.caller import Caller
from freehold.gateway.directory import STUDENTS
from freehold.gateway.exchange import Exchange
from freehold.upstreams.directory import UpstreamDirectory

_log = structlog.get_logger()
Background = Literal["audit", "repeat", "shadow", "drill"]


class Question(NamedTuple):
    """What to ask, and of which exchange."""

    kind: Background
    exchange: Exchange
    upstream: str
    body: bytes
    caller: Caller
    api: Api = "chat"
    """What the body is."""
    model: str | None = None
    """The candidate to ask; None: the incumbent."""
    elsewhere: bool = False
    """The candidate is at another upstream than the caller asked for."""
    probability: float = 0.0
    """With which a candidate was to be asked about this exchange."""
    logprobs: bool = False
    """Ask for the tokens' log-probabilities, too."""


class Audits:
    """A bounded queue worked off by a bounded number of tasks; what does not fit is counted, never waited for."""

    def __init__(
        self,
        upstreams: UpstreamDirectory,
        outcomes: Counter[str],
        begin: Callable[[Background, str], Exchange],
        *,
        concurrency: int,
        queue: int,
        max_response_bytes: int,
    ) -> None:
        """`begin(kind, of)` starts the exchange that records a question; `outcomes` counts what became of each."""
        self._upstreams = upstreams
        self._outcomes = outcomes
        self._begin = begin
        self._concurrency = concurrency
        self._size = queue
        self._limit = max_response_bytes
        self._queue: deque[Question] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> bool:
        """Whether questions are still to be asked or answered."""
        return bool(self._tasks)

    def put(self, asked: Question) -> None:
        """Queue a question; dropped, and counted, when the queue is full."""
        if len(self._queue) >= self._size:
            self._outcomes["dropped"] += 1
            return
        self._outcomes["queued"] += 1
        self._queue.append(asked)
        if len(self._tasks) < self._concurrency:
            task = asyncio.get_running_loop().create_task(self._work())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def drain(self, seconds: float) -> None:
        """Work off the queue for at most `seconds`; the rest is dropped and counted."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        self._outcomes["dropped"] += len(self._queue)
        self._queue.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self) -> None:
        while self._queue:
            asked = self._queue.popleft()
            try:
                await self._ask(asked)
            except FreeholdError as error:
                _log.warning("audit-failed", kind=asked.kind, of=asked.exchange.trace_id, error=str(error))

    async def _ask(self, asked: Question) -> bytes | None:
        """Ask one question and record it; returns the answer's body, None if there is no answer."""
        exchange = self._begin(asked.kind, asked.exchange.trace_id)
        exchange.belongs_to(asked.exchange)
        exchange.api, exchange.audit_probability = asked.api, asked.probability
        exchange.owned = asked.upstream == STUDENTS
        outcome = "failed"
        try:
            logprobs = asked.logprobs and gives_logprobs(self._upstreams, asked.upstream)
            exchange.request = rewritten(asked.body, model=asked.model, logprobs=logprobs)
            request = question(exchange.request, asked.caller, elsewhere=asked.elsewhere, path=PATHS[asked.api])
            model = asked.model or exchange.model
            await ask_whole(self._upstreams, exchange, asked.upstream, model, request, self._limit)
            answer = exchange.response if exchange.status == 200 else None
            outcome = "failed" if answer is None else "done"
        except FreeholdError as error:
            exchange.failed(error.code, error.message)
            raise
        finally:
            self._outcomes[outcome] += 1
            exchange.finish()
        return answer
