"""What may change while the gateway runs, and what only a new start can. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import msgspec

from freehold.config.settings import Settings

FIXED = (
    "data_dir",
    "control",
    "gateway.host",
    "gateway.port",
    "gateway.workers",
    "gateway.policy_poll_seconds",
    "gateway.policy_lease_seconds",
    "access",
    "journal",
    "store",
    "students.server",
    "telemetry.log_format",
)
"""Settings, or whole tables, that a running process cannot change: sockets, files and threads hang on them."""


class Reload(NamedTuple):
    """The difference between the settings in force and those of a file."""

    settings: Settings
    """To be put in force: the file's, but for what is fixed."""
    live: tuple[str, ...]
    """Settings that change, by their dotted names."""
    fixed: tuple[str, ...]
    """Settings that differ and need a new start."""


def reload_of(old: Settings, new: Settings) -> Reload:
    """What a changed file brings."""
    before, after = _builtins(old), _builtins(new)
    differ = tuple(_differences(before, after, ""))
    fixed = tuple(name for name in differ if is_fixed(name))
    for name in FIXED:
        _carry(before, after, name.split("."))
    settings = msgspec.convert(after, Settings)
    return Reload(settings, tuple(name for name in differ if name not in fixed), fixed)


def is_fixed(name: str) -> bool:
    """Whether a setting, by its dotted name, needs a new start."""
    return any(name == fixed or name.startswith(f"{fixed}.") for fixed in FIXED)


def _builtins(settings: Settings) -> dict[str, Any]:
    return cast(dict[str, Any], msgspec.to_builtins(settings))


def _differences(old: dict[str, Any], new: dict[str, Any], prefix: str) -> list[str]:
    found: list[str] = []
    for name in dict.fromkeys((*old, *new)):
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        if isinstance(before, dict) and isinstance(after, dict):
            within = _differences(cast(dict[str, Any], before), cast(dict[str, Any], after), f"{prefix}{name}.")
            found += within
        else:
            found.append(prefix + name)
    return found


def _carry(old: dict[str, Any], new: dict[str, Any], path: Sequence[str]) -> None:
    """Put the old value of a setting in the new settings."""
    for name in path[:-1]:
        old, new = old[name], new[name]
    new[path[-1]] = old[path[-1]]
