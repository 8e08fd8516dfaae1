"""The cache of one worker: memory in front of files that all workers of a host share."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from pathlib import Path
from typing import NamedTuple

from freehold.config import CacheSettings
from freehold.gateway.cache.entry import Entry
from freehold.gateway.cache.files import Files, Stamp, stamp
from freehold.gateway.cache.request import Reader
from freehold.gateway.cache.writer import Job, Writer
from freehold.upstreams.base import Headers

FOLDER = "cache"
"""In the data folder."""
_OVERHEAD = 1000
"""Bytes that an entry in memory takes beside its body, about."""


class _Held(NamedTuple):
    entry: Entry
    path: str
    stamp: Stamp


class ResponseCache:
    """Looks up, and keeps. All but `close` and `settle` is called from the event loop only and never raises.

    What is in memory is only given while the same file is still in its place: deleted, replaced or swept away by any
    process, it is gone for all of them at once.
    """

    def __init__(self, data: Path, settings: CacheSettings) -> None:
        """Nothing is opened or written before the first request."""
        self.counts: Counter[str] = Counter()
        """Answers kept, not_whole, dropped, failed; and bytes: on disk after this worker's last sweep."""
        self._settings = settings
        self._ttl = settings.ttl_seconds
        self._reader = Reader(sampled=settings.sampled, ignored=settings.ignore_headers)
        self._files = Files(data / FOLDER)
        self._writer = Writer(self._files, self.counts, max_bytes=settings.max_bytes, ttl=settings.ttl_seconds)
        self._memory: OrderedDict[bytes, _Held] = OrderedDict()
        self._size = 0

    def ask(
        self,
        tenant: bytes,
        upstream: str,
        origin: str,
        method: bytes,
        path: bytes,
        headers: Headers,
        body: bytes,
        *,
        allowed: bool = True,
    ) -> Look:
        """What is kept for a request, and whether its answer shall be.

        `tenant`: see `tenant_of`; `upstream`: the one asked for, and where it is; `path`: what follows `/v1`, with the
        query; `headers`: those that go upstream, names in lower case.
        `allowed`: False where nothing of this request may be kept.
        """
        key, wish = self._reader.read(tenant, upstream, origin, method, path, headers, body)
        if not key or not allowed:
            return _BYPASS
        entry = self.get(key, wish.max_age) if wish.look else None
        if entry is None:
            return Look("miss", None, upstream, key, self)
        return Look("hit", entry, upstream, key, None)

    def get(self, key: bytes, max_age: float | None = None) -> Entry | None:
        """The entry of `key`, if it is not older than `ttl_seconds` and `max_age` seconds."""
        held = self._memory.get(key)
        if held is not None and stamp(held.path) == held.stamp:
            self._memory.move_to_end(key)
        else:
            if held is not None:
                self._forget(key)
            held = self._load(key)
            if held is None:
                return None
        age = time.time() - held.entry.at
        if age > self._ttl or (max_age is not None and age > max_age):
            return None
        return held.entry

    def put(self, key: bytes, upstream: str, trace: str, headers: Headers, body: bytes) -> None:
        """Keep an answer of status 200 that came to its end; written, if it proves whole, off the request's path."""
        if len(body) <= self._settings.max_answer_bytes:
            entry = Entry(time.time(), upstream, trace, headers, body)
            self._writer.put(Job(self._files.path(key), entry))

    def close(self, *, wait: bool = True) -> None:
        """Write what is waiting, then end the thread."""
        self._writer.close(wait=wait)

    def settle(self) -> None:
        """Wait until all that was put is written."""
        self._writer.settle()

    def _load(self, key: bytes) -> _Held | None:
        path = self._files.path(key)
        read = self._files.read(path)
        if read is None:
            return None
        held = _Held(read[0], path, read[1])
        size = _OVERHEAD + len(held.entry.body)
        if size <= self._settings.memory_bytes:
            self._memory[key] = held
            self._size += size
            while self._size > self._settings.memory_bytes:
                self._forget(next(iter(self._memory)))
        return held

    def _forget(self, key: bytes) -> None:
        self._size -= _OVERHEAD + len(self._memory.pop(key).entry.body)


class Look(NamedTuple):
    """What a request found in the cache."""

    outcome: str
    """hit, miss or bypass: the value of the `x-freehold-cache` header."""
    entry: Entry | None
    """Of a hit."""
    upstream: str
    """The one asked for."""
    key: bytes
    cache: ResponseCache | None
    """Where the answer may be kept."""

    def keep(self, headers: Headers, body: bytes, trace: str = "") -> None:
        """Keep an answer of status 200 that the upstream asked for gave to the end, as the caller got it; where the
        caller does not allow it, nothing happens."""
        if self.cache is not None:
            self.cache.put(self.key, self.upstream, trace, headers, body)

    def headers(self) -> Headers:
        """`x-freehold-cache` and, of a hit, `age` (RFC 9111, 5.1)."""
        found: Headers = [(b"x-freehold-cache", self.outcome.encode())]
        if self.entry is not None:
            found.append((b"age", b"%d" % self.entry.age(time.time())))
        return found


_BYPASS = Look("bypass", None, "", b"", None)
