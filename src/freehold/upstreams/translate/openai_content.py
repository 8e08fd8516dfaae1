"""OpenAI's messages, their parts and tool calls → Anthropic's: the tables and what carries them out."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from freehold.upstreams.translate.rules import (
    FIELDS,
    ITEMS,
    OBJECTS,
    TEXT,
    At,
    Fields,
    Out,
    by_type,
    convert,
    drop,
    refuse,
    same,
    settled,
    table,
    walk,
    walked,
)
from freehold.upstreams.translate.values import (
    IMAGE_SCHEMES,
    TOOL_ERROR,
    UNTITLED,
    blocks_of,
    collapsed,
    content_of,
    data_url,
    is_blank,
    text_blocks,
)

_CACHE = "It marks what to cache: it changes the price, never the answer."
_NAMED = refuse("name", "Anthropic's messages have no names of participants.", "Put the name into the text.")


def _text(raw: msgspec.Raw, out: Out, at: At) -> None:
    walk(TEXT_PART, at.read(raw, FIELDS), out, at)


def _image(raw: msgspec.Raw, out: Out, at: At) -> None:
    walk(IMAGE_PART, at.read(raw, FIELDS), out, at)
    out["type"] = "image"


def _image_url(raw: msgspec.Raw, out: Out, at: At) -> None:
    walk(IMAGE_URL, at.read(raw, FIELDS), out, at)


def _image_source(raw: msgspec.Raw, out: Out, at: At) -> None:
    url = at.read(raw, TEXT)
    if url.startswith(IMAGE_SCHEMES):
        out["source"] = {"type": "url", "url": raw}
        return
    found = data_url(url)
    if found is None:
        at.refuse("it is neither an http(s) URL nor a base64 data URL.", "Send data:image/png;base64,… or a web URL.")
    out["source"] = {"type": "base64", "media_type": found[0], "data": found[1]}


def _file(raw: msgspec.Raw, out: Out, at: At) -> None:
    walk(FILE_PART, at.read(raw, FIELDS), out, at)
    out["type"] = "document"


def _file_file(raw: msgspec.Raw, out: Out, at: At) -> None:
    walk(FILE, at.read(raw, FIELDS), out, at)


def _file_data(raw: msgspec.Raw, out: Out, at: At) -> None:
    found = data_url(at.read(raw, TEXT))
    if found is None or found[0] != "application/pdf":
        at.refuse("only PDFs as base64 data URLs have a counterpart.", "Send data:application/pdf;base64,…, or text.")
    out["source"] = {"type": "base64", "media_type": found[0], "data": found[1]}


def _filename(raw: msgspec.Raw, out: Out, at: At) -> None:
    if at.read(raw, TEXT) != UNTITLED:
        out["title"] = raw


TEXT_PART = table(
    "openai",
    "text part",
    (same("type"), same("text"), drop("prompt_cache_breakpoint", _CACHE)),
    required=("text",),
)
IMAGE_URL = table(
    "openai",
    "image URL",
    (
        convert("url", "source", _image_source, "data URL ↔ base64 source; web URL ↔ url source"),
        refuse(
            "detail",
            "Anthropic reads every image at full detail.",
            "Leave `detail` out, or scale the image.",
            ("auto", "high"),
        ),
    ),
    required=("url",),
)
IMAGE_PART = table(
    "openai",
    "image part",
    (
        same("type"),
        convert("image_url", "source", _image_url),
        drop("prompt_cache_breakpoint", _CACHE),
    ),
    required=("image_url",),
)
FILE = table(
    "openai",
    "file",
    (
        convert("file_data", "source", _file_data, "PDF as a data URL ↔ base64 source"),
        convert("filename", "title", _filename, f"`{UNTITLED}` stands for no title"),
        refuse("file_id", "Files stored at one provider are not at another.", "Send the file itself as `file_data`."),
    ),
    required=("file_data",),
)
FILE_PART = table(
    "openai",
    "file part",
    (same("type"), convert("file", "source, title", _file_file), drop("prompt_cache_breakpoint", _CACHE)),
    required=("file",),
)
_AUDIO = refuse("input_audio", "Anthropic takes no audio.", "Send a transcript as text.")
_REFUSAL_PART = refuse("refusal", "Anthropic's turns have no refusals.", "Send the refusal's words as a text part.")
SYSTEM_PARTS = table("openai", "system content part", (convert("text", "text", _text),))
USER_PARTS = table(
    "openai",
    "user content part",
    (
        convert("text", "text", _text),
        convert("image_url", "image", _image),
        convert("file", "document", _file),
        _AUDIO,
    ),
)
ASSISTANT_PARTS = table("openai", "assistant content part", (convert("text", "text", _text), _REFUSAL_PART))
TOOL_PARTS = table("openai", "tool content part", (convert("text", "text", _text),))


def _system_content(raw: msgspec.Raw, out: Out, at: At) -> None:
    out["content"] = content_of(raw, SYSTEM_PARTS, at)


def _user_content(raw: msgspec.Raw, out: Out, at: At) -> None:
    out["content"] = content_of(raw, USER_PARTS, at)


def _thinking(raw: msgspec.Raw, out: Out, at: At) -> None:
    _add(out, signed(raw, at))


def signed(raw: msgspec.Raw, at: At) -> list[Out]:
    """`thinking_blocks`: reasoning as its model signed it."""
    return [by_type(SIGNED, item, at.item(index)) for index, item in enumerate(at.read(raw, ITEMS))]


def _signed_words(raw: msgspec.Raw, out: Out, at: At) -> None:
    walk(SIGNED_WORDS, at.read(raw, FIELDS), out, at)


def _redacted(raw: msgspec.Raw, out: Out, at: At) -> None:
    walk(REDACTED, at.read(raw, FIELDS), out, at)


def _assistant_content(raw: msgspec.Raw, out: Out, at: At) -> None:
    blocks = blocks_of(raw, ASSISTANT_PARTS, at)
    _add(out, [block for block in blocks if not is_blank(block["text"], at)])


def _calls(raw: msgspec.Raw, out: Out, at: At) -> None:
    for index, item in enumerate(at.read(raw, ITEMS)):
        _add(out, [by_type(TOOL_CALLS, item, at.item(index))])


def _add(out: Out, blocks: list[Any]) -> None:
    cast("list[Any]", out.setdefault("content", [])).extend(blocks)


def _call(raw: msgspec.Raw, out: Out, at: At) -> None:
    walk(TOOL_CALL, at.read(raw, FIELDS), out, at)
    out["type"] = "tool_use"


def _function(raw: msgspec.Raw, out: Out, at: At) -> None:
    walk(CALLED, at.read(raw, FIELDS), out, at)


def arguments(raw: msgspec.Raw, out: Out, at: At) -> None:
    """A call's arguments (the text of a JSON object) as `input`, the object, byte for byte."""
    text = at.read(raw, TEXT)
    if text.strip():
        at.read(text, FIELDS)
    out["input"] = msgspec.Raw(text.encode() if text.strip() else b"{}")


