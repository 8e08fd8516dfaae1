"""A recipe as a file: what a sweep found best, or one that differs a little from another."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

import msgspec

from freehold.train.recipes.recipe import Recipe


def recipe_toml(recipe: Recipe) -> str:
    """The recipe as a TOML file, every field of it."""
    told: dict[str, Any] = msgspec.to_builtins(recipe)
    tables: dict[str, dict[str, Any]] = {name: value for name, value in told.items() if isinstance(value, dict)}
    lines = [
        f"{name} = {toml_value(value)}" for name, value in told.items() if name not in tables and value is not None
    ]
    for table, fields in tables.items():
        lines += ["", f"[{table}]", *(f"{name} = {toml_value(value)}" for name, value in fields.items())]
    return "\n".join(lines) + "\n"


def toml_value(value: Any) -> str:
    """One value as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(toml_value, cast('Sequence[Any]', value)))}]"
    # A JSON string is a TOML string, but for what JSON may leave as it is and TOML may not.
    return json.dumps(value).replace("\x7f", "\\u007f") if isinstance(value, str) else repr(value)
