"""Anthropic's message → OpenAI's chat completion: the table of its fields, and the way through it."""

from __future__ import annotations

import msgspec

from freehold.upstreams.translate.result import Translated
from freehold.upstreams.translate.rules import (
    FIELDS,
    ITEMS,
    TEXT,
    At,
    Fields,
    Job,
    Out,
    as_text,
    by_type,
    convert,
    drop,
    encode,
    is_null,
    parse,
    refuse,
    same,
    settled,
    table,
    walk,
    walked,
)
from freehold.upstreams.translate.usage import usage_to_openai
from freehold.upstreams.translate.values import FINISH_OF_STOP

SERVER = "it comes of a tool that runs at Anthropic."
ASK = "Ask with tools of your own only."
_TIERS = {"standard": "default", "priority": "priority"}


def _content(raw: msgspec.Raw, out: Out, at: At) -> None:
    for index, item in enumerate(at.read(raw, ITEMS)):
        _gather(out, by_type(BLOCKS, item, at.item(index)))


def _gather(message: Out, found: Out) -> None:
    """Add what one block gives to the message: texts are joined, lists grow."""
    for name, value in found.items():
        message[name] = message[name] + value if name in message else value


def _text(raw: msgspec.Raw, out: Out, at: At) -> None:
    block = walked(TEXT_BLOCK, at.read(raw, FIELDS), at)
    out["content"] = at.read(block["text"], TEXT)


def _tool_use(raw: msgspec.Raw, out: Out, at: At) -> None:
    block = walked(TOOL_USE_BLOCK, at.read(raw, FIELDS), at)
    function = {"name": block["name"], "arguments": block["arguments"]}
    out["tool_calls"] = [{"id": block["id"], "type": "function", "function": function}]


def _input(raw: msgspec.Raw, out: Out, at: At) -> None:
    at.read(raw, FIELDS)
    out["arguments"] = as_text(raw)


def _thinking(raw: msgspec.Raw, out: Out, at: At) -> None:
    block = walked(THINKING_BLOCK, at.read(raw, FIELDS), at)
    words = at.read(block["thinking"], TEXT)
    if words:
        out["reasoning_content"] = words
    out["thinking_blocks"] = [{**block, "type": "thinking"}]


def _redacted(raw: msgspec.Raw, out: Out, at: At) -> None:
    block = walked(REDACTED_BLOCK, at.read(raw, FIELDS), at)
    out["thinking_blocks"] = [{**block, "type": "redacted_thinking"}]


def _stop_reason(raw: msgspec.Raw, out: Out, at: At) -> None:
    out["finish_reason"] = finish_reason(at.read(raw, TEXT), at)


def _stop_details(raw: msgspec.Raw, out: Out, at: At) -> None:
    walk(STOP_DETAILS, at.read(raw, FIELDS), out, at)


def _usage(raw: msgspec.Raw, out: Out, at: At) -> None:
    fields = at.read(raw, FIELDS)
    out["usage"] = usage_to_openai(fields, at)
    tier = service_tier(fields, at)
    if tier:
        out["service_tier"] = tier