def _result(raw: msgspec.Raw, out: Out, at: At) -> None:
    content = content_of(raw, TOOL_PARTS, at)
    texts = text_blocks(content)
    first = at.read(texts[0]["text"], TEXT) if texts else ""
    if first.startswith(TOOL_ERROR):
        out["is_error"] = True
        texts[0]["text"] = first.removeprefix(TOOL_ERROR)
        content = collapsed(texts)
        if content == "":
            return
    elif is_blank(content, at):
        return
    out["content"] = content


_NUMBER = settled("index", "", "its place among the blocks: clients that put streams together leave it there")
SIGNED_WORDS = table(
    "openai",
    "thinking block",
    (same("type"), same("thinking"), same("signature"), _NUMBER, drop("cache_control", _CACHE)),
    required=("thinking", "signature"),
)
REDACTED = table(
    "openai",
    "redacted thinking block",
    (same("type"), same("data"), _NUMBER, drop("cache_control", _CACHE)),
    required=("data",),
)
SIGNED = table(
    "openai",
    "thinking block",
    (
        convert("thinking", "thinking", _signed_words),
        convert("redacted_thinking", "redacted_thinking", _redacted),
    ),
)
CALLED = table(
    "openai",
    "called function",
    (
        same("name"),
        convert("arguments", "input", arguments, "the text of a JSON object ↔ the object; blank means {}"),
    ),
    required=("name",),
)
TOOL_CALL = table(
    "openai",
    "tool call",
    (same("id"), same("type"), convert("function", "name, input", _function)),
    required=("id", "function"),
)
TOOL_CALLS = table(
    "openai",
    "tool call",
    (
        convert("function", "tool_use", _call),
        refuse("custom", "Anthropic's tools take JSON only.", "Use a function tool."),
    ),
)

