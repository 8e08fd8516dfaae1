"""The elements of a JSON array, one after another, without the array in memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

_CHUNK = 1 << 20
_TOKEN = re.compile(rb'"(?:[^"\\]+|\\.)*+"|[\[\]{},]|"', re.S)
"""A whole string, a bracket, a comma; or a quote whose string goes on beyond what was read."""
_OPENING, _CLOSING, _QUOTE = b"[{", b"]}", 0x22


def elements(read: Callable[[int], bytes], limit: int) -> Iterator[bytes | None]:
    """The bytes of each element of the array that `read` gives; None for one longer than `limit`.

    What is no JSON within an element is for whoever decodes it: only brackets and strings are looked at here.
    """
    splitter = _Splitter(limit)
    while not splitter.ended and (chunk := read(_CHUNK)):
        yield from splitter.feed(chunk)
    if not splitter.ended and splitter.held.strip():
        yield splitter.held.strip()  # the array breaks off: its last element will be found to be no JSON


class _Splitter:
    """Cuts what it is fed at the commas of the outermost array."""

    def __init__(self, limit: int) -> None:
        self.held = b""
        """From the beginning of the element that is not whole yet."""
        self.ended = False
        self._limit = limit
        self._depth = 0
        self._seen = 0
        """Of `held`, bytes that were looked at."""
        self._too_long = False

    def feed(self, chunk: bytes) -> Iterator[bytes | None]:
        """The elements that end in what is there now."""
        self.held += chunk
        start = 0
        for begin, end, token in self._tokens():
            self._seen = end
            before = self._depth
            self._depth += (token in _OPENING) - (token in _CLOSING)
            if before == 0:
                start = end
            elif before == 1 and (self._depth == 0 or token == b","):
                yield from self._element(self.held[start:begin])
                start, self.ended = end, self._depth == 0
            if self.ended:
                break
        self.held, self._seen = self.held[start:], self._seen - start
        if len(self.held) > self._limit:
            self.held, self._seen, self._too_long = self.held[self._seen :], 0, True

    def _tokens(self) -> Iterator[tuple[int, int, bytes]]:
        """(begin, end, bracket or comma); stops at a string that is not whole yet."""
        for found in _TOKEN.finditer(self.held, self._seen):
            begin, end = found.span()
            if self.held[begin] != _QUOTE:
                yield begin, end, found.group()
            elif end - begin == 1:
                return
            else:
                self._seen = end

    def _element(self, found: bytes) -> Iterator[bytes | None]:
        if self._too_long:
            self._too_long = False
            yield None
        elif found.strip():
            yield found.strip()
