"""What the documents of several standards say alike: identity, time, files, licences, and what counts as given."""

from __future__ import annotations

import datetime
import hashlib
import re
import uuid
from collections.abc import Iterable
from importlib import import_module
from typing import Any, NamedTuple

from freehold.domain.errors import ConfigError
from freehold.release.inventory import Ancestor, Inventory, Item, Role, State, canonical_json

_WEAKEST_FIRST: tuple[State, ...] = ("declared", "present", "verified")
_LICENCE_ID = re.compile(r"[A-Za-z0-9.+-]+")
_EXPRESSION = re.compile(r"\(*[A-Za-z0-9.+:-]+\)*( (AND|OR|WITH) \(*[A-Za-z0-9.+:-]+\)*)*")
SOURCE_LICENCES = frozenset(
    [
        "0BSD",
        "AFL-3.0",
        "AGPL-3.0-only",
        "AGPL-3.0-or-later",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSL-1.0",
        "EPL-2.0",
        "EUPL-1.2",
        "GPL-2.0-only",
        "GPL-2.0-or-later",
        "GPL-3.0-only",
        "GPL-3.0-or-later",
        "ISC",
        "LGPL-2.1-only",
        "LGPL-2.1-or-later",
        "LGPL-3.0-only",
        "LGPL-3.0-or-later",
        "MIT",
        "MIT-0",
        "MPL-2.0",
        "OSL-3.0",
        "UPL-1.0",
        "Unlicense",
        "Zlib",
    ]
)
"""Licences of source code that the Open Source Initiative has approved: those that are common, by SPDX id. One that is
not listed is not counted as open: a person may know better."""
OPENMDW = frozenset(("OpenMDW-1.0", "OpenMDW-1.1"))
"""Written for models and all that belongs to them."""


class File(NamedTuple):
    """A file of the release; several items may lie in it."""

    path: str
    sha256: str
    state: State
    """The weakest of its items'."""
    roles: tuple[Role, ...]
    licence: str
    """SPDX expression; empty where nobody has said it of all that is in it."""
    media_type: str
    notes: tuple[str, ...]


class Given(NamedTuple):
    """How far things of some roles are given."""

    state: State | None
    """The weakest of the items'; None: there is no such item."""
    licences: tuple[str, ...]
    """Of the items, each once; empty string where nobody has said."""
    paths: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def provided(self) -> bool:
        """Whether all of it is in the release, and not only told of."""
        return self.state in ("present", "verified")


def weakest(states: Iterable[State]) -> State:
    """The state that holds of all; there must be one."""
    return min(states, key=_WEAKEST_FIRST.index)


def given(inventory: Inventory, *roles: Role) -> Given:
    """How far the release gives what has these roles."""
    items = inventory.items_of(*roles)
    return Given(
        weakest(item.state for item in items) if items else None,
        _each_once(item.licence for item in items),
        _each_once(item.path for item in items if item.path),
        _each_once(item.note for item in items if item.note),
    )


def files_of(inventory: Inventory) -> tuple[File, ...]:
    """The files of the release that the inventory tells of, in order of path."""
    by_path: dict[str, list[Item]] = {}
    for item in inventory.items:
        if item.path:
            by_path.setdefault(item.path, []).append(item)
    return tuple(_file(path, items) for path, items in sorted(by_path.items()))


def _file(path: str, items: list[Item]) -> File:
    licences = _each_once(item.licence for item in items)
    return File(
        path,
        next((item.sha256 for item in items if item.sha256), ""),
        weakest(item.state for item in items),
        tuple(dict.fromkeys(item.role for item in items)),
        "" if "" in licences else " AND ".join(f"({each})" if " " in each else each for each in licences),
        next((item.media_type for item in items if item.media_type), ""),
        _each_once(item.note for item in items if item.note),
    )


def pathless(inventory: Inventory) -> tuple[Item, ...]:
    """What is only told of, or does not exist."""
    return tuple(item for item in inventory.items if not item.path)


def base_licence(inventory: Inventory) -> tuple[str, Ancestor | None]:
    """SPDX expression of the base model's licence (a `LicenseRef-` where SPDX lists none), and what is known of it.

    Empty where there is no base model.
    """
    base = inventory.weights.base
    if base is None:
        return "", None
    ancestor = next((each for each in inventory.lineage.ancestors if each.role == "base"), None)
    if ancestor is None:
        return expression(base.licence), None
    return ancestor.spdx or expression(ancestor.licence, listed=False), ancestor


def expression(licence: str, *, listed: bool = True) -> str:
    """An SPDX licence expression for what somebody calls a licence; empty stays empty."""
    if not licence or (listed and is_expression(licence)):
        return licence
    return "LicenseRef-freehold-" + re.sub(r"[^A-Za-z0-9.-]+", "-", licence)


def is_expression(licence: str) -> bool:
    """Whether it has the form of an SPDX expression; whether its ids are on SPDX's list is another matter."""
    return _EXPRESSION.fullmatch(licence) is not None


def is_one_id(licence: str) -> bool:
    """Whether it has the form of one SPDX id."""
    return _LICENCE_ID.fullmatch(licence) is not None


def recipe_settings(inventory: Inventory) -> dict[str, str]:
    """The recipe of a language model, one entry per field: `optimizer.rate` → `0.03`."""
    found: dict[str, str] = {}

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, dict):
            entries: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
            for name, inner in sorted(entries.items()):
                walk(f"{prefix}.{name}" if prefix else name, inner)
        elif value not in (None, ""):
            found[prefix] = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]

    walk("", inventory.training.recipe)
    return found


def document_uuid(inventory: Inventory) -> str:
    """A UUID (version 5, RFC 9562) that follows from the inventory: the same content has the same."""
    digest = hashlib.sha256(canonical_json(inventory)).hexdigest()
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"freehold-release:{digest}"))


def instant(at_ns: int) -> str:
    """`2026-11-22T10:00:00Z`."""
    return datetime.datetime.fromtimestamp(at_ns // 10**9, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def day(at_ns: int) -> str:
    """`2026-11-22`."""
    return instant(at_ns)[:10]


def library(module: str, package: str, what: str) -> Any:
    """A library that checks documents.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"{what} cannot be checked: {package} cannot be imported ({error}).",
            "Run `pip install 'freehold[sbom]'`; the document itself is written without it.",
        ) from error


def _each_once(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))
