"""Anthropic's messages and their blocks → OpenAI's: the tables and what carries them out."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from freehold.upstreams.translate.rules import (
    ANY,
    FIELDS,
    FLAG,
    ITEMS,
    OBJECTS,
    TEXT,
    At,
    Fields,
    Out,
    as_text,
    by_type,
    convert,
    drop,
    is_text,
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
    text_blocks,
)

CACHE = drop("cache_control", "It marks what to cache: it changes the price, never the answer.")
_REASONING = "Reasoning of an earlier turn, signed for the model that made it; no other can read it."
_CITATIONS = "OpenAI has no citations of documents."
_SERVER = "It belongs to a tool that runs at Anthropic."
_ASK = "Ask an Anthropic model, or leave it out."
_CALLER = refuse("caller", _SERVER, _ASK, ({"type": "direct"},))
_TOOLSET = refuse("toolset_name", _SERVER, _ASK)


def _text(raw: msgspec.Raw, out: Out, at: At) -> None:
    walk(TEXT_BLOCK, at.read(raw, FIELDS), out, at)


def _image(raw: msgspec.Raw, out: Out, at: At) -> None:
    walk(IMAGE_BLOCK, at.read(raw, FIELDS), out, at)
    out["type"] = "image_url"


def _image_source(raw: msgspec.Raw, out: Out, at: At) -> None:
    out["image_url"] = by_type(IMAGE_SOURCES, raw, at)


def _base64_image(raw: msgspec.Raw, out: Out, at: At) -> None:
    out["url"] = _as_data_url(at.read(raw, FIELDS), at)


def _url_image(raw: msgspec.Raw, out: Out, at: At) -> None:
    fields = at.read(raw, FIELDS)
    walk(URL_SOURCE, fields, out, at)
    if not at.child("url").read(fields["url"], TEXT).startswith(IMAGE_SCHEMES):
        at.child("url").refuse("it is no http(s) URL.", "Send a web URL or a base64 source.")


def _as_data_url(fields: Fields, at: At) -> str:
    found = walked(BASE64_SOURCE, fields, at)
    return f"data:{at.read(found['media_type'], TEXT)};base64,{at.read(found['data'], TEXT)}"


def _document(raw: msgspec.Raw, out: Out, at: At) -> None:
    found: Out = {"filename": UNTITLED}
    walk(DOCUMENT_BLOCK, at.read(raw, FIELDS), found, at)
    out.update(type="file", file=found)


def _document_source(raw: msgspec.Raw, out: Out, at: At) -> None:
    out.update(by_type(DOCUMENT_SOURCES, raw, at))


def _base64_document(raw: msgspec.Raw, out: Out, at: At) -> None:
    url = _as_data_url(at.read(raw, FIELDS), at)
    if not url.startswith("data:application/pdf;"):
        at.child("media_type").refuse("only PDFs have a counterpart.", "Send a PDF, or its text.")
    out["file_data"] = url


def _tool_use(raw: msgspec.Raw, out: Out, at: At) -> None:
    called = walked(TOOL_USE_BLOCK, at.read(raw, FIELDS), at)
    function = {"name": called["name"], "arguments": called["arguments"]}
    out.update(id=called["id"], type="function", function=function)


def _input(raw: msgspec.Raw, out: Out, at: At) -> None:
    at.read(raw, FIELDS)
    out["arguments"] = as_text(raw)


def _tool_result(raw: msgspec.Raw, out: Out, at: At) -> None:
    out.update(role="tool", content="")
    walk(TOOL_RESULT_BLOCK, at.read(raw, FIELDS), out, at)


def _result_content(raw: msgspec.Raw, out: Out, at: At) -> None:
    out["content"] = content_of(raw, RESULT_BLOCKS, at) or ""


def _is_error(raw: msgspec.Raw, out: Out, at: At) -> None:
    if at.read(raw, FLAG):
        texts = text_blocks(out["content"])
        texts[0]["text"] = TOOL_ERROR + str(at.read(msgspec.json.encode(texts[0]["text"]), ANY))
        out["content"] = collapsed(texts)


TEXT_BLOCK = table(
    "anthropic",
    "text block",
    (same("type"), same("text"), CACHE, refuse("citations", _CITATIONS, "Leave `citations` out.", ([],))),
    required=("text",),
)
BASE64_SOURCE = table(
    "anthropic",
    "base64 source",
    (settled("type", ""), same("media_type"), same("data")),
    required=("media_type", "data"),
)
URL_SOURCE = table(
    "anthropic",
    "url source",
    (settled("type", ""), same("url")),
    required=("url",),
)
_STORED = refuse("file", "Files stored at one provider are not at another.", "Send the file itself as base64.")
IMAGE_SOURCES = table(
    "anthropic",
    "image source",
    (
        convert("base64", "image_url.url", _base64_image, "base64 source ↔ data URL"),
        convert("url", "image_url.url", _url_image),
        _STORED,
    ),
)
IMAGE_BLOCK = table(
    "anthropic",
    "image block",
    (
        same("type"),
        convert("source", "image_url", _image_source),
        refuse(
            "transformations",
            "OpenAI scales large images by its own rules.",
            "Leave it out, or scale the image.",
            ({}, {"oversized_image": "downsize"}),
        ),
        CACHE,
    ),
    required=("source",),
)
DOCUMENT_SOURCES = table(
    "anthropic",
    "document source",
    (
        convert("base64", "file.file_data", _base64_document, "PDF as base64 source ↔ data URL"),
        refuse("url", "OpenAI's chat completions fetch no documents.", "Send the document itself as base64."),
        refuse("text", "OpenAI's files are PDFs.", "Send the text as a text block."),
        refuse("content", "OpenAI's files are PDFs.", "Send the content as blocks of the message."),
        _STORED,
    ),
)
DOCUMENT_BLOCK = table(
    "anthropic",
    "document block",
    (
        settled("type", "type", "document ↔ file"),
        convert("source", "file.file_data", _document_source),
        same("title", "filename", "`document.pdf` stands for no title"),
        refuse("context", "OpenAI's files have no context.", "Send it as a text block."),
        refuse("citations", _CITATIONS, "Leave `citations` out.", ({"enabled": False}, {})),
        CACHE,
    ),
    required=("source",),
)
TOOL_USE_BLOCK = table(
    "anthropic",
    "tool_use block",
    (
        settled("type", "type", "tool_use ↔ function"),
        same("id"),
        same("name"),
        convert("input", "function.arguments", _input, "the object ↔ its text, byte for byte"),
        _CALLER,
        _TOOLSET,
        CACHE,
    ),
    required=("id", "name", "input"),
)
TOOL_RESULT_BLOCK = table(
    "anthropic",
    "tool_result block",
    (
        settled("type", "role", "a block of a user turn ↔ a message of role tool"),
        same("tool_use_id", "tool_call_id"),
        convert("content", "content", _result_content, "none ↔ an empty string"),
        convert("is_error", "content", _is_error, f"the text begins with `{TOOL_ERROR}`"),
        _TOOLSET,
        CACHE,
    ),
    required=("tool_use_id",),
)
_TEXT_ROW = convert("text", "text", _text)
_SEARCHED = refuse("search_result", _CITATIONS, "Send the results as text.")
SYSTEM_BLOCKS = table("anthropic", "system block", (_TEXT_ROW,))
RESULT_BLOCKS = table(
    "anthropic",
    "tool result block",
    (
        _TEXT_ROW,
        refuse("image", "OpenAI's tools answer in text.", "Send the image in a message of the user."),
        refuse("document", "OpenAI's tools answer in text.", "Send the document in a message of the user."),
        _SEARCHED,
        refuse("tool_reference", _SERVER, _ASK),
        refuse("browser_state", _SERVER, _ASK),
    ),
)
USER_BLOCKS = table(
    "anthropic",
    "user block",
    (
        _TEXT_ROW,
        convert("image", "image_url", _image),
        convert("document", "file", _document),
        convert("tool_result", "messages[] of role tool", _tool_result, "they come first in their turn"),
        _SEARCHED,
        refuse("container_upload", _SERVER, _ASK),
    ),
)
ASSISTANT_BLOCKS = table(
    "anthropic",
    "assistant block",
    (
        _TEXT_ROW,
        convert("tool_use", "tool_calls[]", _tool_use, "they come after the turn's text"),
        drop("thinking", _REASONING),
        drop("redacted_thinking", _REASONING),
        refuse("server_tool_use", _SERVER, _ASK),
        refuse("web_search_tool_result", _SERVER, _ASK),
        refuse("web_fetch_tool_result", _SERVER, _ASK),
        refuse("code_execution_tool_result", _SERVER, _ASK),
        refuse("bash_code_execution_tool_result", _SERVER, _ASK),
        refuse("text_editor_code_execution_tool_result", _SERVER, _ASK),
        refuse("tool_search_tool_result", _SERVER, _ASK),
    ),
)


def system(raw: msgspec.Raw, out: Out, at: At) -> None:
    """Top-level instructions as the first message; the messages' rule comes after and adds to it."""
    content = content_of(raw, SYSTEM_BLOCKS, at)
    if content != []:
        out["messages"] = [{"role": "system", "content": content}]


