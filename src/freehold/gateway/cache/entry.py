"""One kept answer, and its form on disk: magic, CRC-32 of the rest, msgpack."""

from __future__ import annotations

import zlib

import msgspec

from freehold.upstreams.base import Headers

MAGIC = b"FHc1"
_HEAD = len(MAGIC) + 4


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """An answer of status 200 as it was first given; `body` is what the caller got then, byte for byte."""

    at: float
    """Unix seconds when it was kept."""
    upstream: str
    """Who answered."""
    trace: str
    """The trace of the request that was answered; empty if unknown."""
    headers: Headers
    """Neither a content-length nor what was only true of that one answer (`ONCE`)."""
    body: bytes

    def age(self, now: float) -> int:
        """Whole seconds since it was kept: the value of an `age` header (RFC 9111)."""
        return max(0, int(now - self.at))


ONCE = frozenset(
    (
        b"age",
        b"alt-svc",
        b"content-length",
        b"openai-processing-ms",
        b"retry-after",
        b"server-timing",
        b"set-cookie",
        b"strict-transport-security",
    )
)
"""Headers of an answer that say something of one exchange only; those of `ONCE_PREFIXES` too."""
ONCE_PREFIXES = (b"x-ratelimit-", b"anthropic-ratelimit-", b"x-freehold-", b"cf-", b"x-envoy-")

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Entry)


def lasting(headers: Headers) -> Headers:
    """The headers that are true of the answer whenever it is given; `date` among them: it says when it was made."""
    return [header for header in headers if header[0] not in ONCE and not header[0].startswith(ONCE_PREFIXES)]


def pack(entry: Entry) -> bytes:
    """The bytes of a file."""
    body = _encoder.encode(entry)
    return b"%b%b%b" % (MAGIC, zlib.crc32(body).to_bytes(4, "big"), body)


def unpack(data: bytes) -> Entry | None:
    """The entry in a file's bytes; None if they are not all there, or not ours: a power cut can leave such a file."""
    body = memoryview(data)[_HEAD:]
    if data[:4] != MAGIC or zlib.crc32(body) != int.from_bytes(data[4:_HEAD], "big"):
        return None
    try:
        return _decoder.decode(body)
    except msgspec.DecodeError:
        return None
