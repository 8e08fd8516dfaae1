"""One call to one model of a ladder: sent, answered in time or given up, and read. A caller never sees it fail."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import msgspec

from freehold.domain.answers import mean_logprob
from freehold.domain.errors import UpstreamError, UpstreamProtocolError, UpstreamTimeout
from freehold.gateway.background.asking import CHAT, ask_whole, gives_logprobs, question, rewritten
from freehold.gateway.exchange import Exchange
from freehold.gateway.runtime import Runtime
from freehold.gateway.turn import Turn
from freehold.record.answers import Usage, read_answer
from freehold.route import LadderRung
from freehold.upstreams.base import Headers, UpstreamRequest, UpstreamResponse


class Ask(NamedTuple):
    """A caller's request as a model of a ladder shall be asked it."""

    turn: Turn
    upstream: str
    """The one that the caller asked for."""
    body: bytes
    """As a chat completion's request, whatever the caller speaks."""

    @property
    def runtime(self) -> Runtime:
        """The worker's."""
        return self.turn.runtime

    @property
    def exchange(self) -> Exchange:
        """The caller's."""
        return self.turn.exchange


class Reply(NamedTuple):
    """A whole answer of a rung's."""

    exchange: Exchange
    """Records the call, unless it becomes the caller's answer."""
    headers: Headers
    head: dict[str, Any]
    message: dict[str, Any]
    finish: str | None
    text: str
    """Empty where the answer is tool calls."""
    usage: Usage | None
    logprob: float | None
    """Mean over the tokens."""


class _Message(msgspec.Struct):
    content: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    id: str | None = ""
    created: int | float = 0
    model: str | None = ""
    system_fingerprint: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[Any]


_completion = msgspec.json.Decoder(_Completion)
_chunk = msgspec.json.Decoder(_Chunk)


def begin_call(ask: Ask) -> Exchange:
    """The exchange that records one call to a rung."""
    call = ask.runtime.begin("rung", ask.exchange.trace_id)
    call.belongs_to(ask.exchange)
    return call


async def ask_rung(ask: Ask, rung: LadderRung, *, logprobs: bool) -> Reply:
    """Ask a rung for a whole answer.

    Raises:
        RequestError: its upstream's protocol cannot say what the caller asks for; nobody was asked.
        UpstreamError: it failed, was too slow, or gave what is no chat completion; the call is recorded.
    """
    runtime, call = ask.runtime, begin_call(ask)
    logprobs = logprobs and gives_logprobs(runtime.upstreams, rung.upstream)
    call.request = rewritten(ask.body, model=rung.name, logprobs=logprobs)
    call.owned = runtime.is_owned(rung.upstream)
    limit = runtime.settings.gateway.max_recorded_response_bytes
    try:
        async with asyncio.timeout(runtime.settings.gateway.rung_timeout_seconds):
            headers = await ask_whole(runtime.upstreams, call, rung.upstream, rung.name, _to(ask, rung, call), limit)
        return _read(call, headers, logprobs)
    except TimeoutError as error:
        raise failed(call, _slow(rung)) from error
    except UpstreamError as error:
        raise failed(call, error) from error
    except asyncio.CancelledError:
        failed(call, UpstreamError("The caller left, or the gateway stopped, before the answer."))
        raise