def messages(raw: msgspec.Raw, out: Out, at: At) -> None:
    """All turns; tool results become messages of their own."""
    found = at.read(raw, OBJECTS)
    if not found:
        at.malformed("is empty")
    turns = cast("list[Out]", out.setdefault("messages", []))
    for index, fields in enumerate(found):
        turns += _turn(fields, at.item(index))
    if turns[-1]["role"] == "assistant":
        at.item(len(found) - 1).refuse(
            "it begins the answer, and OpenAI's models do not continue a message.", "End with a user's message."
        )


def _system_turn(raw: msgspec.Raw, out: Out, at: At) -> None:
    out["turns"] = [{"role": "system", "content": content_of(raw, SYSTEM_BLOCKS, at)}]


def _user_turn(raw: msgspec.Raw, out: Out, at: At) -> None:
    if is_text(raw):
        out["turns"] = [{"role": "user", "content": raw}]
        return
    results: list[Out] = []
    rest: list[Out] = []
    for index, item in enumerate(at.read(raw, ITEMS)):
        block = by_type(USER_BLOCKS, item, at.item(index))
        if block.get("role") == "tool" and rest:
            at.item(index).refuse("tool results come first in their turn.", "Put them before the text.")
        (results if block.get("role") == "tool" else rest).append(block)
    words = [{"role": "user", "content": collapsed(rest)}] if rest or not results else []
    out["turns"] = [*results, *words]


