"""Anthropic's Python library: messages, blocking and not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import anthropic

from .cases import FINISH, INPUTS, Json, Outcome
from .chat_requests import chat_request
from .openai_python import Forecast

MODEL = "claude-test"


def messages_request(feature: str, model: str) -> Json:
    """The arguments of a message."""
    text = chat_request(feature, model)["messages"][-1 if feature in ("text", "structured") else 0]["content"]
    request: Json = {"model": model, "max_tokens": 500, "messages": [{"role": "user", "content": text}]}
    tool = INPUTS["tool"]
    tools = [{"name": tool["name"], "description": tool["description"], "input_schema": tool["parameters"]}]
    if feature == "text":
        request |= {"system": INPUTS["system"]}
    elif feature in ("tool", "tools"):
        request |= {"tools": tools}
    elif feature == "not-parallel":
        request |= {"tools": tools, "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}
    elif feature == "results":
        request |= {"tools": tools, "messages": [*request["messages"], *_called()]}
    elif feature == "image":
        source = {"type": "base64", "media_type": "image/png", "data": INPUTS["png"]}
        parts = [{"type": "text", "text": INPUTS["look"]}, {"type": "image", "source": source}]
        request["messages"] = [{"role": "user", "content": parts}]
    elif feature == "thinking":
        request |= {"thinking": {"type": "adaptive"}}
    return request


def failure(call: Callable[[], object]) -> Outcome:
    """The library's error as its user sees it."""
    try:
        call()
    except anthropic.APIStatusError as error:
        body = error.body
        assert isinstance(body, dict)
        return {
            "classes": [kind.__name__ for kind in type(error).__mro__],
            "status": error.status_code,
            "retry_after": error.response.headers.get("retry-after"),
            "message": body["error"]["message"],
        }
    raise AssertionError("it did not fail")


class Messages:
    """`client.messages`, with the library's own stream helper."""

    def __init__(self, url: str, model: str = MODEL) -> None:
        self._model, self._url = model, url
        self._client = anthropic.Anthropic(base_url=url, api_key="sk-test", max_retries=0, timeout=20)

    def ask(self, feature: str, stream: bool) -> Outcome:
        request = messages_request(feature, self._model)
        form: Json = {"output_format": Forecast} if feature == "structured" else {}
        if stream:
            with self._client.messages.stream(**request, **form) as events:
                found: Any = events.get_final_message()
        elif feature == "structured":
            found = self._client.messages.parse(**request, **form)
        else:
            found = self._client.messages.create(**request)
        return messages_outcome(found)

    def fail(self, status: int, stream: bool) -> Outcome:
        return failure(lambda: self.ask(f"error {status}", stream))

    def count(self) -> int:
        """Tokens of a message, by `count_tokens`."""
        request = messages_request("text", self._model)
        request.pop("max_tokens")
        return self._client.messages.count_tokens(**request).input_tokens


class AsyncMessages(Messages):
    """The same through `AsyncAnthropic`."""

    def ask(self, feature: str, stream: bool) -> Outcome:
        return asyncio.run(self._asked(feature, stream))

    async def _asked(self, feature: str, stream: bool) -> Outcome:
        request = messages_request(feature, self._model)
        form: Json = {"output_format": Forecast} if feature == "structured" else {}
        async with anthropic.AsyncAnthropic(base_url=self._url, api_key="sk-test", max_retries=0, timeout=20) as client:
            if stream:
                async with client.messages.stream(**request, **form) as events:
                    found: Any = await events.get_final_message()
            elif feature == "structured":
                found = await client.messages.parse(**request, **form)
            else:
                found = await client.messages.create(**request)
        return messages_outcome(found)


def messages_outcome(message: Any) -> Outcome:
    """What a message says."""
    blocks = message.content
    parsed = next((b.parsed_output for b in blocks if getattr(b, "parsed_output", None) is not None), None)
    return {
        "text": "".join(block.text for block in blocks if block.type == "text"),
        "calls": [[block.name, block.input] for block in blocks if block.type == "tool_use"],
        "thinking": "".join(block.thinking for block in blocks if block.type == "thinking"),
        "json": parsed.model_dump() if parsed is not None else None,
        "finish": FINISH[message.stop_reason],
        "usage": [message.usage.input_tokens, message.usage.output_tokens],
    }


def _called() -> list[Json]:
    calls = [
        {"type": "tool_use", "id": f"call_{n}", "name": "weather", "input": {"city": city}}
        for n, city in enumerate(("Paris", "Oslo"))
    ]
    results = [
        {"type": "tool_result", "tool_use_id": f"call_{n}", "content": text} for n, text in enumerate(INPUTS["degrees"])
    ]
    return [{"role": "assistant", "content": calls}, {"role": "user", "content": results}]
