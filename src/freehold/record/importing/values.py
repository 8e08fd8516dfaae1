"""Reads loosely typed values: what one program wrote as an object, another dumped as its JSON text. Pure."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping
from typing import Any, TypeAlias, cast

import msgspec

from freehold.domain.errors import RowError

Row: TypeAlias = dict[str, Any]
_canonical = msgspec.json.Encoder(order="sorted")
_NANO = 1_000_000_000
_LATEST = 2**63
"""Later times do not fit into a column of the table."""
_BEFORE_MILLIS = 100_000_000_000
"""Epoch seconds stay below this until the year 5138, and milliseconds have been above it since 1973."""


def json_bytes(value: object) -> bytes:
    """Canonical JSON: sorted keys, no spaces.

    Raises:
        RowError: the value holds what JSON cannot say.
    """
    try:
        return _canonical.encode(value)
    except (TypeError, ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise RowError("It holds a value that JSON cannot say.", "Export it as JSON.") from error


def opened(value: Any) -> Any:
    """A value, or what its text says where it is the JSON of an object or a list."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str) or value[:1] not in ("{", "["):
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError):
        return value


def object_of(value: Any) -> Row:
    """The object that a value is, or that its text says; empty if it is none."""
    found = opened(value)
    return cast("Row", found) if isinstance(found, dict) else {}


def list_of(value: Any) -> list[Any]:
    """The list that a value is, or that its text says; empty if it is none."""
    found = opened(value)
    return cast("list[Any]", found) if isinstance(found, list) else []


def objects_of(value: Any) -> list[Row]:
    """The objects in a list."""
    return [cast("Row", item) for item in list_of(value) if isinstance(item, dict)]


def text_of(row: Mapping[str, Any], *names: str) -> str:
    """The first of these fields that is text and not empty; else empty."""
    for name in names:
        value = row.get(name)
        if isinstance(value, str) and value:
            return value
    return ""


def said(value: Any) -> str:
    """A value as text: text as it is, None as nothing, all else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json_bytes(value).decode()


def count_of(row: Mapping[str, Any], *names: str) -> int | None:
    """The first of these fields that is a number (or the text of one), rounded down; None if none is."""
    found = number_of(row, *names)
    return None if found is None else int(found)


def number_of(row: Mapping[str, Any], *names: str) -> float | None:
    """The first of these fields that is a finite number (or the text of one); None if none is."""
    for name in names:
        value = row.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float | str) or value == "":
            continue
        try:
            number = float(value)
        except (ValueError, OverflowError):
            continue
        if math.isfinite(number):
            return number
    return None


def time_ns(value: Any) -> int:
    """Unix nanoseconds of a time: ISO 8601 (without a zone: UTC), a datetime, or seconds, milli-, micro- or nanoseconds
    since 1970, told apart by their size; 0 if it is none of these."""
    if isinstance(value, datetime.datetime):
        return _of_datetime(value)
    if isinstance(value, str) and value.isdecimal():  # before ISO 8601, which knows forms without any hyphen
        value = int(value)
    elif isinstance(value, str) and value:
        try:
            return _of_datetime(datetime.datetime.fromisoformat(value.strip().removesuffix(" UTC")))
        except ValueError:
            value = number_of({"value": value}, "value")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e20:
        return 0
    scale = _NANO
    while scale > 1 and value >= _BEFORE_MILLIS * (_NANO // scale):
        scale //= 1000
    found = value * scale if isinstance(value, int) else round(value * scale)
    return found if found < _LATEST else 0


def _of_datetime(at: datetime.datetime) -> int:
    if at.tzinfo is None:
        at = at.replace(tzinfo=datetime.UTC)
    since = at - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    found = (since.days * 86_400 + since.seconds) * _NANO + since.microseconds * 1000
    return found if 0 < found < _LATEST else 0


def uuid7_ns(text: str) -> int:
    """Unix nanoseconds in a UUID of version 7 (RFC 9562): its first 48 bits are milliseconds; 0 if it is none."""
    digits = text.replace("-", "")
    if len(digits) != 32 or digits[12] != "7":
        return 0
    try:
        return int(digits[:12], 16) * 1_000_000
    except ValueError:
        return 0


def loads(line: bytes) -> Any:
    """The JSON of a line. Many programs write NaN, which is not JSON; it is read as None.

    Raises:
        RowError: it is not JSON, or is nested too deeply.
    """
    try:
        return msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    except RecursionError as error:
        raise RowError("It is nested too deeply.", "Flatten it.") from error
    try:
        return json.loads(line, parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        where = f" at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise RowError(f"It is not JSON{where}.", "Give one JSON object per line.") from error
