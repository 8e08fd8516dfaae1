"""POST /v1/chat/completions."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from freehold.domain.errors import RequestError
from freehold.serving.engine import Ask
from freehold.serving.server.asking import Answer, Asking, now, raise_failure, sampling_of, seeds_of
from freehold.serving.server.events import EventStream
from freehold.serving.server.models import Served
from freehold.serving.server.protocol import ChatRequest, plain_messages, read_body, schema_of
from freehold.serving.server.replies import Json, chat_logprobs, finish_of, usage_of


async def chat(asking: Asking, request: Request, began: float) -> tuple[Response, str]:
    """The answer, and the name of the model that gave it."""
    body = await asking.body(request)
    read = read_body(body, ChatRequest)
    if read.top_logprobs and not read.logprobs:
        raise RequestError("top_logprobs goes with logprobs: true.", "Send both.")
    served = await asking.served(read.model)
    schema = schema_of(read.response_format)
    work = partial(_asks, asking, read, served, schema)
    asks = await asking.prepared(work, len(body), slow=schema is not None)
    answers = asking.submit(served, asks)
    head = {"id": f"chatcmpl-{secrets.token_hex(12)}", "created": int(time.time()), "model": served.name}
    if read.stream:
        events = _events(asking, read, answers, {**head, "object": "chat.completion.chunk"}, began)
        return EventStream(events), served.name
    texts = await asking.whole(request, answers)
    asking.count(answers)
    choices = [_choice(read, index, answer, texts[index]) for index, answer in enumerate(answers)]
    usage = usage_of(len(asks[0].prompt), [answer.running for answer in answers])
    return Json({**head, "object": "chat.completion", "choices": choices, "usage": usage}), served.name


def _asks(asking: Asking, read: ChatRequest, served: Served, schema: dict[str, Any] | None) -> list[Ask]:
    engine = served.engine
    prompt = engine.words.conversation(plain_messages(read.messages), read.tools or ())
    shared = sampling_of(read, served, asking.limits)
    if shared["max_tokens"] < 1:
        raise RequestError("max_tokens is 0.", "Ask for one token at least.")
    return [
        Ask(
            prompt=prompt,
            seed=seed,
            logprobs=bool(read.logprobs),
            top_logprobs=read.top_logprobs or 0,
            matcher=None if schema is None else engine.grammars.matcher(schema),
            **shared,
        )
        for seed in seeds_of(read)
    ]


def _choice(read: ChatRequest, index: int, answer: Answer, text: str) -> dict[str, Any]:
    one, words = answer.running, answer.served.engine.words
    logprobs = chat_logprobs(words, one, 0, len(one.tokens), whole=True) if read.logprobs else None
    message = {"role": "assistant", "content": text, "refusal": None}
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": finish_of(one)}


async def _events(
    asking: Asking, read: ChatRequest, answers: Sequence[Answer], head: dict[str, Any], began: float
) -> AsyncGenerator[dict[str, Any], None]:
    with_usage = read.stream_options is not None and read.stream_options.include_usage
    head = {**head, "usage": None} if with_usage else head
    told = [0] * len(answers)

    def chunk(index: int, delta: dict[str, Any], finish: str | None = None, logprobs: Any = None) -> dict[str, Any]:
        return {**head, "choices": [{"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}]}

    waiting = True
    for index in range(len(answers)):
        yield chunk(index, {"role": "assistant", "content": ""})
    async with aclosing(asking.follow(answers)) as all_news:
        async for index, news in all_news:
            if waiting:
                waiting = False
                asking.counts.first(answers[index].served.name, now() - began)
            one, words = answers[index].running, answers[index].served.engine.words
            new = news.tokens > told[index] and read.logprobs
            if news.text or new:
                logprobs = chat_logprobs(words, one, told[index], news.tokens, whole=False) if read.logprobs else None
                told[index] = news.tokens
                yield chunk(index, {"content": news.text}, None, logprobs)
            if news.ended:
                raise_failure(answers[index])
                last = chat_logprobs(words, one, 0, 0, whole=True) if read.logprobs else None
                yield chunk(index, {}, finish_of(one), last)
    asking.count(answers)
    if with_usage:
        usage = usage_of(len(answers[0].running.ask.prompt), [answer.running for answer in answers])
        yield {**head, "choices": [], "usage": usage}
