"""Takes OTLP documents as they come: spans of models become traces, with the log records that hold their messages.

A span that brings its messages is recorded at once. One without waits for them for `WAIT_SECONDS`, and is then recorded
as it is: who answered, when, for how many tokens. Log records without a span are dropped after `PARTS_SECONDS`.
An exporter that heard no answer sends again: the trace has the same id then, and is kept once (`store.repeats`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from freehold.domain.errors import RowError
from freehold.domain.traces import Trace
from freehold.record.importing import otel, otlp
from freehold.record.importing.exchange import Exchange, Identify, Maker, Options
from freehold.record.importing.format import MISREAD
from freehold.record.importing.spans import Event, Family, Span
from freehold.record.importing.values import Row
from freehold.record.importing.waiting import Waiting

WAIT_SECONDS = 30.0
"""Exporters send in batches, every few seconds."""
PARTS_SECONDS = 3600.0
"""A span is sent when it has ended: log records of a long one come before it."""
_NANO = 1_000_000_000
SOURCE = "otlp"
FAMILY = "otel"
"""Own ids are shared with files of spans: what was sent and is imported later is the same."""


class Taken(NamedTuple):
    """What became of a document."""

    recorded: int
    """Traces written."""
    waiting: int
    """Spans that wait for their messages, or log records that wait for their span."""
    ignored: int
    """Spans and log records of other things than models' answers."""
    rejected: int
    reason: str = ""
    """Why the first of these was rejected."""


class Ingest:
    """Takes documents of one host's callers. Thread-safe; for a thread of its own, as it waits for the disk.

    Args:
        path: the file of what waits.
        append: writes a trace to the journal; may raise StoreError.
        identify: says which task a request belongs to.
        clock: unix nanoseconds.
    """

    def __init__(
        self,
        path: Path,
        append: Callable[[Trace], None],
        identify: Identify,
        *,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._path = path
        self._append = append
        self._identify = identify
        self._clock = clock
        self._guard = threading.Lock()
        self._opened: Waiting | None = None

    def close(self) -> None:
        """Close the file; what waits goes on waiting."""
        with self._guard:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    def spans(self, document: Row, key: str | None) -> Taken:
        """Take a document of traces.

        Raises:
            StoreError: something could not be kept; then it is to be sent again, and none of it will be there twice.
        """
        spans, broken = _each(document)
        family = Family(spans, otel.AGENT_NAMES)
        maker = self._maker(key)
        recorded = waiting = ignored = 0
        for span in spans:
            if not otel.is_exchange(span):
                ignored += 1
                continue
            try:
                kept = self._take(span, family, maker, key or "")
            except RowError as error:
                broken.append(error)
                continue
            except MISREAD as error:
                broken.append(RowError(f"An attribute has an unexpected form ({type(error).__name__}).", ""))
                continue
            recorded, waiting = recorded + kept, waiting + (not kept)
        return Taken(recorded, waiting, ignored, len(broken), broken[0].message if broken else "")

    def logs(self, document: Row, key: str | None) -> Taken:
        """Take a document of log records.

        Raises:
            StoreError: as `spans`.
        """
        found: dict[str, list[Event]] = {}
        ignored = 0
        for trace, span, event in otlp.logs_of(document):
            if event.name.startswith("gen_ai."):
                found.setdefault(f"{trace}-{span}", []).append(event)
            else:
                ignored += 1
        recorded = sum(self._take_events(own_id, events, key) for own_id, events in found.items())
        return Taken(recorded, len(found) - recorded, ignored, 0)

    def overdue(self, *, everything: bool = False) -> bool:
        """Record spans that have waited long enough; returns whether any still wait.

        Raises:
            StoreError: they cannot be read or recorded.
        """
        if self._opened is None and not self._path.exists():
            return False
        with self._guard, self._waiting().transaction():
            waiting = self._waiting()
            limit = self._clock() - (0 if everything else int(WAIT_SECONDS * _NANO))
            for owner, span in waiting.overdue(limit):
                self._record(otel.with_events(span, waiting.parts(owner)), None, self._maker(owner or None))
                waiting.done(owner, span.own_id)
            waiting.forget(self._clock() - int(PARTS_SECONDS * _NANO))
            return waiting.waits()

    def _waiting(self) -> Waiting:
        if self._opened is None:
            self._opened = Waiting(self._path)
        self._opened.now_ns = self._clock()
        return self._opened

    def _maker(self, key: str | None) -> Maker:
        options = Options(source=SOURCE, family=FAMILY, key=key, now_ns=self._clock())
        return Maker(options, self._identify)

    def _take(self, span: Span, family: Family, maker: Maker, owner: str) -> bool:
        """Record a span, or let it wait; whether it is recorded."""
        if otel.has_content(span):
            self._record(span, family, maker)
            return True
        with self._guard, self._waiting().transaction():
            waiting = self._waiting()
            whole = otel.with_events(span, waiting.parts(owner))
            if not otel.has_content(whole):
                waiting.put_span(owner, _with_agents(span, family))
                return False
            self._record(whole, family, maker)
            waiting.done(owner, span.own_id)
            return True

    def _take_events(self, own_id: str, events: Iterable[Event], key: str | None) -> bool:
        owner = key or ""
        with self._guard, self._waiting().transaction():
            waiting = self._waiting()
            parts = waiting.parts(owner)
            for event in events:
                otel.put_event(parts, own_id, event)
            span = waiting.span(owner, own_id)
            whole = otel.with_events(span, parts) if span is not None else None
            if whole is None or not otel.has_content(whole):
                return False
            self._record(whole, None, self._maker(key))
            waiting.done(owner, own_id)
            return True

    def _record(self, span: Span, family: Family | None, maker: Maker) -> None:
        found = otel.exchange_of(span, family or Family((span,), otel.AGENT_NAMES))
        if found is not None:
            if family is None:
                _set_agents(found, span)
            self._append(maker.trace(found))


_PARENT = "freehold.parent_agent"


def _with_agents(span: Span, family: Family) -> Span:
    """The span with what its family said of it: when it is recorded, its family is gone."""
    agents = family.agents(span)
    added = dict(zip((otel.AGENT_NAMES[0], _PARENT), agents, strict=False))
    return replace(span, attributes=span.attributes | added)


def _set_agents(found: Exchange, span: Span) -> None:
    parent = span.attributes.get(_PARENT)
    if parent:
        found.parent, found.parent_is_agent = str(parent), True


def _each(document: Row) -> tuple[list[Span], list[RowError]]:
    """The spans of a document, and what was wrong with others."""
    spans: list[Span] = []
    broken: list[RowError] = []
    for found in otlp.each_span(document):
        if isinstance(found, RowError):
            broken.append(found)
        else:
            spans.append(found)
    return spans, broken
