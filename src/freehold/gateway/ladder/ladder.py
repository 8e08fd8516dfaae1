"""Sends a request up its task's ladder: asks models until one's answer will do. If none does, if one fails, is slow or
gives no answer, the incumbent is asked as if nothing had happened.

Calls that were not the caller's answer are recorded as traces of kind `rung`, so that the ledger counts what they cost.
"""

from __future__ import annotations

import asyncio
import random
from typing import NamedTuple

import structlog

from freehold.domain.chat import ChatRequest, calls_so_far
from freehold.domain.errors import RequestError, UpstreamError
from freehold.domain.policy import Reason
from freehold.gateway.dialect import own_answer
from freehold.gateway.ladder.owned import as_document, as_events, owned_answer
from freehold.gateway.ladder.rungs import Ask, Reply, ask_rung, begin_call, begin_stream, failed
from freehold.gateway.relay import pour
from freehold.route import Climb, Decision, LadderRung, Student
from freehold.upstreams.base import Headers

_log = structlog.get_logger()
_NANO = 1e9


async def answer_by_ladder(ask: Ask, request: ChatRequest, decision: Decision) -> bool:
    """Let the ladder answer. False: the incumbent is still to be asked, and `decision` says why."""
    climb = decision.climb
    assert climb is not None
    ascent = _Ascent(ask, request, decision, climb)
    try:
        while climb.rung is not None:
            if await ascent.attempt(climb.rung):
                return True
    except _Failed as failure:  # what a failing model would have answered is in no fair sample
        decision.reason, decision.audit_probability = failure.reason, 0.0
        if climb.rung is not None and failure.reason not in ("rung-resting", "drill"):
            climb.tried.append(climb.rung.name)
    decision.signal, decision.audit = climb.expected_loss, False
    ask.exchange.signal, ask.exchange.tried = climb.expected_loss, climb.tried
    return False


class _Failed(Exception):
    """The ladder is left for this request, and why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


class _Heard(NamedTuple):
    """What a model answered, and what else is known of it."""

    text: str
    dollars: float
    """As a share of the incumbent's mean cost."""
    logprob: float | None = None
    samples: tuple[str, ...] = ()
    """Texts of further answers to the same question."""


