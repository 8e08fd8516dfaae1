"""Reads rows of a format without files or a store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from freehold.domain.chat import ChatRequest
from freehold.domain.fingerprint import TemplateIndex
from freehold.domain.traces import Feedback, Trace
from freehold.record.importing.exchange import Exchange, Maker, Options
from freehold.record.importing.formats import FORMATS
from freehold.route.identify import Identifier, Identity, task_name

NOW = 1_770_000_000_000_000_000


class DictShelf:
    """A shelf in memory."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], dict[str, Any]] = {}

    def put(self, kind: str, key: str, row: dict[str, Any]) -> None:
        self.rows[kind, key] = row

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        return self.rows.get((kind, key))


class Made(NamedTuple):
    traces: list[Trace]
    feedback: list[Feedback]


def identify(request: ChatRequest, name: str) -> Identity:
    return Identifier().identify(request, task_name(request, name), TemplateIndex(()))


def maker(name: str, *, now_ns: int = NOW, **options: Any) -> Maker:
    return Maker(Options(source=name, now_ns=now_ns, **options), identify)


def made(name: str, rows: Iterable[dict[str, Any]], **options: Any) -> Made:
    """The records that rows of a format become."""
    found, shelf, make = FORMATS[name], DictShelf(), maker(name, **options)
    records = Made([], [])
    for row in rows:
        role = found.role(row)
        assert role is not None, sorted(row)
        for item in found.read(role, row, shelf):
            if isinstance(item, Exchange):
                records.traces.append(make.trace(item))
            else:
                records.feedback.append(make.feedback(item))
    return records
