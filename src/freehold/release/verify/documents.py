"""JSON of which every byte counts, and one that means two things is refused."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec

from freehold.domain.errors import ReleaseError
from freehold.release.inventory import canonical_json
from freehold.release.verify.tree import GET_ANOTHER

T = TypeVar("T")


def parse(data: bytes, kind: type[T], path: str, *, canonical: bool = False) -> T:
    """A document of this kind; `canonical`: it must be written in the one form that `canonical_json` gives.

    Raises:
        ReleaseError: it is cut short, no JSON, not of this form, says something twice, or is written otherwise.
    """
    try:
        # Duplicate keys are not for msgspec to see: it takes the last.
        json.loads(data, object_pairs_hook=_once)
        found = msgspec.json.decode(data, type=kind, strict=True)
    except _Twice as error:
        raise ReleaseError(f"{path} says {error.key!r} twice.", GET_ANOTHER) from error
    except (ValueError, RecursionError) as error:
        raise ReleaseError(f"{path} cannot be understood: {error}.", GET_ANOTHER) from error
    if canonical and canonical_json(found) != data:
        raise ReleaseError(f"{path} is not written as canonical JSON.", GET_ANOTHER)
    return found


class _Twice(ValueError):
    """A key that is there twice."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise _Twice(key)
        made[key] = value
    return made
