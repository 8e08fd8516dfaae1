"""What must be known of an exchange to place it in an episode: digests instead of bodies.

Agents send their whole history with every step, so most messages were read before: each is decoded and hashed once,
and known again by its bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from freehold.domain.episodes import Message
from freehold.domain.traces import Trace
from freehold.record.episodes.digests import combined, digest
from freehold.record.episodes.messages import (
    READ,
    answer_of,
    as_list,
    as_object,
    body_of,
    items_of,
    joined,
    read_item,
    text_of,
)

MOST_KNOWN = 20_000
"""Items that are known by their bytes before all are forgotten: bounds memory."""
SHORTEST_SLOT = 12
"""Characters; a shorter argument of a tool call says nothing about which agent it started."""
MOST_SLOTS = 256
_SYSTEM = frozenset(("system", "developer"))


class Call(NamedTuple):
    """A tool call in an answer."""

    id: str
    name: str
    texts: tuple[str, ...]
    """The texts among its arguments, however deep, that could be prompts."""


class Heard(NamedTuple):
    """One exchange."""

    trace_id: str
    key: str | None
    at_ns: int
    end_ns: int
    failed: bool
    agent: str | None
    parent: str | None
    """As the caller names them."""
    instructions: bytes
    """Digest of the messages of instructions at the beginning; empty without any."""
    digests: tuple[bytes, ...]
    """Of the messages after them."""
    spoken: tuple[bool, ...]
    """For each of these whether it is the model's."""
    first: str
    """Text of the first message of the user's."""
    lately: str
    """Text of what is said after the model's last turn: all of it on a first request."""
    results: tuple[tuple[str, str], ...]
    """(id of the call, text) of tools' results after the model's last turn."""
    answer: bytes
    """Digest of the answer; empty without one."""
    said: str
    """Text of the answer."""
    calls: tuple[Call, ...]
    response_id: str
    previous_id: str
    """OpenAI's previous_response_id; empty without."""


class _Known(NamedTuple):
    messages: tuple[Message, ...]
    digests: tuple[bytes, ...]


class _Identity(msgspec.Struct):
    id: str = ""


class _Event(msgspec.Struct):
    response: _Identity | None = None


_identity = msgspec.json.Decoder(_Identity)
_event = msgspec.json.Decoder(_Event)


class Hearing:
    """Reads traces; knows again what it has read. Not for several threads at once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, bytes], _Known] = {}

    def __call__(self, trace: Trace) -> Heard:
        """Never raises: what cannot be read is not there."""
        messages, digests, previous = self._said(trace)
        begin = instructed(messages)
        spoken = tuple(one["role"] == "assistant" for one in messages[begin:])
        last = max((at for at, by_model in enumerate(spoken) if by_model), default=-1)
        late = messages[begin + last + 1 :]
        answer = answer_of(trace) if trace.api in READ else None
        return Heard(
            trace_id=trace.trace_id,
            key=trace.key,
            at_ns=trace.at_ns,
            end_ns=trace.at_ns + trace.duration_us * 1000,
            failed=trace.error is not None or not 200 <= trace.status < 300,
            agent=trace.agent,
            parent=trace.parent,
            instructions=combined(digests[:begin]) if begin else b"",
            digests=digests[begin:],
            spoken=spoken,
            first=next((text_of(one) for one in messages[begin:] if one["role"] == "user"), ""),
            lately="\n".join(text_of(one) for one in late if one["role"] == "user"),
            results=tuple((one.get("tool_call_id", ""), text_of(one)) for one in late if one["role"] == "tool"),
            answer=digest(answer) if answer is not None else b"",
            said=text_of(answer).strip() if answer is not None else "",
            calls=tuple(_call(call) for call in answer.get("tool_calls", ())) if answer is not None else (),
            response_id=response_id(trace) if trace.api == "responses" else "",
            previous_id=previous,
        )

    def messages(self, trace: Trace) -> tuple[list[Message], tuple[bytes, ...]]:
        """The messages of a request, and the digest of each."""
        found, digests, _ = self._said(trace)
        return found, digests

    def _said(self, trace: Trace) -> tuple[list[Message], tuple[bytes, ...], str]:
        if trace.api not in READ:
            return [], (), ""
        body = body_of(trace.request)
        known = [self._item(item) for item in items_of(body, trace.api)]
        messages = [message for item in known for message in item.messages]
        previous = (body.previous_response_id or "") if trace.api == "responses" else ""
        if trace.api == "responses":
            whole = joined(messages)
            if len(whole) < len(messages):
                return whole, tuple(digest(message) for message in whole), previous
        return messages, tuple(one for item in known for one in item.digests), previous

    def _item(self, item: tuple[str, bytes]) -> _Known:
        found = self._known.get(item)
        if found is None:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            messages = tuple(read_item(*item))
            found = self._known[item] = _Known(messages, tuple(digest(message) for message in messages))
        return found


def instructed(messages: Sequence[Message]) -> int:
    """How many messages at the beginning are instructions."""
    return next((at for at, one in enumerate(messages) if one["role"] not in _SYSTEM), len(messages))


def response_id(trace: Trace) -> str:
    """The id by which a later request of the Responses API may name this response; empty if it says none."""
    data = trace.response
    try:
        if not trace.stream or data.lstrip().startswith(b"{"):
            return _identity.decode(data).id
        line = next((line for line in data[:65_536].splitlines() if line.startswith(b"data:")), b"data:{}")
        found = _event.decode(line[5:]).response
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return found.id if found is not None else ""


def _call(call: Message) -> Call:
    function = as_object(call.get("function"))
    arguments = str(function.get("arguments", ""))
    try:
        value = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        value = arguments
    texts: list[str] = []
    _gather(value, texts)
    return Call(str(call.get("id", "")), str(function.get("name", "")), tuple(texts))


def _gather(value: object, texts: list[str]) -> None:
    """The texts within a value, breadth bounded."""
    left: list[object] = [value]
    while left and len(texts) < MOST_SLOTS:
        found = left.pop()
        if isinstance(found, str):
            if len(found.strip()) >= SHORTEST_SLOT:
                texts.append(found.strip())
        else:
            left += reversed([*as_object(found).values(), *as_list(found)])
