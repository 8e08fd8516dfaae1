"""A span of OpenTelemetry, however it was written down, and which of an agent's run it belongs to. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from freehold.record.importing.values import Row, opened

_MAX_INDEX = 100_000


@dataclass(frozen=True)
class Event:
    """Something that happened in a span, or a log record that belongs to it."""

    name: str
    attributes: Row
    body: Row = field(default_factory=dict[str, Any])
    at_ns: int = 0


@dataclass(frozen=True)
class Span:
    """One span. Ids are hexadecimal, as the wire has them."""

    trace_id: str
    span_id: str
    parent_id: str = ""
    name: str = ""
    start_ns: int = 0
    end_ns: int = 0
    failed: bool = False
    attributes: Row = field(default_factory=dict[str, Any])
    """By their dotted names."""
    events: Sequence[Event] = ()

    @property
    def own_id(self) -> str:
        """What it is called everywhere."""
        return f"{self.trace_id}-{self.span_id}"


class Family:
    """Spans that came together, by which agents know who called them."""

    def __init__(self, spans: Iterable[Span], agent_names: Sequence[str]) -> None:
        self._spans = {span.own_id: span for span in spans}
        self._names = agent_names

    def agents(self, span: Span) -> list[str]:
        """The names of the agents that a span lies within, the innermost first, each once in a row."""
        found: list[str] = []
        seen: set[str] = set()
        at: Span | None = span
        while at is not None and at.own_id not in seen:
            seen.add(at.own_id)
            name = next((str(at.attributes[key]) for key in self._names if at.attributes.get(key)), "")
            if name and (not found or found[-1] != name):
                found.append(name)
            at = self._spans.get(f"{at.trace_id}-{at.parent_id}")
        return found


def nested(flat: Mapping[str, Any]) -> Row:
    """Dotted names as objects in objects, and numbers among them as lists: `a.0.b` is `{"a": [{"b": …}]}`.

    Values that are objects or lists (or their JSON) are looked into as well. Where a name is both a value and the
    beginning of others, the value is lost.
    """
    root: Row = {}
    for name, value in flat.items():
        at, parts = root, name.split(".")
        for part in parts[:-1]:
            below = at.get(part)
            if not isinstance(below, dict):
                below = at[part] = {}
            at = cast("Row", below)
        at.setdefault(parts[-1], _inside(value))
    return cast("Row", _listed(root))


def _inside(value: Any) -> Any:
    if isinstance(value, Mapping):
        return nested(cast("Mapping[str, Any]", value))
    if isinstance(value, list):
        return [_inside(item) for item in cast("list[Any]", value)]
    return value


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    row = cast("Row", value)
    if row and all(key.isdecimal() and int(key) < _MAX_INDEX for key in row):
        return [_listed(row[key]) for key in sorted(row, key=int)]
    return {key: _listed(item) for key, item in row.items()}


def at(tree: Any, *path: str) -> Any:
    """What lies at a path of keys, JSON texts opened on the way; None if nothing does."""
    for key in path:
        tree = opened(tree)
        if not isinstance(tree, dict):
            return None
        tree = cast("Row", tree).get(key)
    return tree