async def begin_stream(ask: Ask, rung: LadderRung) -> tuple[Exchange, str, UpstreamResponse]:
    """Ask a rung for a stream and wait for its first event; also returns the name of the upstream that answers.

    From there on it is passed on as it comes, and a failure is the caller's as an incumbent's would be.

    Raises:
        RequestError: its upstream's protocol cannot say what the caller asks for; nobody was asked.
        UpstreamError: it failed, was too slow to begin, or does not begin a chat completion; the call is recorded.
    """
    runtime, call = ask.runtime, begin_call(ask)
    call.request = rewritten(ask.body, model=rung.name, whole=False)
    call.stream = True
    response: UpstreamResponse | None = None
    request = _to(ask, rung, call)
    call.attempts = request.attempts
    begun = False
    try:
        async with asyncio.timeout(runtime.settings.gateway.rung_timeout_seconds):
            name, response = await runtime.upstreams.send(rung.upstream, request)
            call.status = response.status
            first = await _first_event(rung, response)
        begun = True
        return call, name, _Begun(response, first)
    except TimeoutError as error:
        raise failed(call, _slow(rung)) from error
    except UpstreamError as error:
        raise failed(call, error) from error
    except asyncio.CancelledError:
        failed(call, UpstreamError("The caller left, or the gateway stopped, before the answer."))
        raise
    finally:
        if response is not None and not begun:
            response.close()


def failed(call: Exchange, error: UpstreamError) -> UpstreamError:
    """Record a call that failed; returns the error."""
    call.reason = "rung-failed"
    call.failed(error.code, error.message)
    call.finish()
    return error


def _to(ask: Ask, rung: LadderRung, call: Exchange) -> UpstreamRequest:
    caller, elsewhere = ask.turn.caller, rung.upstream != ask.upstream
    path = caller.upstream_path if ask.exchange.api == "chat" else CHAT
    return question(call.request, caller, elsewhere=elsewhere, path=path)


def _slow(rung: LadderRung) -> UpstreamTimeout:
    return UpstreamTimeout(f"{rung.name} did not answer in time.", "Raise gateway.rung_timeout_seconds.")


def _read(call: Exchange, headers: Headers, logprobs: bool) -> Reply:
    if call.status != 200:
        raise UpstreamProtocolError(f"{call.answered_by} answered with status {call.status}.", "")
    if call.truncated:
        raise UpstreamProtocolError(f"{call.answered_by} answered with more than the recording limit.", "")
    try:
        completion = _completion.decode(call.response)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamProtocolError(f"{call.answered_by} gave no chat completion: {error}.", "") from error
    choice = completion.choices[0] if completion.choices else None
    if choice is None or (choice.message.content is None and not choice.message.tool_calls):
        raise UpstreamProtocolError(f"{call.answered_by} gave a chat completion without an answer.", "")
    head = {
        "id": completion.id,
        "created": completion.created,
        "model": completion.model,
        "system_fingerprint": completion.system_fingerprint,
    }
    return Reply(
        exchange=call,
        headers=headers,
        head=head,
        message=msgspec.to_builtins(choice.message),
        finish=choice.finish_reason,
        text=choice.message.content or "",
        usage=read_answer(call.response, stream=False).usage,
        logprob=mean_logprob(call.response) if logprobs else None,
    )


async def _first_event(rung: LadderRung, response: UpstreamResponse) -> bytes:
    """All that came up to the end of the first event that is data."""
    kind = next((value for name, value in response.headers if name == b"content-type"), b"")
    if response.status != 200 or not kind.startswith(b"text/event-stream"):
        raise UpstreamProtocolError(f"{rung.name} began no stream: status {response.status}.", "")
    came = b""
    while not response.at_end:
        came += await response.read()
        lines = came.split(b"\n")
        data = next((line[5:] for line in lines[:-1] if line.startswith(b"data:")), None)
        if data is not None:
            try:
                _chunk.decode(data)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise UpstreamProtocolError(f"{rung.name} streams no chat completion: {error}.", "") from error
            return came
    raise UpstreamProtocolError(f"{rung.name} ended its stream before it began.", "")


class _Begun:
    """A response whose first bytes were read already."""

    def __init__(self, response: UpstreamResponse, first: bytes) -> None:
        self.status = response.status
        self.headers = response.headers
        self._response = response
        self._first = first

    @property
    def at_end(self) -> bool:
        return not self._first and self._response.at_end

    async def read(self) -> bytes:
        if self._first:
            first, self._first = self._first, b""
            return first
        return await self._response.read()

    def close(self) -> None:
        self._response.close()
