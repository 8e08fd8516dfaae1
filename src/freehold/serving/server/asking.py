"""From a caller's request to the engine and back: admission, waiting, cancelling."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from starlette.requests import ClientDisconnect, Request

from freehold.domain.errors import BodyTooLarge, LimitReached, StudentError
from freehold.serving.engine import Ask, Running
from freehold.serving.server.counts import Counts
from freehold.serving.server.models import ModelSource, Served, not_served
from freehold.serving.server.protocol import ChatRequest, Common, CompletionRequest
from freehold.serving.server.worker import Said, Stream, Worker

_LONG = 20_000
"""Bytes of a body above which its text is not made into tokens between two turns of the event loop."""
_T = TypeVar("_T")


class Limits(NamedTuple):
    """Bounds of what callers may send."""

    body_bytes: int = 4 << 20
    waiting: int = 256
    """Requests without a slot, for each model; more are sent away."""
    answer_tokens: int = 65_536


class Answer(NamedTuple):
    """One answer that is being made."""

    served: Served
    running: Running
    stream: Stream


class Asking:
    """Puts requests to the worker. Belongs to the event loop."""

    def __init__(self, worker: Worker, models: ModelSource, counts: Counts, limits: Limits) -> None:
        self.models = models
        self.counts = counts
        self.limits = limits
        self._worker = worker

    async def body(self, request: Request) -> bytes:
        """The request's body.

        Raises:
            BodyTooLarge: it is over the limit.
        """
        parts: list[bytes] = []
        size = 0
        async for part in request.stream():
            size += len(part)
            if size > self.limits.body_bytes:
                raise BodyTooLarge(f"The body is over {self.limits.body_bytes} bytes.", "Send less.")
            parts.append(part)
        return b"".join(parts)

    async def served(self, name: str) -> Served:
        """The model of this name, loaded if need be.

        Raises:
            ModelNotFound, StudentError: see `ModelSource.get`.
        """
        if not name:
            raise not_served(name)
        return self.models.ready(name) or await asyncio.to_thread(self.models.get, name)

    async def prepared(self, work: Callable[[], _T], size: int, *, slow: bool = False) -> _T:
        """What `work` gives: here where it takes a moment, in a thread where it may take longer."""
        return await asyncio.to_thread(work) if slow or size > _LONG else work()

    def submit(self, served: Served, asks: Sequence[Ask]) -> list[Answer]:
        """Queue them all, or none.

        Raises:
            RequestError: a prompt does not fit.
            LimitReached: too many wait already.
            StudentError: the engine has failed.
        """
        if self._worker.failure is not None:
            raise StudentError(f"The engine has failed: {self._worker.failure!r}.", "Start the server again.")
        waiting = served.engine.waiting
        if waiting + len(asks) > self.limits.waiting:
            raise LimitReached(f"{waiting} requests wait already.", "Ask again later.", retry_after=1)
        loop, moved = asyncio.get_running_loop(), asyncio.Event()
        answers: list[Answer] = []
        try:
            for ask in asks:
                stream = Stream(loop, moved)
                answers.append(Answer(served, self._worker.submit(served.engine, ask, stream), stream))
        except BaseException:
            self.leave(answers)
            raise
        return answers

    def leave(self, answers: Sequence[Answer]) -> None:
        """Nobody waits for these any more."""
        for answer in answers:
            self._worker.cancel(answer.served.engine, answer.running)

    async def follow(self, answers: Sequence[Answer]) -> AsyncGenerator[tuple[int, Said], None]:
        """What is new, as (index, news), until all have ended. Whoever stops listening cancels what still runs."""
        open_ = dict(enumerate(answers))
        moved = answers[0].stream.moved
        try:
            while open_:
                await moved.wait()
                moved.clear()
                for index, answer in list(open_.items()):
                    while (news := answer.stream.news()) is not None:
                        if news.ended:
                            del open_[index]
                        yield index, news
        finally:
            self.leave(list(open_.values()))

    async def whole(self, request: Request, answers: Sequence[Answer]) -> list[str]:
        """The texts, when all have ended.

        Raises:
            ClientDisconnect: the caller left before; what still ran was cancelled.
            StudentError: an answer failed.
        """
        task = asyncio.ensure_future(self._texts(answers))
        left = asyncio.ensure_future(_left(request))
        try:
            await asyncio.wait((task, left), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise ClientDisconnect
            return task.result()
        finally:
            task.cancel()
            left.cancel()
            self.leave(answers)

    async def _texts(self, answers: Sequence[Answer]) -> list[str]:
        texts = [""] * len(answers)
        async for index, news in self.follow(answers):
            texts[index] += news.text
        for answer in answers:
            raise_failure(answer)
        return [
            text if answer.running.speech is not None else answer.served.engine.words.decode(answer.running.tokens)
            for text, answer in zip(texts, answers, strict=True)
        ]

    def count(self, answers: Sequence[Answer]) -> None:
        """Add the tokens of answers to what is counted."""
        for answer in answers:
            one = answer.running
            self.counts.tokens(answer.served.name, len(one.ask.prompt), len(one.tokens), one.shared)


def raise_failure(answer: Answer) -> None:
    """Raises StudentError where an answer failed."""
    if answer.running.finish == "error":
        raise StudentError(answer.running.problem, "The incumbent answers meanwhile; train the student again.")


def sampling_of(request: Common, served: Served, limits: Limits) -> dict[str, Any]:
    """The part of an `Ask` that both endpoints have; temperature 1 where none is given, as with OpenAI."""
    most = request.max_tokens
    if isinstance(request, ChatRequest) and request.max_completion_tokens is not None:
        most = request.max_completion_tokens
    if most is None and isinstance(request, CompletionRequest):
        most = 16  # OpenAI's
    temperature = 1.0 if request.temperature is None else request.temperature
    return {
        "max_tokens": min(limits.answer_tokens, served.max_tokens or limits.answer_tokens if most is None else most),
        "temperature": temperature,
        "top_p": 1.0 if request.top_p is None else request.top_p,
        "stop": request.stops,
        "adapter": served.adapter,
        "context": served.context,
        "ignore_end": request.ignore_eos,
        "stream": bool(request.stream),
    }


def seeds_of(request: Common) -> list[int | None]:
    """For each of the answers that are wanted: its seed."""
    count = request.n or 1
    return [None if request.seed is None else (request.seed + place) % 2**63 for place in range(count)]


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def now() -> float:
    """Seconds, for durations."""
    return time.perf_counter()
