"""Asks the incumbent in the background: about owned answers (audits), or a second time (repeats)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Literal, NamedTuple

import msgspec
import structlog

from freehold.domain.errors import FreeholdError
from freehold.gateway.exchange import Exchange
from freehold.gateway.metrics import Metrics
from freehold.gateway.relay import Copy
from freehold.upstreams.base import Headers, UpstreamRequest
from freehold.upstreams.directory import UpstreamDirectory

_log = structlog.get_logger()
_UNREPEATABLE = frozenset((b"idempotency-key", b"content-encoding"))
"""A provider answers a repeated idempotency key from its memory: that would be no second answer."""


class Question(NamedTuple):
    """What to ask, and of which exchange."""

    kind: Literal["audit", "repeat"]
    exchange: Exchange
    upstream: str
    body: bytes
    headers: Headers
    authorization: bytes | None


class Audits:
    """A bounded queue worked off by a bounded number of tasks; what does not fit is counted, never waited for."""

    def __init__(
        self,
        upstreams: UpstreamDirectory,
        metrics: Metrics,
        begin: Callable[[Literal["audit", "repeat"], str], Exchange],
        *,
        concurrency: int,
        queue: int,
        max_response_bytes: int,
    ) -> None:
        """`begin(kind, of)` starts the exchange that is recorded for a question."""
        self._upstreams = upstreams
        self._metrics = metrics
        self._begin = begin
        self._concurrency = concurrency
        self._size = queue
        self._limit = max_response_bytes
        self._queue: deque[Question] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    def put(self, question: Question) -> None:
        """Queue a question; dropped, and counted, when the queue is full."""
        if len(self._queue) >= self._size:
            self._metrics.audits["dropped"] += 1
            return
        self._metrics.audits["queued"] += 1
        self._queue.append(question)
        if len(self._tasks) < self._concurrency:
            task = asyncio.get_running_loop().create_task(self._work())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def drain(self, seconds: float) -> None:
        """Work off the queue for at most `seconds`; the rest is dropped and counted."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        self._metrics.audits["dropped"] += len(self._queue)
        self._queue.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self) -> None:
        while self._queue:
            question = self._queue.popleft()
            try:
                await self._ask(question)
            except FreeholdError as error:
                _log.warning("audit-failed", kind=question.kind, of=question.exchange.trace_id, error=str(error))

    async def _ask(self, question: Question) -> None:
        asked = question.exchange
        exchange = self._begin(question.kind, asked.trace_id)
        exchange.task, exchange.task_name = asked.task, asked.task_name
        exchange.fingerprint, exchange.model, exchange.policy = asked.fingerprint, asked.model, asked.policy
        exchange.episode, exchange.parent = asked.episode, asked.trace_id
        outcome = "failed"
        try:
            exchange.request = unstreamed(question.body)
            await self._exchange(question, exchange)
            outcome = "done" if exchange.status == 200 else "failed"
        except FreeholdError as error:
            exchange.failed(error.code, error.message)
            raise
        finally:
            self._metrics.audits[outcome] += 1
            exchange.finish()

    async def _exchange(self, question: Question, exchange: Exchange) -> None:
        request = UpstreamRequest(
            method=b"POST",
            path=b"/chat/completions",
            headers=[header for header in question.headers if header[0] not in _UNREPEATABLE],
            body=exchange.request,
            authorization=question.authorization,
        )
        exchange.attempts = request.attempts
        name, response = await self._upstreams.send(question.upstream, request)
        exchange.answered_by = f"{name}/{exchange.model}"
        exchange.began_answering()
        copy = Copy(self._limit)
        try:
            while not response.at_end:
                copy.add(await response.read())
            exchange.status = response.status
        finally:
            response.close()
            copy.store(exchange)


def unstreamed(body: bytes) -> bytes:
    """The same request, its answer asked for in one piece: nobody waits for its first word."""
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    if fields.pop("stream", None) is None:
        return body
    fields.pop("stream_options", None)
    return msgspec.json.encode(fields)
