"""POST /v1/completions: texts that go on, and how likely texts are (`echo` with `logprobs`, as lm-evaluation-harness
asks)."""

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
from freehold.serving.engine import Ask, Running
from freehold.serving.engine.text import Words
from freehold.serving.server.asking import Answer, Asking, now, raise_failure, sampling_of, seeds_of
from freehold.serving.server.events import EventStream
from freehold.serving.server.models import Served
from freehold.serving.server.protocol import CompletionRequest, prompts_of, read_body
from freehold.serving.server.replies import Json, TextLogprobs, finish_of, usage_of

_MOST_PROMPTS = 64


async def completions(asking: Asking, request: Request, began: float) -> tuple[Response, str]:
    """The answer, and the name of the model that gave it."""
    body = await asking.body(request)
    read = read_body(body, CompletionRequest)
    if read.stream and read.echo:
        raise RequestError("echo does not go with stream.", "Leave one of them out.")
    served = await asking.served(read.model)
    asks = await asking.prepared(partial(_asks, asking, read, served), len(body))
    answers = asking.submit(served, asks)
    head = {"id": f"cmpl-{secrets.token_hex(12)}", "object": "text_completion"}
    head |= {"created": int(time.time()), "model": served.name}
    if read.stream:
        return EventStream(_events(asking, read, answers, head, began)), served.name
    texts = await asking.whole(request, answers)
    asking.count(answers)
    choices = [_choice(read, index, answer, texts[index]) for index, answer in enumerate(answers)]
    prompts = sum(len(ask.prompt) for ask in asks) // (read.n or 1)
    usage = usage_of(prompts, [answer.running for answer in answers])
    return Json({**head, "choices": choices, "usage": usage}), served.name


def _asks(asking: Asking, read: CompletionRequest, served: Served) -> list[Ask]:
    words = served.engine.words
    prompts = prompts_of(read.prompt)
    if len(prompts) * (read.n or 1) > _MOST_PROMPTS:
        raise RequestError(f"These are {len(prompts)} prompts; {_MOST_PROMPTS} answers are given.", "Send fewer.")
    shared = sampling_of(read, served, asking.limits)
    if shared["max_tokens"] < 1 and not read.echo:
        raise RequestError("max_tokens is 0.", "Ask for one token at least, or for echo.")
    shared["max_tokens"] = max(1, shared["max_tokens"])
    wants = read.logprobs is not None
    return [
        Ask(
            prompt=prompt if isinstance(prompt, list) else words.encode(prompt, special=True),
            seed=seed,
            logprobs=wants,
            top_logprobs=read.logprobs or 0,
            score_prompt=wants and bool(read.echo),
            **shared,
        )
        for prompt in prompts
        for seed in seeds_of(read)
    ]


def _choice(read: CompletionRequest, index: int, answer: Answer, text: str) -> dict[str, Any]:
    one, words = answer.running, answer.served.engine.words
    if read.max_tokens == 0:
        text = ""
    if read.echo:
        text = words.decode(one.ask.prompt) + text
    logprobs = None if read.logprobs is None else _logprobs(read, words, one).document()
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish_of(one)}


def _logprobs(read: CompletionRequest, words: Words, one: Running) -> TextLogprobs:
    found = TextLogprobs(words, read.logprobs or 0)
    if read.echo:
        for place, token in enumerate(one.ask.prompt):
            found.add(token, *((None, []) if place == 0 else one.prompt_scores[place - 1]))
    if read.max_tokens != 0:
        _add(found, one, 0, len(one.tokens))
    return found


def _add(found: TextLogprobs, one: Running, first: int, last: int) -> None:
    for place in range(first, last):
        found.add(one.tokens[place], one.logprobs[place], one.tops[place] if one.tops else [])


async def _events(
    asking: Asking, read: CompletionRequest, answers: Sequence[Answer], head: dict[str, Any], began: float
) -> AsyncGenerator[dict[str, Any], None]:
    scores = [TextLogprobs(answer.served.engine.words, read.logprobs or 0) for answer in answers]
    waiting = True
    async with aclosing(asking.follow(answers)) as all_news:
        async for index, news in all_news:
            if waiting:
                waiting = False
                asking.counts.first(answers[index].served.name, now() - began)
            one, mine = answers[index].running, scores[index]
            logprobs = None
            if read.logprobs is not None:
                first = len(mine.tokens)
                _add(mine, one, first, news.tokens)
                logprobs = mine.document(first)
            if news.ended:
                raise_failure(answers[index])
            finish = finish_of(one) if news.ended else None
            yield {
                **head,
                "choices": [{"index": index, "text": news.text, "logprobs": logprobs, "finish_reason": finish}],
            }
    asking.count(answers)
    if read.stream_options is not None and read.stream_options.include_usage:
        runs = [answer.running for answer in answers]
        yield {**head, "choices": [], "usage": usage_of(sum(len(one.ask.prompt) for one in runs), runs)}
