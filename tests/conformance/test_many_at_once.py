"""Many clients at once, some of which leave early: everybody gets their own answer, whole."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import anthropic
import openai

EACH = 12


def greeting(text: str) -> str:
    return f"Grüße zu «{text}» 👋"


def hello(text: str) -> Any:
    return [{"role": "user", "content": text}]


async def chat(client: openai.AsyncOpenAI, model: str, text: str) -> str:
    found = await client.chat.completions.create(model=model, messages=hello(text))
    return found.choices[0].message.content or ""


async def chat_stream(client: openai.AsyncOpenAI, model: str, text: str) -> str:
    said = ""
    async for chunk in await client.chat.completions.create(model=model, messages=hello(text), stream=True):
        said += (chunk.choices[0].delta.content or "") if chunk.choices else ""
    return said


async def chat_left(client: openai.AsyncOpenAI, model: str, text: str) -> str:
    async with await client.chat.completions.create(model=model, messages=hello(text), stream=True) as stream:
        async for _ in stream:
            break
    return greeting(text)


async def responses_stream(client: openai.AsyncOpenAI, model: str, text: str) -> str:
    """Of an OpenAI upstream whatever the model: the Responses API is not translated."""
    async with client.responses.stream(model="gpt-test", input=text) as stream:
        return (await stream.get_final_response()).output_text


async def messages_stream(client: anthropic.AsyncAnthropic, model: str, text: str) -> str:
    async with client.messages.stream(model=model, max_tokens=99, messages=hello(text)) as stream:
        return await stream.get_final_text()


async def everybody(gateway: str) -> dict[str, str]:
    async with (
        openai.AsyncOpenAI(base_url=f"{gateway}/v1", api_key="sk-test", max_retries=0, timeout=30) as first,
        anthropic.AsyncAnthropic(base_url=gateway, api_key="sk-test", max_retries=0, timeout=30) as second,
    ):
        asked: dict[str, Coroutine[Any, Any, str]] = {}
        for number in range(EACH):
            for model in ("gpt-test", "claude-test"):
                for ask in (chat, chat_stream, chat_left, responses_stream):
                    text = f"{number} {model} {ask.__name__} {'ä' * 40 * number}"
                    asked[text] = ask(first, model, text)
                text = f"{number} {model} messages {'ä' * 40 * number}"
                asked[text] = messages_stream(second, model, text)
        return dict(zip(asked, await asyncio.gather(*asked.values()), strict=True))


def test_everybody_gets_their_own_answer(gateway: str) -> None:
    found = asyncio.run(everybody(gateway))
    assert len(found) == 10 * EACH
    assert found == {text: greeting(text) for text in found}
