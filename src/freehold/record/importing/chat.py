"""Chats as other programs write them, made into OpenAI's form: messages, parameters, completions. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from freehold.domain.errors import RowError
from freehold.record.answers import Usage
from freehold.record.importing.values import Row, list_of, objects_of, opened, said, text_of

ROLES = {
    "human": "user",
    "gpt": "assistant",
    "model": "assistant",
    "ai": "assistant",
    "bot": "assistant",
    "observation": "tool",
    "ipython": "tool",
    "tool_response": "tool",
}
"""Other words for OpenAI's roles."""
PARAMETERS = (
    "temperature",
    "top_p",
    "n",
    "max_tokens",
    "max_completion_tokens",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "functions",
    "function_call",
    "response_format",
    "reasoning_effort",
    "modalities",
)
"""What is taken over of a request that a program logged: what the answer depends on. All else could be a secret."""
CREDENTIALS = frozenset(
    (
        "api_key",
        "apikey",
        "api-key",
        "x-api-key",
        "authorization",
        "authorization_token",
        "auth_token",
        "access_token",
        "bearer_token",
        "headers",
        "extra_headers",
        "default_headers",
        "aws_access_key_id",
        "aws_secret_access_key",
        "aws_session_token",
        "azure_ad_token",
        "vertex_credentials",
        "client_secret",
        "password",
        "api_base",
        "base_url",
        "proxy_server_request",
        "litellm_params",
    )
)
"""Fields of requests and of their tools that hold secrets, or lead to them; never kept."""
_MOST_TOKENS = 10**12
_MESSAGE = ("name", "tool_calls", "tool_call_id", "refusal", "reasoning_content", "function_call")
_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "eos": "stop",
    "completed": "stop",
    "complete": "stop",
    "tool_call": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "refusal": "content_filter",
}


def without_secrets(body: Mapping[str, Any]) -> Row:
    """A request's body without fields that hold credentials, on top and in its tools and servers."""
    kept = {name: value for name, value in body.items() if name.lower() not in CREDENTIALS}
    for name in ("tools", "mcp_servers"):
        if isinstance(kept.get(name), list):
            kept[name] = [_without(item) for item in cast("list[Any]", kept[name])]
    return kept


def _without(item: Any) -> Any:
    if not isinstance(item, dict):
        return item
    return {name: value for name, value in cast("Row", item).items() if name.lower() not in CREDENTIALS}


def parameters(given: Mapping[str, Any]) -> Row:
    """The parameters of a request that an answer depends on."""
    found = {name: given[name] for name in PARAMETERS if given.get(name) is not None}
    return without_secrets(found)


def chat_messages(value: Any) -> list[Row]:
    """A list of messages in OpenAI's form; roles by other names are translated.

    Raises:
        RowError: it is no list of messages.
    """
    given = opened(value)
    if not isinstance(given, list) or not given:
        raise RowError("It has no list of messages.", "Give `messages`: a list of {role, content}.")
    return [_message(item) for item in cast("list[Any]", given)]


def _message(item: Any) -> Row:
    if not isinstance(item, dict):
        raise RowError("One of its messages is no object.", "Give {role, content}.")
    given = cast("Row", item)
    role = text_of(given, "role", "from")
    if not role:
        raise RowError("One of its messages has no role.", "Give {role, content}.")
    content = given.get("content", given.get("value"))
    if content is not None and not isinstance(content, str | list):
        content = said(content)
    made: Row = {"role": ROLES.get(role.lower(), role), "content": content}
    made.update((name, given[name]) for name in _MESSAGE if given.get(name))
    return made


def split_answer(messages: Sequence[Row]) -> tuple[list[Row], Row]:
    """The messages of the request, and the answer: the last one, which must be an assistant's.

    Raises:
        RowError: the last message is not an assistant's, or nothing comes before it.
    """
    if messages[-1]["role"] != "assistant":
        raise RowError("Its last message is not an assistant's, so it holds no answer.", "End it with the answer.")
    if len(messages) == 1:
        raise RowError("Nothing comes before its answer.", "Give the messages that were answered.")
    return list(messages[:-1]), messages[-1]


def assistant(text: str | None, calls: Sequence[Row] = ()) -> Row:
    """An assistant's message."""
    made: Row = {"role": "assistant", "content": text}
    return {**made, "tool_calls": list(calls)} if calls else made


def tool_call(call_id: str, name: str, arguments: Any) -> Row:
    """One call of a tool; arguments are the text of JSON, as the protocol has them."""
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": arguments if isinstance(arguments, str) else said(arguments)},
    }


def usage(given: int | None, output: int | None, cached: int = 0) -> Usage | None:
    """Tokens, if both sums are known; a source that counts none at all did not count."""
    if given is None or output is None or (not given and not output) or max(given, output) > _MOST_TOKENS:
        return None
    return Usage(input=max(given, 0), cached=min(max(cached, 0), max(given, 0)), output=max(output, 0))


def completion(
    message: Row | None, *, model: str, finish: str = "", used: Usage | None = None, response_id: str = ""
) -> Row:
    """A chat completion.

    A source that does not say why an answer ended keeps answers that ended by themselves: then the reason is `stop`,
    or `tool_calls` if it calls any.
    """
    made: Row = {"object": "chat.completion", "model": model, "choices": []}
    if response_id:
        made["id"] = response_id
    if message is not None:
        reason = _FINISH.get(finish.lower(), finish.lower()) or ("tool_calls" if message.get("tool_calls") else "stop")
        made["choices"] = [{"index": 0, "message": message, "finish_reason": reason}]
    if used is not None:
        counts: Row = {"prompt_tokens": used.input, "completion_tokens": used.output}
        counts["total_tokens"] = used.input + used.output
        if used.cached:
            counts["prompt_tokens_details"] = {"cached_tokens": used.cached}
        made["usage"] = counts
    return made


def answer_message(value: Any) -> Row | None:
    """An assistant's message, of what a program kept of an answer: a completion, a message, text; None if nothing."""
    found = opened(value)
    if isinstance(found, str):
        return assistant(found) if found else None
    if isinstance(found, list):
        turns = [_message(item) for item in cast("list[Any]", found) if isinstance(item, dict) and "role" in item]
        return turns[-1] if turns else assistant(_joined(cast("list[Any]", found)))
    if not isinstance(found, dict):
        return None
    row = cast("Row", found)
    choices = objects_of(row.get("choices"))
    if choices:
        message = choices[0].get("message")
        return _message({"role": "assistant", **cast("Row", message)}) if isinstance(message, dict) else None
    if "role" in row or "content" in row:
        return _message({"role": "assistant", **row})
    return assistant(said(row)) if row else None


def _joined(parts: Iterable[Any]) -> str:
    texts = (text_of(cast("Row", part), "text", "content") for part in parts if isinstance(part, dict))
    return "".join(texts) or said(list(parts))


def finish_of(value: Any) -> str:
    """Why a kept completion says it ended; empty if it does not."""
    found = opened(value)
    if not isinstance(found, dict):
        return ""
    row = cast("Row", found)
    choices = list_of(row.get("choices"))
    first = cast("Row", choices[0]) if choices and isinstance(choices[0], dict) else row
    return text_of(first, "finish_reason", "stop_reason")
