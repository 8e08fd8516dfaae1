"""What a recorded response says: the answer's text, its end and its usage, from JSON or from a stream of events."""

from __future__ import annotations

from typing import Any

import msgspec


class _Message(msgspec.Struct, frozen=True):
    content: str | list[dict[str, Any]] | None = None


class _Choice(msgspec.Struct, frozen=True):
    index: int = 0
    message: _Message | None = None
    delta: _Message | None = None
    finish_reason: str | None = None


class _PromptDetails(msgspec.Struct, frozen=True):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None


class _Completion(msgspec.Struct, frozen=True):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    model: str | None = None


class Usage(msgspec.Struct, frozen=True):
    """Tokens as the upstream counted them; cached ones are among the input."""

    input: int
    cached: int
    output: int


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What could be read from a response, half or whole."""

    text: str | None = None
    """Of the first choice; None if it holds no text (a tool call, or not a completion at all)."""
    finish_reason: str = ""
    model: str = ""
    usage: Usage | None = None


_decoder = msgspec.json.Decoder(_Completion)


def read_answer(response: bytes, *, stream: bool) -> Answer:
    """Read a chat completion (or the stream of one) as far as it can be understood. Never raises."""
    if stream and not response.lstrip().startswith(b"{"):  # an error to a streamed request is plain JSON
        return _from_stream(response)
    completion = _decode(response)
    return Answer() if completion is None else _from_completion(completion)


def _from_completion(completion: _Completion) -> Answer:
    first = next((choice for choice in completion.choices if choice.index == 0), None)
    return Answer(
        text=_text(first.message) if first else None,
        finish_reason=(first.finish_reason if first else None) or "",
        model=completion.model or "",
        usage=_usage(completion.usage),
    )


def _from_stream(response: bytes) -> Answer:
    pieces: list[str] = []
    finish, model = "", ""
    usage: Usage | None = None
    for line in response.splitlines():
        chunk = _decode(line[5:]) if line.startswith(b"data:") else None
        if chunk is None:  # a comment, `[DONE]`, an empty line, or the half event a stream broke off in
            continue
        model = model or chunk.model or ""
        usage = _usage(chunk.usage) or usage
        for choice in chunk.choices:
            if choice.index == 0:
                piece = _text(choice.delta)
                if piece is not None:
                    pieces.append(piece)
                finish = choice.finish_reason or finish
    return Answer(text="".join(pieces) if pieces else None, finish_reason=finish, model=model, usage=usage)


def _decode(data: bytes) -> _Completion | None:
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _text(message: _Message | None) -> str | None:
    content = message.content if message else None
    if content is None or isinstance(content, str):
        return content
    texts = [part.get("text") for part in content if part.get("type") == "text"]
    return "".join(text for text in texts if isinstance(text, str))


def _usage(usage: _Usage | None) -> Usage | None:
    if usage is None or usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    details = usage.prompt_tokens_details
    cached = (details.cached_tokens if details else None) or 0
    given = max(usage.prompt_tokens, 0)
    return Usage(input=given, cached=min(max(cached, 0), given), output=max(usage.completion_tokens, 0))