class _Ascent:
    """One request on its ladder."""

    def __init__(self, ask: Ask, request: ChatRequest, decision: Decision, climb: Climb) -> None:
        self._ask = ask
        self._request = request
        self._decision = decision
        self._climb = climb
        self._ladder = climb.loaded.ladder

    async def attempt(self, rung: LadderRung) -> bool:
        """Ask one rung; True if its answer went to the caller.

        Raises:
            _Failed: the ladder is to be left.
        """
        runtime = self._ask.runtime
        if rung.student is not None:
            return await self._student(rung, rung.student)
        if runtime.watch.drill is not None and self._is_cut(rung):
            raise _Failed("drill")
        if runtime.resting.rests(rung.name):
            runtime.metrics.rungs[rung.name, "resting"] += 1
            raise _Failed("rung-resting")
        try:
            if self._request.stream and self._ladder.signal == "prompt":
                taken = await self._streamed(rung)
            else:
                taken = await self._whole(rung)
        except RequestError as error:  # its upstream's protocol cannot say what the caller asks for
            _log.warning("rung-not-asked", model=rung.name, trace_id=self._ask.exchange.trace_id, error=str(error))
            runtime.metrics.rungs[rung.name, "not-asked"] += 1
            raise _Failed("unsupported") from error
        except UpstreamError as error:
            _log.warning("rung-failed", model=rung.name, trace_id=self._ask.exchange.trace_id, error=str(error))
            runtime.metrics.rungs[rung.name, "failed"] += 1
            runtime.resting.failed(rung.name)
            raise _Failed("rung-failed") from error
        if self._ask.exchange.error is None:  # a stream that broke off is the caller's, but no good sign
            runtime.resting.worked(rung.name)
        else:
            runtime.resting.failed(rung.name)
        runtime.metrics.rungs[rung.name, "accepted" if taken else "refused"] += 1
        return taken

    def _is_cut(self, rung: LadderRung) -> bool:
        """Whether an exit drill does without the rung's upstream for this request."""
        drill, exchange = self._ask.runtime.drill, self._ask.exchange
        return drill is not None and drill.takes(rung.upstream, exchange.task, exchange.at_ns, random.random)

    async def _streamed(self, rung: LadderRung) -> bool:
        call, name, response = await begin_stream(self._ask, rung)
        exchange = self._ask.exchange
        self._accept(f"{name}/{rung.name}", owned=self._ask.runtime.is_owned(name))
        exchange.status, exchange.attempts = response.status, call.attempts
        await pour(name, response, self._ask.turn, rung.name)
        return True

    async def _whole(self, rung: LadderRung) -> bool:
        reply, samples = await self._replies(rung)
        call, taken = reply.exchange, False
        headers, body, kept = self._worded(reply)
        try:
            taken = await self._takes(_Heard(reply.text, self._dollars(rung, reply), reply.logprob, samples))
        finally:
            if not taken:
                call.reason, call.signal = "uncertain", self._climb.expected_loss
                call.finish()
        if taken:
            self._accept(call.answered_by, owned=call.owned)
            self._ask.exchange.attempts = call.attempts
            self._give(headers, body, kept)
        return taken

    def _worded(self, reply: Reply) -> tuple[Headers, bytes, bytes]:
        """Headers and body of a whole answer as the caller gets it, and what is kept of it.

        That is the model's own document, with its usage, also where the caller gets it as events.

        Raises:
            UpstreamError: the caller's protocol cannot say it; the call is recorded.
        """
        headers, body = reply.headers, reply.exchange.response
        api = self._ask.exchange.api
        if api != "chat":
            headers, body = as_document(reply.head, reply.message, reply.finish, _usage(reply))
        try:
            headers, kept = own_answer(api, headers, body)
            if not self._request.stream:
                return headers, kept, kept
            events = as_events(self._request, reply.head, reply.message, reply.finish, _usage(reply))
            return *own_answer(api, *events), kept
        except UpstreamError as error:
            raise failed(reply.exchange, error) from error

    async def _replies(self, rung: LadderRung) -> tuple[Reply, tuple[str, ...]]:
        """A rung's answer, and the texts of further samples of it, which are recorded."""
        more = self._ladder.samples - 1 if self._ladder.signal == "cascade" else 0
        calls = (ask_rung(self._ask, rung, logprobs=self._ladder.logprobs) for _ in range(1 + more))
        first, *others = await asyncio.gather(*calls, return_exceptions=True)
        samples = [other for other in others if isinstance(other, Reply)]
        for sample in samples:
            sample.exchange.reason = "sampled"
            sample.exchange.finish()
        if isinstance(first, BaseException):
            raise first
        return first, tuple(sample.text for sample in samples)

    async def _student(self, rung: LadderRung, student: Student) -> bool:
        exchange = self._ask.exchange
        try:
            text = student.answer(self._climb.prompt).text
        except Exception as error:
            self._ask.runtime.metrics.student_failures += 1
            _log.exception("student-failed", task=exchange.task, student=rung.name)
            raise _Failed("student-failed") from error
        headers, body = owned_answer(self._request, student, text, exchange.trace_id)
        if await self._takes(_Heard(text, 0.0)):
            self._accept(rung.name, owned=True)
            headers, body = own_answer(exchange.api, headers, body)
            self._give(headers, body, body)
            return True
        call = begin_call(self._ask)
        call.request, call.response, call.stream = self._ask.body, body, exchange.stream
        call.status, call.answered_by, call.owned = 200, rung.name, True
        call.reason, call.signal = "uncertain", self._climb.expected_loss
        call.finish()
        return False

    async def _takes(self, heard: _Heard) -> bool:
        """Whether what a model answered will do; the climb goes on to the next rung if not."""
        if self._ladder.signal == "prompt":
            return True
        from freehold.signals.answers import AnswerSignals, consistency_of  # numpy: here it is loaded already

        valid = await self._valid(heard.text) if self._ladder.validity else None
        calls = calls_so_far(self._request)
        try:
            consistency = consistency_of(heard.text, heard.samples)
            return self._climb.takes(AnswerSignals(heard.text, heard.dollars, heard.logprob, consistency, valid, calls))
        except Exception as error:
            exchange = self._ask.exchange
            _log.exception("router-failed", task=exchange.task, trace_id=exchange.trace_id)
            raise _Failed("router-failed") from error

    async def _valid(self, text: str) -> bool | None:
        from freehold.scorers.validity import has_form  # few ladders look at it

        return await asyncio.to_thread(has_form, self._request, text)

    def _dollars(self, rung: LadderRung, reply: Reply) -> float:
        """What an answer cost, in the router's unit; what it was expected to, where nobody knows."""
        usage, expected = reply.usage, self._climb.expected_cost / self._ladder.samples
        if usage is None:
            return expected
        nano, source = self._ask.runtime.prices.cost(
            rung.upstream,
            (rung.name,),
            input=usage.input,
            cached=usage.cached,
            output=usage.output,
            at_ns=reply.exchange.at_ns,
        )
        return expected if source == "none" else nano / _NANO / self._climb.loaded.mean_cost

    def _accept(self, answered_by: str, *, owned: bool) -> None:
        exchange, decision, climb = self._ask.exchange, self._decision, self._climb
        decision.reason = exchange.reason = "accepted"
        decision.signal = exchange.signal = climb.expected_loss
        exchange.answered_by, exchange.owned, exchange.certificate = answered_by, owned, self._ladder.certificate
        exchange.audit_probability, exchange.audited = decision.audit_probability, decision.audit
        exchange.tried = climb.tried
        exchange.began_answering()

    def _give(self, headers: Headers, body: bytes, kept: bytes) -> None:
        """Send a whole answer to the caller; `kept` is what the trace holds of it."""
        exchange = self._ask.exchange
        limit = self._ask.runtime.settings.gateway.max_recorded_response_bytes
        exchange.status, exchange.response, exchange.truncated = 200, kept[:limit], len(kept) > limit
        exchange.finish()
        fitting = [header for header in headers if header[0] != b"content-length"]
        self._ask.turn.reply.whole(200, fitting + exchange.headers(), body)


def _usage(reply: Reply) -> dict[str, int] | None:
    if reply.usage is None:
        return None
    given, said = reply.usage.input, reply.usage.output
    return {"prompt_tokens": given, "completion_tokens": said, "total_tokens": given + said}