def _assistant_turn(raw: msgspec.Raw, out: Out, at: At) -> None:
    texts: list[Any] = []
    calls: list[Any] = []
    for block in blocks_of(raw, ASSISTANT_BLOCKS, at):
        is_call = "function" in block
        if calls and not is_call:
            at.refuse("OpenAI's turns have their text before their tool calls.", "Put the text first.")
        (calls if is_call else texts).append(block)
    turn: Out = {"role": "assistant", "content": collapsed(texts) if texts else (None if calls else "")}
    if calls:
        turn["tool_calls"] = calls
    out["turns"] = [turn]


def _turns_of(role: str, by: Any) -> Any:
    to = "role, content, tool_calls" if role == "assistant" else "role, content"
    rules = (settled("role", "role"), convert("content", to, by))
    return table("anthropic", f"{role} message", rules, required=("content",))


USER_MESSAGE = _turns_of("user", _user_turn)
ASSISTANT_MESSAGE = _turns_of("assistant", _assistant_turn)
SYSTEM_MESSAGE = _turns_of("system", _system_turn)
_TABLES = {"system": SYSTEM_MESSAGE, "user": USER_MESSAGE, "assistant": ASSISTANT_MESSAGE}


def _turn(fields: Fields, at: At) -> list[Out]:
    role = at.child("role").read(fields.get("role", msgspec.Raw(b"null")), TEXT)
    if role not in _TABLES:
        at.child("role").malformed(f"is {role!r}, which is no role")
    out = walked(_TABLES[role], fields, at)
    return out["turns"]