TEXT_BLOCK = table(
    "anthropic",
    "answer's text block",
    (
        settled("type", ""),
        same("text", why="several are joined"),
        refuse("citations", "OpenAI has no citations of documents.", "Ask without citations.", ([],)),
    ),
    required=("text",),
    unknown="drop",
)
TOOL_USE_BLOCK = table(
    "anthropic",
    "answer's tool_use block",
    (
        settled("type", "type", "tool_use ↔ function"),
        same("id"),
        same("name"),
        convert("input", "function.arguments", _input, "the object ↔ its text, byte for byte"),
        refuse("caller", SERVER, ASK, ({"type": "direct"},)),
        refuse("toolset_name", SERVER, ASK),
    ),
    required=("id", "name", "input"),
    unknown="drop",
)
THINKING_BLOCK = table(
    "anthropic",
    "answer's thinking block",
    (settled("type", "thinking_blocks[].type"), same("thinking"), same("signature")),
    required=("thinking",),
    unknown="drop",
)
REDACTED_BLOCK = table(
    "anthropic",
    "answer's redacted_thinking block",
    (settled("type", "thinking_blocks[].type"), same("data")),
    required=("data",),
    unknown="drop",
)
BLOCKS = table(
    "anthropic",
    "answer's block",
    (
        convert("text", "choices[0].message.content", _text),
        convert("tool_use", "choices[0].message.tool_calls[]", _tool_use),
        convert(
            "thinking",
            "choices[0].message.reasoning_content, thinking_blocks[]",
            _thinking,
            "extensions: the words as other servers give them, and the signed block to send back",
        ),
        convert("redacted_thinking", "choices[0].message.thinking_blocks[]", _redacted),
        refuse("server_tool_use", SERVER, ASK),
        refuse("web_search_tool_result", SERVER, ASK),
        refuse("web_fetch_tool_result", SERVER, ASK),
        refuse("code_execution_tool_result", SERVER, ASK),
        refuse("bash_code_execution_tool_result", SERVER, ASK),
        refuse("text_editor_code_execution_tool_result", SERVER, ASK),
        refuse("tool_search_tool_result", SERVER, ASK),
        refuse("container_upload", SERVER, ASK),
    ),
)
STOP_DETAILS = table(
    "anthropic",
    "stop_details",
    (
        settled("type", "", "always refusal"),
        same("explanation", "refusal"),
        drop("category", "OpenAI has no place for it; the explanation says it in words."),
    ),
    unknown="drop",
)
MESSAGE = table(
    "anthropic",
    "message",
    (
        same("id"),
        same("model"),
        settled("type", "object", "message ↔ chat.completion"),
        settled("role", "choices[0].message.role", "always assistant"),
        convert("content", "choices[0].message", _content),
        convert("stop_reason", "choices[0].finish_reason", _stop_reason),
        same("stop_sequence", "stop_reason", "an extension: `choices[0].stop_reason`, as vLLM gives it"),
        convert("stop_details", "choices[0].message.refusal", _stop_details),
        convert("usage", "usage", _usage),
        refuse("container", SERVER, ASK),
        drop("diagnostics", "Nobody asked for it: `diagnostics` is refused in requests."),
    ),
    required=("id", "model", "content", "stop_reason", "usage"),
    unknown="drop",
)


def finish_reason(stop_reason: str, at: At) -> str:
    """OpenAI's word for why the answer ended."""
    found = FINISH_OF_STOP.get(stop_reason)
    if found is None:
        at.refuse(f"OpenAI has no reason like {stop_reason!r}.", ASK)
    return found


def service_tier(usage: Fields, at: At) -> str | None:
    """OpenAI's word for the tier that answered; None if it was not said, or has none."""
    raw = usage.get("service_tier")
    if raw is None or is_null(raw):
        return None
    return _TIERS.get(at.child("service_tier").read(raw, TEXT))


def answer_to_openai(body: bytes, *, created: int) -> Translated:
    """An Anthropic message as an OpenAI chat completion; `created` is the time now, in seconds since 1970.

    Raises:
        AnswerNotTranslatable: the body is no message, or holds content that OpenAI's protocol cannot say.
    """
    job = Job("openai", "answer")
    at = At(job)
    out = walked(MESSAGE, parse(body, at), at)
    choice: Out = {"index": 0, "message": message_of(out), "logprobs": None, "finish_reason": out["finish_reason"]}
    if "stop_reason" in out:
        choice["stop_reason"] = out["stop_reason"]
    document: Out = {"id": out["id"], "object": "chat.completion", "created": created, "model": out["model"]}
    document.update(choices=[choice], usage=out["usage"])
    if "service_tier" in out:
        document["service_tier"] = out["service_tier"]
    return Translated(body=encode(document), dropped=job.dropped)


def message_of(found: Out) -> Out:
    """The assistant's message of what its blocks gave."""
    message: Out = {"role": "assistant", "content": found.get("content"), "refusal": found.get("refusal")}
    for name in ("reasoning_content", "thinking_blocks", "tool_calls"):
        if name in found:
            message[name] = found[name]
    return message
