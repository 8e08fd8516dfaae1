"""What was asked to be forgotten, held against records that come late: a host that was away, an import, an audit.

An erasure names nobody (see `freehold.domain.erasures`), so a record matches it by the HMAC of its own subject, key,
episode or id, if it is of before the request to forget; or by what it belongs to, if that was forgotten.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from hashlib import sha256
from typing import TYPE_CHECKING

from freehold.domain.erasures import ErasureKind
from freehold.domain.traces import Feedback, Record, Trace

if TYPE_CHECKING:
    from freehold.store import Store

PURPOSE = "freehold forget 1"
"""What the installation's key is derived for."""
SHORT = 20
"""Hex digits of the HMACs of single traces: 80 bits, which nothing meets by chance."""
MAX_REMEMBERED = 1_000_000
"""Dropped traces that are remembered so that what belongs to them is dropped too."""


def mark(secret: bytes, kind: ErasureKind, value: str) -> str:
    """What stands for a name in records of forgetting it: HMAC-SHA256 (RFC 2104) in hex."""
    return hmac.new(secret, f"{kind}\0{value}".encode("utf-8", "surrogatepass"), sha256).hexdigest()


class Forgotten:
    """The erasures of one store. `look` reads them; in between, what it was told last counts."""

    def __init__(self, store: Store) -> None:
        self.dropped = 0
        """Records that were dropped."""
        self._store = store
        self._secret = b""
        self._seen = (0, 0)
        self._until: dict[tuple[ErasureKind, str], int] = {}
        self._kinds: frozenset[ErasureKind] = frozenset()
        self._recent: frozenset[str] = frozenset()
        self._gone: dict[str, None] = {}
        """Ids of traces dropped here."""

    def look(self) -> None:
        """Read what was asked for by now.

        Raises:
            StoreError: the control store or the signing key cannot be read.
        """
        state = self._store.control.erasures.state()
        if state == self._seen:
            return
        self._seen = state
        erasures = [item for item in self._store.control.erasures.list() if item.kind != "age"]
        if erasures and not self._secret:
            self._secret = self._store.keys.derive(PURPOSE)
        self._until = {}
        for item in erasures:
            name = (item.kind, item.who)
            self._until[name] = max(item.at_ns, self._until.get(name, 0))
        self._kinds = frozenset(kind for kind, _ in self._until)
        self._recent = frozenset(short for item in erasures for short in item.recent)

    def also(self, trace_ids: Iterable[str]) -> None:
        """What belongs to these traces, and they themselves, is covered as well."""
        self._gone |= dict.fromkeys(trace_ids)

    def covers(self, record: Record) -> bool:
        """Whether a record was asked to be forgotten, or belongs to a trace that was. Those that are, are counted."""
        if not self._until and not self._gone:
            return False
        covered = record.trace_id in self._gone or self._is_named(record) or self._belongs(record)
        if covered:
            self.dropped += 1
            if isinstance(record, Trace):
                self._gone[record.trace_id] = None
                if len(self._gone) > MAX_REMEMBERED:
                    del self._gone[next(iter(self._gone))]
        return covered

    def _is_named(self, record: Record) -> bool:
        names: list[tuple[ErasureKind, str | None]] = [("key", record.key), ("episode", record.episode)]
        names.append(("trace", record.trace_id))
        if isinstance(record, Trace):
            names.append(("subject", record.subject))
        return any(
            value and kind in self._kinds and record.at_ns <= self._until.get((kind, self._mark(kind, value)), 0)
            for kind, value in names
        )

    def _belongs(self, record: Record) -> bool:
        """Whether it is about a forgotten trace, or is one that is imported again."""
        imported = isinstance(record, Trace) and record.source
        owner = record.trace_id if isinstance(record, Feedback) or imported else record.of
        if not owner:
            return False
        return owner in self._gone or (bool(self._recent) and self._mark("trace", owner)[:SHORT] in self._recent)

    def _mark(self, kind: ErasureKind, value: str) -> str:
        return mark(self._secret, kind, value)
