"""What a request says to the cache: whether it may be looked up and kept, and under which key.

The key is a SHA-256 over whose request it is, the upstream and where it is, the path with its query, the headers and
the body, byte for byte. The body is not brought into a canonical form: the same program writes the same bytes, a second
parse of every request would cost more than the look-up, and what is not the same to the byte might not be the same to
the upstream. For the same reason every header counts but those that are known to change nothing (`NOISE`): an unknown
one costs a miss, never a wrong answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

import msgspec

from freehold.upstreams.base import HOP_BY_HOP, Headers

TENANT_BYTES = 16
FORMAT = b"1\0"
"""Part of every key: another value when what an entry means has changed."""

_EMBEDDINGS, _RESPONSES = b"/embeddings", b"/responses"
CACHEABLE = frozenset((b"/chat/completions", b"/completions", _EMBEDDINGS, b"/messages", _RESPONSES))
"""What follows `/v1` in the paths of requests whose answer depends on nothing else and changes nothing."""

NOISE = HOP_BY_HOP | {
    b"host",
    b"content-length",
    b"accept-encoding",
    b"expect",
    b"cache-control",
    b"pragma",
    b"user-agent",
    b"date",
    b"forwarded",
    b"via",
    b"x-real-ip",
    b"x-request-id",
    b"x-client-request-id",
    b"idempotency-key",
    b"traceparent",
    b"tracestate",
    b"baggage",
}
"""Headers that do not change an answer or are never sent on. Credentials are not among them: whatever the tenant, what
one of them was answered is never given to another."""
NOISE_PREFIXES = (b"x-freehold-", b"x-stainless-", b"x-forwarded-")


class _Body(msgspec.Struct):
    """As much of a request as must be known; a body without these fields has them at their defaults."""

    temperature: float | None = None
    store: bool | None = None
    background: bool | None = None
    conversation: msgspec.Raw = msgspec.Raw(b"null")


_decoder = msgspec.json.Decoder(_Body)


class Wish(NamedTuple):
    """What a caller's headers allow."""

    look: bool = True
    """An answer kept before may be given."""
    keep: bool = True
    """The answer may be kept."""
    max_age: float | None = None
    """No answer older than so many seconds."""


ANYTHING = Wish()
NOTHING = Wish(look=False, keep=False)
_ANEW = Wish(look=False)


@lru_cache(maxsize=4096)
def tenant_of(key_id: str | None, authorization: bytes | None = None, x_api_key: bytes | None = None) -> bytes:
    """Whose answers: those of a virtual key, else of a caller's own credentials, else of all who send none.

    Returns 16 bytes; no credential can be read from them.
    """
    name = b"key:" + key_id.encode() if key_id is not None else b"own:%r:%r" % (authorization, x_api_key)
    return sha256(name).digest()[:TENANT_BYTES]


@lru_cache(maxsize=256)
def wish_of(cache_control: bytes) -> Wish:
    """Read a `cache-control` header (RFC 9111, 5.2.1).

    `no-store`: neither looked up nor kept. `no-cache`: asked anew, then kept. `max-age=N`: nothing older. Other values
    are ignored, as HTTP wants it.
    """
    wish = ANYTHING
    for part in cache_control.lower().split(b","):
        name, _, value = part.strip().partition(b"=")
        if name == b"no-store":
            return NOTHING
        if name == b"no-cache":
            wish = _ANEW
        elif name == b"max-age" and value.strip().isdigit() and wish.look:
            wish = Wish(max_age=float(value))
    return wish


class Reader:
    """Reads requests for one cache."""

    def __init__(self, *, sampled: bool, ignored: Iterable[str] = ()) -> None:
        """`sampled`: whether requests that may want another answer each time are cached; `ignored`: headers, in any
        case, that are noise here."""
        self._sampled = sampled
        self._noise = NOISE | {name.strip().lower().encode() for name in ignored}

    def read(
        self, tenant: bytes, upstream: str, origin: str, method: bytes, path: bytes, headers: Headers, body: bytes
    ) -> tuple[bytes, Wish]:
        """The key of a request, 48 bytes that begin with the tenant's 16, and what its caller allows.

        `path`: what follows `/v1`, with the query; `headers`: those that go upstream, with lower-case names. The key
        is empty, and nothing allowed, where the request is not one to cache.
        """
        if method != b"POST" or not self._cacheable(path.partition(b"?")[0], body):
            return b"", NOTHING
        noise = self._noise
        control = b""
        telling: Headers = []
        for header in headers:
            name, value = header
            if name not in noise and not name.startswith(NOISE_PREFIXES):
                telling.append(header)
            elif name == b"cache-control":
                control += b"," + value
        wish = wish_of(control) if control else ANYTHING
        if not wish.look and not wish.keep:
            return b"", wish
        telling.sort()
        parts = [FORMAT, tenant, upstream.encode(), origin.encode(), path]
        for header in telling:
            parts += header
        # Each part with its length before it: no two requests give the same bytes. The body needs none, it is the last.
        digest = sha256(b"".join([b"%d:%b" % (len(part), part) for part in parts]) + b"\0")
        digest.update(body)
        return tenant + digest.digest(), wish

    def _cacheable(self, path: bytes, body: bytes) -> bool:
        if path not in CACHEABLE:
            return False
        if path == _EMBEDDINGS or (self._sampled and path != _RESPONSES):
            return True
        try:
            asked = _decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        if path == _RESPONSES and (
            asked.store is not False or asked.background or bytes(asked.conversation) != b"null"
        ):
            return False  # the upstream keeps something of it, so asking twice is not asking once
        return self._sampled or asked.temperature == 0
