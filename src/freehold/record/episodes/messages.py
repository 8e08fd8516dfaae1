"""What a request and its answer say, in the form of OpenAI's chat completions, whatever API they are by.

For reading only, and lenient: what is not known is kept as it is or left out, and nothing is refused (the strict
translation that requests are sent by is `freehold.upstreams.translate`). Left out: a model's thinking, and notes to the
provider's cache. Field names are those of each provider's published description of its API, as of November 2026.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, cast

import msgspec

from freehold.domain.episodes import Message
from freehold.domain.traces import Api, Trace
from freehold.record.answers import Answer, read_answer

READ: frozenset[Api] = frozenset(("chat", "messages", "responses", "completions"))
"""APIs whose requests are conversations."""
_THOUGHTS = frozenset(("thinking", "redacted_thinking", "reasoning"))


class Body(msgspec.Struct):
    """The parts of a request that are said to the model, by any of the APIs; items are decoded one by one."""

    messages: list[msgspec.Raw] = []
    system: msgspec.Raw = msgspec.Raw(b"null")
    instructions: msgspec.Raw = msgspec.Raw(b"null")
    input: msgspec.Raw = msgspec.Raw(b"null")
    prompt: msgspec.Raw = msgspec.Raw(b"null")
    previous_response_id: str | None = None


_body = msgspec.json.Decoder(Body)
_items = msgspec.json.Decoder(list[msgspec.Raw])
_EMPTY = Body()


def body_of(request: bytes) -> Body:
    """The request's body; an empty one if it is none that can be read."""
    try:
        return _body.decode(request)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _EMPTY


def items_of(body: Body, api: Api) -> list[tuple[str, bytes]]:
    """(kind of item, its JSON) in the order in which they are said; see `read_item`."""
    if api == "messages":
        return [*_one("system", body.system), *(("anthropic", bytes(item)) for item in body.messages)]
    if api == "responses":
        return [*_one("system", body.instructions), *_input_items(bytes(body.input))]
    if api == "completions":
        return _one("user", body.prompt)
    return [("chat", bytes(item)) for item in body.messages]


def read_item(kind: str, data: bytes) -> list[Message]:
    """The messages that one item is: none if nothing is said in it, several for a turn with tools' results."""
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = _leniently(data)
    return _READERS[kind](value)


def joined(messages: Iterable[Message]) -> list[Message]:
    """`messages` with what an assistant says in several items (of the Responses API) in one."""
    found: list[Message] = []
    for message in messages:
        if found and message["role"] == found[-1]["role"] == "assistant":
            found[-1] = _both(found[-1], message)
        else:
            found.append(message)
    return found


def messages_of(trace: Trace) -> list[Message]:
    """The messages of a trace's request, instructions first; what the provider keeps of earlier ones is not there."""
    found = (message for item in items_of(body_of(trace.request), trace.api) for message in read_item(*item))
    return joined(found) if trace.api == "responses" else list(found)


def answer_of(trace: Trace) -> Message | None:
    """What the model answered; None if it said nothing that can be read, or not all of it was kept."""
    if trace.truncated or not trace.answered_by or not 200 <= trace.status < 300:
        return None
    return message_of_answer(read_answer(trace.response, stream=trace.stream, api=trace.api))


def message_of_answer(answer: Answer) -> Message | None:
    """An answer as a message."""
    if answer.text is None and not answer.tool_calls:
        return None
    calls = [_call(call.id, call.name, call.arguments) for call in answer.tool_calls]
    message = _message("assistant", answer.text, calls)
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    return message


