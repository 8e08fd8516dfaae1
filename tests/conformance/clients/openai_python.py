"""OpenAI's Python library: chat completions and responses, blocking and not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import openai
from pydantic import BaseModel, ConfigDict

from .cases import INPUTS, Json, Outcome
from .chat_requests import chat_outcome, chat_request

MODEL = "gpt-test"


class Forecast(BaseModel):
    """What a structured answer is read into."""

    model_config = ConfigDict(extra="forbid")
    city: str
    days: int


def failure(call: Callable[[], object]) -> Outcome:
    """The library's error as its user sees it."""
    try:
        call()
    except openai.APIStatusError as error:
        return {
            "classes": [kind.__name__ for kind in type(error).__mro__],
            "status": error.status_code,
            "retry_after": error.response.headers.get("retry-after"),
            "message": error.message,
        }
    raise AssertionError("it did not fail")


class Chat:
    """`client.chat.completions`, with the library's own stream helper."""

    def __init__(self, url: str, model: str = MODEL) -> None:
        self._client = openai.OpenAI(base_url=f"{url}/v1", api_key="sk-test", max_retries=0, timeout=20)
        self._model = model

    def ask(self, feature: str, stream: bool) -> Outcome:
        request = self._request(feature)
        completions = self._client.chat.completions
        if stream:
            with completions.stream(**request, stream_options={"include_usage": True}) as events:
                found = events.get_final_completion()
        elif feature == "structured":
            found = completions.parse(**request)
        else:
            found = completions.create(**request)
        return _outcome(feature, found)

    def fail(self, status: int, stream: bool) -> Outcome:
        return failure(lambda: self.ask(f"error {status}", stream))

    def _request(self, feature: str) -> Json:
        request = chat_request(feature, self._model)
        if feature == "structured":
            request["response_format"] = Forecast
        return request


class AsyncChat(Chat):
    """The same through `AsyncOpenAI`."""

    def __init__(self, url: str, model: str = MODEL) -> None:
        super().__init__(url, model)
        self._url = url

    def ask(self, feature: str, stream: bool) -> Outcome:
        return asyncio.run(self._asked(feature, stream))

    async def _asked(self, feature: str, stream: bool) -> Outcome:
        request = self._request(feature)
        async with openai.AsyncOpenAI(
            base_url=f"{self._url}/v1", api_key="sk-test", max_retries=0, timeout=20
        ) as client:
            completions = client.chat.completions
            if stream:
                async with completions.stream(**request, stream_options={"include_usage": True}) as events:
                    found = await events.get_final_completion()
            else:
                create: Callable[..., Coroutine[Any, Any, Any]] = (
                    completions.parse if feature == "structured" else completions.create
                )
                found = await create(**request)
        return _outcome(feature, found)


class Responses:
    """`client.responses`, with the library's own stream helper."""

    def __init__(self, url: str) -> None:
        self._client = openai.OpenAI(base_url=f"{url}/v1", api_key="sk-test", max_retries=0, timeout=20)

    def ask(self, feature: str, stream: bool) -> Outcome:
        request = responses_request(feature)
        if feature == "structured":
            request["text_format"] = Forecast
        if stream:
            with self._client.responses.stream(**request) as events:
                kinds = [event.type for event in events]
                found: Any = events.get_final_response()
            assert kinds[0] == "response.created" and kinds[-1] == "response.completed", kinds
        elif feature == "structured":
            found = self._client.responses.parse(**request)
        else:
            found = self._client.responses.create(**request)
        calls = [[item.name, json.loads(item.arguments)] for item in found.output if item.type == "function_call"]
        parsed = found.output_parsed.model_dump() if feature == "structured" else None
        usage = [found.usage.input_tokens, found.usage.output_tokens]
        return {"text": found.output_text, "calls": calls, "json": parsed, "usage": usage}

    def fail(self, status: int, stream: bool) -> Outcome:
        return failure(lambda: self.ask(f"error {status}", stream))


def responses_request(feature: str) -> Json:
    """The arguments of a response."""
    chat = chat_request(feature, MODEL)
    text = chat["messages"][0]["content"]
    request: Json = {"model": MODEL, "input": text}
    tool = {"type": "function", **INPUTS["tool"], "strict": True}
    if feature == "text":
        request = {"model": MODEL, "input": chat["messages"][1]["content"], "instructions": INPUTS["system"]}
    elif feature in ("tool", "tools", "not-parallel"):
        request |= {"tools": [tool]} | ({"parallel_tool_calls": False} if feature == "not-parallel" else {})
    elif feature == "results":
        request |= {"tools": [tool], "input": [{"role": "user", "content": text}, *_called()]}
    elif feature == "image":
        picture = {"type": "input_image", "image_url": f"data:image/png;base64,{INPUTS['png']}", "detail": "auto"}
        parts = [{"type": "input_text", "text": INPUTS["look"]}, picture]
        request["input"] = [{"role": "user", "content": parts}]
    elif feature == "continued":
        request |= {"previous_response_id": "resp_1"}
    return request


def _called() -> list[Json]:
    calls: list[Json] = [
        {
            "type": "function_call",
            "call_id": f"call_{n}",
            "name": "weather",
            "arguments": json.dumps({"city": city}),
        }
        for n, city in enumerate(("Paris", "Oslo"))
    ]
    return calls + [
        {"type": "function_call_output", "call_id": f"call_{n}", "output": text}
        for n, text in enumerate(INPUTS["degrees"])
    ]


def _outcome(feature: str, found: Any) -> Outcome:
    outcome = chat_outcome(found)
    if feature == "structured":
        outcome["json"] = found.choices[0].message.parsed.model_dump()
    return outcome