_ROLE = same("role")
SYSTEM_MESSAGE = table(
    "openai",
    "system message",
    (
        settled("role", "system", "leading ones ↔ `system`, later ones stay in place"),
        convert("content", "content", _system_content),
        _NAMED,
    ),
    required=("content",),
)
USER_MESSAGE = table(
    "openai", "user message", (_ROLE, convert("content", "content", _user_content), _NAMED), required=("content",)
)
ASSISTANT_MESSAGE = table(
    "openai",
    "assistant message",
    (
        _ROLE,
        convert(
            "thinking_blocks",
            "content[].thinking",
            _thinking,
            "an extension: reasoning as its model signed it, as our answers give it",
            lossless=False,
        ),
        drop("reasoning_content", "Reasoning without its signature; the model reads only `thinking_blocks`."),
        drop("reasoning", "Reasoning without its signature; the model reads only `thinking_blocks`."),
        convert("content", "content[].text", _assistant_content),
        convert("tool_calls", "content[].tool_use", _calls),
        refuse("refusal", "Anthropic's turns have no refusals.", "Send the refusal's words as `content`."),
        refuse("audio", "Anthropic speaks no audio.", "Send the transcript as `content`."),
        refuse("function_call", "It is OpenAI's retired form of tools.", "Use `tool_calls`."),
        refuse("annotations", "Anthropic takes no citations back.", "Leave `annotations` out.", ([],)),
        _NAMED,
    ),
)
TOOL_MESSAGE = table(
    "openai",
    "tool message",
    (
        settled("role", "content[].tool_result", "several are gathered in one user turn"),
        same("tool_call_id", "tool_use_id"),
        convert("content", "content", _result, f"text that begins with `{TOOL_ERROR}` ↔ is_error"),
        drop("name", "The call's id says which tool answered."),
    ),
    required=("tool_call_id", "content"),
)
ROLES = table(
    "openai",
    "role",
    (
        settled("system", "system"),
        settled("developer", "system", "the same as system"),
        same("user"),
        same("assistant"),
        settled("tool", "user"),
        refuse("function", "It is OpenAI's retired form of tools.", "Use `tools` and messages of role tool."),
    ),
)


def messages(raw: msgspec.Raw, out: Out, at: At) -> None:
    """All messages: leading instructions as `system`, the rest as turns."""
    found = at.read(raw, OBJECTS)
    if not found:
        at.malformed("is empty")
    system: list[Out] = []
    turns: list[Out] = []
    for index, fields in enumerate(found):
        role = _role(fields, at.item(index))
        if role == "system" and not turns:
            system += text_blocks(_turn(role, fields, at.item(index))["content"])
        else:
            _place(turns, role, _turn(role, fields, at.item(index)))
    if not turns:
        at.refuse("it holds instructions only; Anthropic needs a user's message.", "Add a message of role user.")
    if turns[-1]["role"] == "assistant":
        at.item(len(found) - 1).refuse(
            "Anthropic would continue a last assistant message, OpenAI answers it.", "End with a user's message."
        )
    if system:
        out["system"] = collapsed(system)
    out["messages"] = [{"role": turn["role"], "content": turn["content"]} for turn in turns]


def _role(fields: Fields, at: At) -> str:
    role = at.child("role").read(fields.get("role", msgspec.Raw(b"null")), TEXT)
    rule = ROLES.rules.get(role)
    if rule is None:
        at.child("role").malformed(f"is {role!r}, which is no role")
    if rule.fate == "refuse":
        at.child("role").refuse(rule.why, rule.do)
    return "system" if role == "developer" else role


_TABLES = {"system": SYSTEM_MESSAGE, "user": USER_MESSAGE, "assistant": ASSISTANT_MESSAGE, "tool": TOOL_MESSAGE}


def _turn(role: str, fields: Fields, at: At) -> Out:
    out = walked(_TABLES[role], fields, at)
    if role == "assistant":
        content = out.get("content")
        if content is None:
            at.malformed("has neither content nor tool_calls")
        out["content"] = collapsed(content) if content else ""
    return out


def _place(turns: list[Out], role: str, turn: Out) -> None:
    """Add a turn; tool results, and the user's words right after them, belong into one."""
    last = turns[-1] if turns else {}
    if role == "tool":
        result = {"type": "tool_result", **turn}
        if last.get("results"):
            last["content"].append(result)
        else:
            turns.append({"role": "user", "content": [result], "results": True})
    elif role == "user" and last.get("results"):
        last["content"] += text_blocks(turn["content"])
        last["results"] = False
    else:
        turns.append({"role": role, "content": turn["content"]})