def text_of(message: Message) -> str:
    """All the text of a message's content."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    texts = (as_object(part).get("text") for part in as_list(content))
    return "".join(text for text in texts if isinstance(text, str))


def as_object(value: Any) -> dict[str, Any]:
    """`value`, or an empty object if it is none."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """`value`, or an empty list if it is none."""
    return cast("list[Any]", value) if isinstance(value, list) else []


# One reader for each kind of item.


def _chat(value: Any) -> list[Message]:
    """A message of chat completions: as it is, without what says nothing."""
    fields = as_object(value)
    if not fields:
        return []
    calls = [as_object(call) for call in as_list(fields.get("tool_calls"))]
    legacy = as_object(fields.get("function_call"))
    if legacy:
        calls.append(_call("", str(legacy.get("name", "")), str(legacy.get("arguments", ""))))
    message = _message(str(fields.get("role", "user")), _parts(fields.get("content")), calls)
    for name in ("tool_call_id", "name"):
        if isinstance(fields.get(name), str):
            message[name] = fields[name]
    return [message]


def _anthropic(value: Any) -> list[Message]:
    """A turn of Messages: results of tools are messages of their own, before what else the user says."""
    fields = as_object(value)
    if not fields:
        return []
    role, content = str(fields.get("role", "user")), fields.get("content")
    results: list[Message] = []
    calls: list[Any] = []
    rest: list[Any] = []
    for part in as_list(content):
        block = as_object(part)
        if block.get("type") == "tool_result":
            result = _message("tool", _parts(block.get("content")), [])
            results.append({**result, "tool_call_id": str(block.get("tool_use_id", ""))})
        elif block.get("type") == "tool_use":
            arguments = json.dumps(block.get("input", {}), ensure_ascii=False)
            calls.append(_call(str(block.get("id", "")), str(block.get("name", "")), arguments))
        else:
            rest.append(part)
    said = content if isinstance(content, str) else _parts(rest)
    return [*results, _message(role, said, calls)] if said or calls or not results else results


def _response_item(value: Any) -> list[Message]:
    """An item of the Responses API's input."""
    fields = as_object(value)
    kind = fields.get("type", "message") if fields else ""
    if kind == "message":
        return [_message(str(fields.get("role", "user")), _parts(fields.get("content")), [])]
    identity = str(fields.get("call_id", ""))
    if kind in ("function_call", "custom_tool_call"):
        said = fields.get("arguments", fields.get("input", ""))
        return [_message("assistant", None, [_call(identity, str(fields.get("name", "")), str(said))])]
    if kind in ("function_call_output", "custom_tool_call_output"):
        return [{**_message("tool", _parts(fields.get("output")), []), "tool_call_id": identity}]
    return []  # reasoning, references, calls of the provider's own tools: part of no answer that is compared


def _instructions(value: Any) -> list[Message]:
    content = _parts(value)
    return [_message("system", content, [])] if content else []


def _prompt(value: Any) -> list[Message]:
    return [_message("user", text, []) for text in as_list(value) or [value] if isinstance(text, str)]


_READERS: dict[str, Callable[[Any], list[Message]]] = {
    "chat": _chat,
    "anthropic": _anthropic,
    "response": _response_item,
    "system": _instructions,
    "user": _prompt,
}


def _leniently(data: bytes) -> Any:
    """JSON whose text was cut within a letter, as some clients send it; None if it is none at all."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _one(kind: str, raw: msgspec.Raw) -> list[tuple[str, bytes]]:
    data = bytes(raw)
    return [] if data == b"null" else [(kind, data)]


def _input_items(data: bytes) -> list[tuple[str, bytes]]:
    if data[:1] != b"[":
        return [] if data == b"null" else [("user", data)]
    try:
        return [("response", bytes(item)) for item in _items.decode(data)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []


def _parts(content: Any) -> Any:
    """Content as text if that is all there is, else the list of its parts, each text in OpenAI's form."""
    if content is None or isinstance(content, str):
        return content
    found = [part for block in as_list(content) if (part := _part(block)) is not None]
    if len(found) == 1 and found[0].get("type") == "text":
        return found[0]["text"]
    return found or None


def _part(block: Any) -> dict[str, Any] | None:
    if isinstance(block, str):
        return {"type": "text", "text": block}
    fields = as_object(block)
    if not fields or fields.get("type") in _THOUGHTS:
        return None
    if isinstance(fields.get("text"), str):
        return {"type": "text", "text": fields["text"]}
    return {name: value for name, value in fields.items() if name != "cache_control"}


def _message(role: str, content: Any, calls: list[Any]) -> Message:
    message: Message = {"role": role, "content": content}
    if calls:
        message["tool_calls"] = calls
    return message


def _call(identity: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def _both(first: Message, second: Message) -> Message:
    contents = [message.get("content") for message in (first, second)]
    parts = [part for content in contents for part in (as_list(content) or ([content] if content else []))]
    calls = [*as_list(first.get("tool_calls")), *as_list(second.get("tool_calls"))]
    return _message("assistant", _parts(parts), calls)
