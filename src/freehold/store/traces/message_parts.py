"""Takes requests apart into messages and puts them together again, byte for byte. Pure.

A request of an agent resends the whole conversation so far. Its messages (and tools, and instructions) are cut out as
the bytes they are, and kept once per episode (`messages`); what is left, the skeleton, stays with the
trace, with a list of what belongs where.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

LEAST_BYTES = 64
"""Shorter pieces stay where they are: a reference to one takes 20 bytes."""
_PART = struct.Struct("<I16s")
"""Bytes of skeleton since the part before, and the digest of what comes then."""
_DIGEST_BYTES = 16


class _Request(msgspec.Struct):
    """Where the chat, Messages and Responses APIs hold what is sent again and again."""

    messages: msgspec.Raw = msgspec.Raw()
    input: msgspec.Raw = msgspec.Raw()
    system: msgspec.Raw = msgspec.Raw()
    instructions: msgspec.Raw = msgspec.Raw()
    tools: msgspec.Raw = msgspec.Raw()


_request = msgspec.json.Decoder(_Request)
_items = msgspec.json.Decoder(list[msgspec.Raw])
_FAILURES = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Split(NamedTuple):
    """A request taken apart."""

    skeleton: bytes
    parts: bytes
    """See `_PART`."""
    pieces: list[tuple[bytes, bytes]]
    """Digest and bytes of what was cut out, in order; a piece that is there twice is listed twice."""


def split(request: bytes) -> Split | None:
    """Cut the pieces out of a request; None if it has none, or is not JSON: it is kept whole then."""
    skeleton = bytearray()
    parts = bytearray()
    pieces: list[tuple[bytes, bytes]] = []
    at = 0
    for start, end in _pieces(request):
        piece = request[start:end]
        digest = hashlib.blake2b(piece, digest_size=_DIGEST_BYTES).digest()
        parts += _PART.pack(start - at, digest)
        skeleton += request[at:start]
        pieces.append((digest, piece))
        at = end
    if not pieces:
        return None
    skeleton += request[at:]
    return Split(bytes(skeleton), bytes(parts), pieces)


def digests(parts: bytes) -> list[bytes]:
    """What the pieces of a request are known by, in order."""
    return [digest for _, digest in _PART.iter_unpack(parts)]


def join(skeleton: bytes, parts: bytes, piece: Callable[[bytes], bytes]) -> bytes:
    """The request that `split` took apart; `piece` gives the bytes of a digest."""
    whole: list[bytes] = []
    at = 0
    for length, digest in _PART.iter_unpack(parts):
        whole.append(skeleton[at : at + length])
        whole.append(piece(digest))
        at += length
    whole.append(skeleton[at:])
    return b"".join(whole)


def _pieces(request: bytes) -> list[tuple[int, int]]:
    """Disjoint spans of at least `LEAST_BYTES`, in order.

    The JSON parser says what the pieces are, not where they lie, so each is looked for, from where the one before it
    ended. Should equal bytes lie earlier, in another value, those are cut out instead: just as exact when put back.
    """
    try:
        fields = _request.decode(request)
        values = [bytes(value) for value in msgspec.structs.astuple(fields)]
        lists = [_elements(value) for value in values if value]
    except _FAILURES:
        return []
    spans = sorted(span for items in lists for span in _found(request, items))
    return list(_disjoint(spans))


def _elements(value: bytes) -> list[bytes]:
    return [bytes(item) for item in _items.decode(value)] if value.startswith(b"[") else [value]


def _found(request: bytes, items: list[bytes]) -> Iterator[tuple[int, int]]:
    at = 0
    for item in items:
        if len(item) < LEAST_BYTES:
            continue
        start = request.find(item, at)
        if start < 0:
            return
        at = start + len(item)
        yield start, at


def _disjoint(spans: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    at = 0
    for start, end in spans:
        if start >= at:
            yield start, end
            at = end
