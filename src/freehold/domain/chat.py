"""A chat completion request as far as Freehold must understand it; everything else passes through as bytes."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from freehold.domain.errors import RequestError


class Message(msgspec.Struct, frozen=True):
    """One message; content is text, a list of parts, or absent (an assistant's tool call)."""

    role: str
    content: str | list[dict[str, Any]] | None = None


class StreamOptions(msgspec.Struct, frozen=True):
    """`stream_options` of the OpenAI protocol."""

    include_usage: bool = False


class ChatRequest(msgspec.Struct, frozen=True):
    """The fields of `POST /v1/chat/completions` that routing looks at."""

    model: str
    messages: list[Message]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    logprobs: bool | None = None
    tools: Any = None
    functions: Any = None
    response_format: Any = None
    modalities: Any = None
    metadata: dict[str, Any] | None = None


_decoder = msgspec.json.Decoder(ChatRequest)


def parse_chat(body: bytes) -> ChatRequest:
    """Decode a request body.

    Raises:
        RequestError: the body is not JSON, or not a chat completion request; the message names the field.
    """
    try:
        request = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError(
            f"The request body is not a chat completion request: {error}.",
            "Send JSON with `model` (a string) and `messages` (a list of {role, content}).",
        ) from error
    except RecursionError as error:
        raise RequestError("The request body is nested too deeply.", "Flatten the JSON.") from error
    if not request.messages:
        raise RequestError("`messages` is empty.", "Send at least one message.")
    return request


def text_of(message: Message) -> str | None:
    """The text of a message; None if any part of it is not text (an image, audio, a file)."""
    content = message.content
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    texts: list[str] = []
    for part in content:
        text = part.get("text")
        if part.get("type") != "text" or not isinstance(text, str):
            return None
        texts.append(text)
    return "\n".join(texts)


_INSTRUCTIONS = frozenset(("system", "developer"))


def instructions(request: ChatRequest) -> str:
    """The system and developer messages' text, in order; non-text parts are left out."""
    found = [text_of(message) or "" for message in request.messages if message.role in _INSTRUCTIONS]
    return found[0] if len(found) == 1 else "\n".join(found)


def student_input(request: ChatRequest) -> str | None:
    """The text that a student sees: everything but the instructions. None if some of it is not text."""
    turns = [message for message in request.messages if message.role not in _INSTRUCTIONS]
    if len(turns) == 1:
        return text_of(turns[0])
    lines: list[str] = []
    for turn in turns:
        text = text_of(turn)
        if text is None:
            return None
        lines.append(f"{turn.role}: {text}")
    return "\n".join(lines)


def calls_so_far(request: ChatRequest) -> int:
    """Calls that an agent has made with this one: a model's turns in it, and the one asked for."""
    return 1 + sum(message.role == "assistant" for message in request.messages)


def student_can_answer(request: ChatRequest) -> bool:
    """Whether a closed-answer student can give everything the request asks for."""
    return (
        request.tools is None
        and request.functions is None
        and request.modalities is None
        and not request.logprobs
        and request.n in (None, 1)
        and all(message.role in ("system", "developer", "user", "assistant") for message in request.messages)
    )


def model_can_answer(request: ChatRequest) -> bool:
    """Whether another model may be asked in the incumbent's place: one answer is wanted, in text or tool calls."""
    return request.modalities is None and not request.logprobs and request.n in (None, 1)


def schema_of(request: ChatRequest) -> dict[str, Any] | None:
    """The JSON Schema in `response_format`; None if the request asks for none, or for any JSON object."""
    found: Any = request.response_format
    for name in ("json_schema", "schema"):
        found = cast("dict[str, Any]", found).get(name) if isinstance(found, dict) else None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None


def answer_schema(request: ChatRequest) -> str:
    """The JSON Schema that the answer must keep to, as JSON; empty: it may be any text.

    Its keys keep their order, which is that of the answer's: the same schema in another order is another one.
    """
    form: Any = request.response_format
    any_object = isinstance(form, dict) and cast("dict[str, Any]", form).get("type") == "json_object"
    schema = {"type": "object"} if any_object else schema_of(request)
    return "" if schema is None else msgspec.json.encode(schema).decode()
