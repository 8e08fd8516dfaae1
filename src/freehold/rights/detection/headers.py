"""What weights say of themselves in their headers: GGUF's key-value pairs, safetensors' `__metadata__`.

Formats: ggml's GGUF specification (versions 2 and 3, little-endian); the safetensors format description. Read within
bounds, and nothing in them is believed about sizes: a header that does not keep to its format says nothing.
"""

from __future__ import annotations

import struct
from typing import Any

import msgspec

from freehold.rights.detection.files import read_start

MAX_HEADER_BYTES = 32_000_000
_MAX_PAIRS = 10_000
_MAX_STRING = 65_536
_GGUF_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a value by its type's number; 8 is a string, 9 an array."""
_STRING, _ARRAY = 8, 9


class BadHeader(ValueError):
    """A header does not keep to its format, or is larger than is read. Caught where the folder is read."""


class _Safetensors(msgspec.Struct):
    metadata: dict[str, Any] = msgspec.field(name="__metadata__", default={})


def safetensors_metadata(path: str) -> dict[str, str]:
    """The texts in a safetensors file's `__metadata__`.

    Raises:
        BadHeader: it is no such file, or its header is too large.
        StoreError: it cannot be read.
    """
    start = read_start(path, 8)
    if len(start) < 8:
        raise BadHeader("it is too short for a safetensors file")
    length = struct.unpack("<Q", start)[0]
    if length > MAX_HEADER_BYTES:
        raise BadHeader(f"its header of {length:,} bytes is too large")
    data = read_start(path, 8 + length)[8:]
    if len(data) < length:
        raise BadHeader("its header is cut off")
    try:
        found = msgspec.json.decode(data, type=_Safetensors).metadata
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadHeader("its header is no JSON of the safetensors format") from error
    return {name: value for name, value in found.items() if isinstance(value, str)}


def gguf_metadata(path: str) -> dict[str, str]:
    """The texts among a GGUF file's key-value pairs whose keys begin with `general.`.

    Raises:
        BadHeader: it is no such file, or its pairs are too many or too large.
        StoreError: it cannot be read.
    """
    reader = _Reader(read_start(path, MAX_HEADER_BYTES))
    if reader.take(4) != b"GGUF":
        raise BadHeader("it is no GGUF file")
    version, _, pairs = reader.number("<I"), reader.number("<Q"), reader.number("<Q")
    if version not in (2, 3) or pairs > _MAX_PAIRS:
        raise BadHeader(f"it is of GGUF version {version} with {pairs:,} pairs, which is not read")
    found: dict[str, str] = {}
    for _ in range(pairs):
        key, kind = reader.string(), reader.number("<I")
        if kind == _STRING and key.startswith("general."):
            found[key] = reader.string()
        else:
            reader.skip(kind)
    return found


class _Reader:
    """Takes values off the front of a header."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise BadHeader("its header is cut off, or too large")
        taken, self._at = self._data[self._at : end], end
        return taken

    def number(self, form: str) -> int:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def string(self) -> str:
        length = self.number("<Q")
        if length > _MAX_STRING:
            raise BadHeader(f"it has a text of {length:,} bytes")
        return self.take(length).decode("utf-8", errors="replace")

    def skip(self, kind: int) -> None:
        """Pass over a value of this type; arrays hold values of one type, and no arrays here."""
        if kind == _STRING:
            self.take(self.number("<Q"))
        elif kind == _ARRAY:
            inner, count = self.number("<I"), self.number("<Q")
            if inner in _GGUF_SIZES:
                self.take(count * _GGUF_SIZES[inner])
            elif inner == _STRING:
                for _ in range(min(count, len(self._data))):
                    self.take(self.number("<Q"))
            else:
                raise BadHeader(f"it has an array of type {inner}")
        elif kind in _GGUF_SIZES:
            self.take(_GGUF_SIZES[kind])
        else:
            raise BadHeader(f"it has a value of type {kind}")
