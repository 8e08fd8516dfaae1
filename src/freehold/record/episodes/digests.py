"""When two messages say the same: a digest of what is said, not of how it is written.

The same: text in one part or several, with or without blanks around it; arguments of a call with other blanks or in
another order; `developer` and `system`; with or without notes to the provider's cache. Ids of tool calls count: they
tell one run from another that happens to say the same.
"""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import Any

import msgspec

from freehold.domain.episodes import Message
from freehold.record.episodes.messages import as_list, as_object, text_of

DIGEST_BYTES = 16
_encoder = msgspec.json.Encoder(order="sorted")


def digest(message: Message) -> bytes:
    """16 bytes (BLAKE2b) of what the message says."""
    role = message["role"]
    parts: list[bytes] = [b"system" if role == "developer" else _bytes(role), _bytes(text_of(message).strip())]
    others = (as_object(part) for part in as_list(message.get("content")))
    parts += [_canonical(part) for part in others if not isinstance(part.get("text"), str)]
    parts += [part for call in message.get("tool_calls", ()) for part in _call(call)]
    if "tool_call_id" in message:
        parts.append(_bytes("of:" + str(message["tool_call_id"])))
    return _hashed(parts)


def combined(digests: tuple[bytes, ...]) -> bytes:
    """One digest of several."""
    return _hashed(list(digests))


def rolling(digests: tuple[bytes, ...], before: bytes = b"") -> list[bytes]:
    """For each place the digest of all up to it, itself and what was `before` included."""
    found: list[bytes] = []
    for one in digests:
        before = blake2b(before + one, digest_size=DIGEST_BYTES).digest()
        found.append(before)
    return found


def extended(before: bytes, one: bytes) -> bytes:
    """The next place of `rolling` after `before` (empty: the first)."""
    return blake2b(before + one, digest_size=DIGEST_BYTES).digest()


def _call(call: Message) -> list[bytes]:
    function = as_object(call.get("function") or call.get("custom"))
    name, arguments = str(function.get("name", "")), function.get("arguments", function.get("input", ""))
    return [_bytes("call:" + str(call.get("id", ""))), _bytes(name), _arguments(arguments)]


def _arguments(arguments: Any) -> bytes:
    if not isinstance(arguments, str):
        return _canonical(arguments)
    try:
        return _canonical(msgspec.json.decode(arguments or "{}"))
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return _bytes(arguments)


def _canonical(value: Any) -> bytes:
    try:
        return _encoder.encode(value)
    except (UnicodeEncodeError, RecursionError):  # half a letter
        return json.dumps(value, sort_keys=True).encode()


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _hashed(parts: list[bytes]) -> bytes:
    framed = b"".join(part for one in parts for part in (len(one).to_bytes(4, "big"), one))
    return blake2b(framed, digest_size=DIGEST_BYTES).digest()
