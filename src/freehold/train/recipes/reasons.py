"""Every field of a recipe with its value and the reason of it.

The reason of a default is the text below the field in `recipe.py`; that of another value the comment above it (or
behind it) in its file. Both are read where they stand, so that neither can be said twice and differently.
"""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from freehold.train.recipes import recipe as types
from freehold.train.recipes.recipe import Recipe

_TABLE = re.compile(r"\[([\w.]+)\]")
_KEY = re.compile(r"([A-Za-z_]\w*)\s*=")


class Field(msgspec.Struct, frozen=True):
    """One field of a recipe."""

    field: str
    """Its table and name, `data.context` say."""
    value: Any
    default: bool
    """Whether the value is the default."""
    reason: str
    """What the field is, and why its default is what it is."""
    note: str = ""
    """What the file says of a value of its own."""


def explain(recipe: Recipe, path: Path | None = None) -> list[Field]:
    """All fields in the order of the types; `path`: the file that the recipe was read from."""
    notes = comments(path.read_text(encoding="utf-8")) if path is not None else {}
    return _fields(recipe, "", notes)


def _fields(part: msgspec.Struct, prefix: str, notes: dict[str, str]) -> list[Field]:
    found: list[Field] = []
    reasons = reasons_of(type(part).__name__)
    for info in msgspec.structs.fields(type(part)):
        name, value = f"{prefix}{info.name}", getattr(part, info.name)
        if isinstance(value, msgspec.Struct):
            found += _tag(value, f"{name}.", notes) + _fields(value, f"{name}.", notes)
            continue
        same = info.default is not msgspec.NODEFAULT and value == info.default
        note = "" if same else notes.get(name, "")
        found.append(Field(name, msgspec.to_builtins(value), same, reasons.get(info.name, ""), note))
    return found


def _tag(part: msgspec.Struct, prefix: str, notes: dict[str, str]) -> list[Field]:
    """What says which kind of table it is."""
    config = part.__struct_config__
    if config.tag_field is None:
        return []
    name = f"{prefix}{config.tag_field}"
    return [Field(name, config.tag, False, (type(part).__doc__ or "").strip(), notes.get(name, ""))]


def comments(toml: str) -> dict[str, str]:
    """Field → the comment above it or, where there is none, behind it."""
    found: dict[str, str] = {}
    table, above = "", list[str]()
    for line in map(str.strip, toml.splitlines()):
        if line.startswith("#"):
            above.append(line.lstrip("# "))
            continue
        opened, key = _TABLE.match(line), _KEY.match(line)
        if opened:
            table = f"{opened[1]}."
        elif key:
            behind = re.search(r"\s#\s*(.*)$", line)
            found[table + key[1]] = " ".join(above) or (behind[1] if behind else "")
        above = []
    return found


@lru_cache
def reasons_of(part: str) -> dict[str, str]:
    """Field → the text below it, for one class of `recipe.py`."""
    tree = ast.parse(Path(types.__file__).read_text(encoding="utf-8"))
    [found] = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == part]
    reasons: dict[str, str] = {}
    for field, text in zip(found.body, found.body[1:], strict=False):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str):
            reasons[field.target.id] = " ".join(text.value.value.split())
    return reasons
