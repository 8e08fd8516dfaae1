"""The ASGI application: `POST /v1/chat/completions` (plain and SSE) and `GET /v1/models` over recorded answers."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec

from freehold.domain.chat import ChatRequest, instructions, parse_chat, text_of
from freehold.domain.errors import FreeholdError, ModelNotFound, NotFound
from freehold.domain.ids import new_id
from freehold.upstreams.recorded.answers import BYTES_PER_TOKEN, RecordedAnswer, RecordedAnswers

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]

_JSON = [(b"content-type", b"application/json")]
_EVENTS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
_PIECE = re.compile(r"\s*\S+|\s+$")
_encode = msgspec.json.encode


class Pacing(msgspec.Struct, frozen=True, kw_only=True):
    """How fast answers come, in milliseconds."""

    latency_ms: float = 0.0
    """Before the first byte of every answer."""
    chunk_ms: float = 0.0
    """Between the chunks of a streamed answer."""


class RecordedApp:
    """Answers chat requests from a file, in the OpenAI protocol. Counts what it served in `served`."""

    def __init__(self, answers: RecordedAnswers, pacing: Pacing | None = None) -> None:
        self.answers = answers
        self.pacing = pacing or Pacing()
        self.served = 0

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        try:
            if scope["path"] == "/v1/chat/completions" and scope["method"] == "POST":
                await self._chat(await _read(receive), send)
            elif scope["path"] == "/v1/models" and scope["method"] == "GET":
                await _reply(send, 200, _models(self.answers.models))
            else:
                raise NotFound(
                    f"There is no {scope['method']} {scope['path']} here.", "Recorded: POST /v1/chat/completions."
                )
        except FreeholdError as error:
            await _reply(send, error.http_status, _error(error))

    async def _chat(self, body: bytes, send: Send) -> None:
        request = parse_chat(body)
        answer = self._find(request)
        latency = self.pacing.latency_ms if answer.latency_ms is None else answer.latency_ms
        if latency:
            await asyncio.sleep(latency / 1000)
        self.served += 1
        if request.stream:
            await self._stream(request, answer, _usage(body, answer), send)
        else:
            logprobs = _logprobs(answer) if request.logprobs else None
            await _reply(send, 200, _completion(request.model, answer, _usage(body, answer), logprobs))

    def _find(self, request: ChatRequest) -> RecordedAnswer:
        if request.model not in self.answers.models:
            raise ModelNotFound(
                f"The model {request.model!r} was not recorded.", f"Recorded: {', '.join(self.answers.models)}."
            )
        prompt = next((text_of(message) for message in reversed(request.messages) if message.role == "user"), None)
        answer = self.answers.find(request.model, instructions(request), prompt or "")
        if answer is None:
            raise NotFound(
                "No answer was recorded for this prompt.", "Send a last user message that is in the recorded file."
            )
        return answer

    async def _stream(self, request: ChatRequest, answer: RecordedAnswer, usage: dict[str, int], send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _EVENTS})
        pause = self.pacing.chunk_ms / 1000
        with_usage = request.stream_options is not None and request.stream_options.include_usage
        for event in _events(request.model, answer.response, usage if with_usage else None):
            await send({"type": "http.response.body", "body": event, "more_body": True})
            if pause:
                await asyncio.sleep(pause)
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": False})


async def _read(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def _reply(send: Send, status: int, document: object) -> None:
    body = _encode(document)
    headers = [*_JSON, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _error(error: FreeholdError) -> dict[str, Any]:
    kind = "invalid_request_error" if error.http_status < 500 else "server_error"
    return {"error": {"message": str(error), "type": kind, "param": None, "code": error.code}}


def _models(names: tuple[str, ...]) -> dict[str, Any]:
    data = [{"id": name, "object": "model", "created": 0, "owned_by": "recorded"} for name in names]
    return {"object": "list", "data": data}


def _usage(body: bytes, answer: RecordedAnswer) -> dict[str, int]:
    """Tokens as the file has them, else estimated from bytes."""
    asked = answer.input_tokens
    given = answer.output_tokens
    if asked is None:
        asked = math.ceil(len(body) / BYTES_PER_TOKEN)
    if given is None:
        given = math.ceil(len(answer.response.encode()) / BYTES_PER_TOKEN)
    return {"prompt_tokens": asked, "completion_tokens": given, "total_tokens": asked + given}


def _logprobs(answer: RecordedAnswer) -> dict[str, Any] | None:
    """Words stand for tokens, each with the mean that was recorded."""
    if answer.logprob is None:
        return None
    pieces = _PIECE.findall(answer.response)
    return {"content": [{"token": piece, "logprob": answer.logprob, "top_logprobs": []} for piece in pieces]}


def _completion(
    model: str, answer: RecordedAnswer, usage: dict[str, int], logprobs: dict[str, Any] | None
) -> dict[str, Any]:
    message = {"role": "assistant", "content": answer.response, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": "stop"}
    return {
        "id": new_id("chatcmpl").replace("_", "-", 1),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [choice],
        "usage": usage,
    }


def _events(model: str, text: str, usage: dict[str, int] | None) -> Iterator[bytes]:
    """The SSE events of a streamed answer, word by word, without the closing `[DONE]`."""
    head: dict[str, Any] = {
        "id": new_id("chatcmpl").replace("_", "-", 1),
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": model,
    }
    deltas: list[dict[str, str]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": piece} for piece in _PIECE.findall(text)]
    for delta in deltas:
        choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}]
        yield b"data: " + _encode({**head, "choices": choices}) + b"\n\n"
    last: list[dict[str, Any]] = [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]
    yield b"data: " + _encode({**head, "choices": last}) + b"\n\n"
    if usage is not None:
        yield b"data: " + _encode({**head, "choices": [], "usage": usage}) + b"\n\n"
