"""OpenAI chat requests by feature, and outcomes of chat completions; for all clients that take them as they are."""

from __future__ import annotations

import json
from typing import Any

from .cases import FINISH, INPUTS, Json, Outcome


def chat_request(feature: str, model: str) -> Json:
    """The arguments of a chat completion; of a feature `error NNN` too."""
    request: Json = {"model": model, "messages": [_user(_text(feature))]}
    tool = {"type": "function", "function": {**INPUTS["tool"], "strict": True}}
    if feature == "text":
        request["messages"].insert(0, {"role": "system", "content": INPUTS["system"]})
    elif feature in ("tool", "tools"):
        request |= {"tools": [tool]}
    elif feature == "not-parallel":
        request |= {"tools": [tool], "parallel_tool_calls": False}
    elif feature == "results":
        request |= {"tools": [tool], "messages": [*request["messages"], *_called()]}
    elif feature == "structured":
        form = {"name": "answer", "schema": INPUTS["schema"], "strict": True}
        request |= {"response_format": {"type": "json_schema", "json_schema": form}}
    elif feature == "image":
        url = f"data:image/png;base64,{INPUTS['png']}"
        request["messages"] = [_user([_part(feature), {"type": "image_url", "image_url": {"url": url}}])]
    elif feature == "audio":
        audio = {"data": INPUTS["wav"], "format": "wav"}
        request["messages"] = [_user([_part(feature), {"type": "input_audio", "input_audio": audio}])]
    elif feature == "logprobs":
        request |= {"logprobs": True, "top_logprobs": 2}
    elif feature == "several":
        request |= {"n": 3}
    return request


def chat_outcome(completion: Any) -> Outcome:
    """What a chat completion says, whichever library's object it is."""
    choices = completion.choices
    first, message = choices[0], choices[0].message
    calls = [[c.function.name, json.loads(c.function.arguments)] for c in message.tool_calls or ()]
    logprobs = getattr(first, "logprobs", None)
    usage = completion.usage
    return {
        "text": message.content,
        "texts": [choice.message.content for choice in choices],
        "calls": calls,
        "finish": FINISH[first.finish_reason],
        "json": _parsed(message.content),
        "tokens": [token.token for token in logprobs.content] if logprobs and logprobs.content else None,
        "usage": [usage.prompt_tokens, usage.completion_tokens] if usage else None,
    }


def _parsed(text: str | None) -> object:
    return json.loads(text) if text and text.startswith("{") else None


def _text(feature: str) -> str:
    if feature.startswith("error "):
        return feature
    given = {"tool": "one", "tools": "two", "not-parallel": "two", "results": "two", "structured": "forecast"}
    return INPUTS[given.get(feature, "look" if feature in ("image", "audio") else "hello")]


def _user(content: object) -> Json:
    return {"role": "user", "content": content}


def _part(feature: str) -> Json:
    return {"type": "text", "text": _text(feature)}


def _called() -> list[Json]:
    calls = [
        {
            "id": f"call_{n}",
            "type": "function",
            "function": {"name": "weather", "arguments": json.dumps({"city": city})},
        }
        for n, city in enumerate(("Paris", "Oslo"))
    ]
    results = [
        {"role": "tool", "tool_call_id": f"call_{n}", "content": text} for n, text in enumerate(INPUTS["degrees"])
    ]
    return [{"role": "assistant", "content": None, "tool_calls": calls}, *results]
