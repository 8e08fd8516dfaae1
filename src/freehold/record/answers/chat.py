"""Reads OpenAI's chat completions, legacy completions and embeddings: they share their envelope."""

from __future__ import annotations

from typing import Any

import msgspec

from freehold.record.answers.parts import Answer, ToolCall, Usage, decoded, events, usage_of


class _Function(msgspec.Struct, frozen=True):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct, frozen=True):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Message(msgspec.Struct, frozen=True):
    content: str | list[dict[str, Any]] | None = None
    tool_calls: list[_Call] | None = None
    reasoning_content: Any = None
    reasoning: Any = None
    """The newer name; either may be something else elsewhere, and then counts for nothing."""


class _Choice(msgspec.Struct, frozen=True):
    index: int = 0
    message: _Message | None = None
    delta: _Message | None = None
    text: str | None = None
    """Legacy completions."""
    finish_reason: str | None = None


class _PromptDetails(msgspec.Struct, frozen=True):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None


class _Completion(msgspec.Struct, frozen=True):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    model: str | None = None


_decoder = msgspec.json.Decoder(_Completion)


def read_whole(response: bytes) -> Answer:
    """A document."""
    completion = decoded(response, _decoder)
    if completion is None:
        return Answer()
    first = next((choice for choice in completion.choices or () if choice.index == 0), None)
    message = first.message if first else None
    return Answer(
        text=_text(message) if message else first.text if first else None,
        finish_reason=(first.finish_reason if first else None) or "",
        model=completion.model or "",
        usage=_usage(completion.usage),
        tool_calls=_calls(message.tool_calls or []) if message else (),
        reasoning=_reasoning(message),
    )


def read_stream(response: bytes) -> Answer:
    """A stream of chunks."""
    pieces: list[str] = []
    thoughts: list[str] = []
    calls: list[_Call] = []
    finish, model = "", ""
    usage: Usage | None = None
    for chunk in events(response, _decoder):
        model = model or chunk.model or ""
        usage = _usage(chunk.usage) or usage
        for choice in chunk.choices or ():
            if choice.index == 0:
                piece = _text(choice.delta) if choice.delta else choice.text
                if piece is not None:
                    pieces.append(piece)
                calls += (choice.delta.tool_calls or ()) if choice.delta else ()
                thoughts.append(_reasoning(choice.delta))
                finish = choice.finish_reason or finish
    text = "".join(pieces) if pieces else None
    return Answer(
        text=text,
        finish_reason=finish,
        model=model,
        usage=usage,
        tool_calls=_calls(calls),
        reasoning="".join(thoughts),
    )


def _calls(pieces: list[_Call]) -> tuple[ToolCall, ...]:
    """Whole calls of a document, or pieces of a stream's, which say by their index what they go on with."""
    found: dict[int, ToolCall] = {}
    for position, piece in enumerate(pieces):
        index = position if piece.index is None else piece.index
        known = found.get(index) or ToolCall("", "", "")
        function = piece.function or _Function()
        found[index] = ToolCall(
            id=known.id or piece.id or "",
            name=known.name or function.name or "",
            arguments=known.arguments + (function.arguments or ""),
        )
    return tuple(found.values())


def _text(message: _Message) -> str | None:
    content = message.content
    if content is None or isinstance(content, str):
        return content
    texts = [part.get("text") for part in content if part.get("type") == "text"]
    return "".join(text for text in texts if isinstance(text, str))


def _reasoning(message: _Message | None) -> str:
    if message is None:
        return ""
    found = message.reasoning_content or message.reasoning
    return found if isinstance(found, str) else ""


def _usage(usage: _Usage | None) -> Usage | None:
    if usage is None:
        return None
    output = usage.completion_tokens
    if output is None and usage.total_tokens is not None and usage.total_tokens == usage.prompt_tokens:
        output = 0  # embeddings have no output to count
    details = usage.prompt_tokens_details or _PromptDetails()
    return usage_of(usage.prompt_tokens, output, details.cached_tokens, details.cache_write_tokens)
