"""Write an answer in the incumbent's exact form: a bare label, or JSON with its own key order and spacing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

import msgspec

Path = tuple[str, ...]


class Style(msgspec.Struct, frozen=True, kw_only=True):
    """How the incumbent writes."""

    kind: str
    """`label` or `json`."""
    prefix: str = ""
    suffix: str = ""
    order: tuple[Path, ...] = ()
    """Paths of the fields in the order they are written."""
    item_separator: str = ", "
    key_separator: str = ": "
    indent: int | None = None
    ascii: bool = True


def render(style: Style, values: Mapping[Path, str]) -> str:
    """The answer's text. `values` holds, per path, the label itself or the canonical JSON of a field's value.

    A path that `values` lacks is left out, as the incumbent leaves out fields that do not apply.
    """
    if style.kind == "label":
        return f"{style.prefix}{values[()]}{style.suffix}"
    answer: dict[str, Any] = {}
    for path in style.order:
        if path in values:
            _put(answer, path, json.loads(values[path]))
    text = json.dumps(
        answer,
        indent=style.indent,
        separators=(style.item_separator, style.key_separator),
        ensure_ascii=style.ascii,
    )
    return f"{style.prefix}{text}{style.suffix}"


def _put(root: dict[str, Any], path: Path, value: object) -> None:
    for key in path[:-1]:
        child = root.get(key)
        if not isinstance(
            child, dict
        ):  # where a field is sometimes null and sometimes an object, the object's parts win
            child = root[key] = {}
        root = cast("dict[str, Any]", child)
    root[path[-1]] = value
