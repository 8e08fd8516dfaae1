"""The messages of episodes, each once however often agents send it again. Needs polars and deltalake.

Once per host that seals: two hosts that seal steps of one run at the same moment may each store a message.

Crash-safe by order: messages are committed before the traces that refer to them, and are known by their content, so
sealing the same records again finds them there already.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import polars as pl

from freehold.domain.errors import StoreError
from freehold.domain.traces import Trace
from freehold.store.traces.delta import DeltaLog
from freehold.store.traces.message_parts import Split, digests, join, split
from freehold.store.traces.rows import PARTS, SCHEMA_VERSION

if TYPE_CHECKING:
    from freehold.store.store import Store

MESSAGE_COLUMNS = {"episode": pl.String, "digest": pl.Binary, "content": pl.Binary, "schema_version": pl.Int64}
_REMEMBERED = 200_000
"""Digests kept in memory, about 100 bytes each."""
_AT_ONCE = 200
"""Episodes in one query."""
_KEPT_BYTES = 64 * 1024 * 1024
"""Of messages between two pieces of one query."""


class MessageTable(DeltaLog):
    """Sealed messages: the episode, the BLAKE2b digest (16 bytes) of the content, and the content."""

    def __init__(self, uri: str, options: Mapping[str, str] | None = None) -> None:
        super().__init__(
            uri,
            MESSAGE_COLUMNS,
            indexed=("episode", "schema_version"),
            sorted_by=("episode",),
            options=options,
            version=SCHEMA_VERSION,
        )

    def contents(self, episodes: Sequence[str]) -> dict[tuple[str, bytes], bytes]:
        """(Episode, digest) → content, of all messages of these episodes."""
        found = self._read(episodes, ("episode", "digest", "content"))
        return {(episode, digest): content for episode, digest, content in found.iter_rows()}

    def known(self, episodes: Sequence[str]) -> dict[str, set[bytes]]:
        """Episode → digests of its messages."""
        known: dict[str, set[bytes]] = {episode: set() for episode in episodes}
        for episode, digest in self._read(episodes, ("episode", "digest")).iter_rows():
            known[episode].add(digest)
        return known

    def _read(self, episodes: Sequence[str], columns: Sequence[str]) -> pl.DataFrame:
        """By deltalake's own reader: polars may ask for it in the middle of a query of its own, and polars' queries
        within polars' queries overflow the stack."""
        table = self.snapshot()
        parts = [pl.DataFrame(schema={name: MESSAGE_COLUMNS[name] for name in columns})]
        for start in range(0, len(episodes), _AT_ONCE):
            names = ", ".join("'" + episode.replace("'", "''") + "'" for episode in episodes[start : start + _AT_ONCE])
            parts.append(table.read_where(f"episode IN ({names})", columns))
        return pl.concat(parts)


class MessageKeeper:
    """Takes requests apart for one sealer. It remembers what the table holds, as long as nobody takes messages out.

    Use it with the sealer's lock held.
    """

    def __init__(self, table: MessageTable) -> None:
        self._table = table
        self._known: OrderedDict[str, set[bytes]] = OrderedDict()
        self._count = 0
        self._rewritten: int = -1

    def take(self, traces: Sequence[Trace]) -> tuple[dict[int, Split], pl.DataFrame]:
        """The requests of these traces that belong to episodes, taken apart, by their place in `traces`; and the
        messages that the table does not hold yet: append those before the traces.

        Raises:
            StoreError: the table cannot be read.
        """
        taken: dict[int, Split] = {}
        for place, trace in enumerate(traces):
            if trace.episode and (parts := split(trace.request)) is not None:
                taken[place] = parts
        if not taken:
            return taken, _frame([])
        self._recall({traces[place].episode or "" for place in taken})
        fresh: dict[tuple[str, bytes], bytes] = {}
        for place, parts in taken.items():
            episode = traces[place].episode or ""
            known = self._known[episode]
            fresh |= {(episode, digest): piece for digest, piece in parts.pieces if digest not in known}
        return taken, _frame([(episode, digest, content) for (episode, digest), content in fresh.items()])

    def stored(self, messages: pl.DataFrame) -> None:
        """These are in the table now."""
        for episode, digest in messages.select("episode", "digest").iter_rows():
            self._known[episode].add(digest)
        self._count += messages.height

    def _recall(self, episodes: set[str]) -> None:
        rewritten = self._table.snapshot().rewrites
        if rewritten != self._rewritten:
            self._known.clear()
            self._rewritten, self._count = rewritten, 0
        missing = sorted(episodes - self._known.keys())
        for episode, known in self._table.known(missing).items():
            self._known[episode] = known
            self._count += len(known)
        for episode in episodes:
            self._known.move_to_end(episode)
        while self._count > _REMEMBERED and len(self._known) > len(episodes):
            _, oldest = self._known.popitem(last=False)
            self._count -= len(oldest)


class Rejoiner:
    """Puts requests together again, column by column; for one query, whose threads take turns."""

    def __init__(self, table: MessageTable) -> None:
        self._table = table
        self._turn = threading.Lock()
        self._contents: dict[tuple[str, bytes], bytes] = {}
        self._episodes: set[str] = set()

    def __call__(self, column: pl.Series) -> pl.Series:
        """Whole requests.

        Args:
            column: of structs of `episode`, `request` (a skeleton where there are parts) and `rows.PARTS`.
        """
        rows = column.struct.unnest()
        parts = rows.get_column(PARTS)
        if parts.null_count() == parts.len():
            return rows.get_column("request")
        with self._turn:
            self._read({episode for episode, _, there in rows.iter_rows() if there is not None})
            return pl.Series("request", [self._whole(*row) for row in rows.iter_rows()], dtype=pl.Binary)

    def _whole(self, episode: str, skeleton: bytes, parts: bytes | None) -> bytes:
        if parts is None:
            return skeleton
        try:
            return join(skeleton, parts, lambda digest: self._contents[episode, digest])
        except KeyError as error:
            raise StoreError(
                f"A message of episode {episode!r} is missing in {self._table.uri}.",
                "If a forget is under way, read again when it has ended; else restore the table from a backup.",
            ) from error

    def _read(self, episodes: set[str]) -> None:
        missing = episodes - self._episodes
        if not missing:
            return
        if sum(map(len, self._contents.values())) > _KEPT_BYTES:
            self._contents, self._episodes, missing = {}, set(), episodes
        self._contents |= self._table.contents(sorted(missing))
        self._episodes |= missing


def drop_unreferenced(store: Store, episodes: Iterable[str]) -> int:
    """Delete the messages of these episodes that no trace refers to any more; returns how many. Then `purge` the table.

    Hold the sealer's lock from before the traces are deleted.

    Raises:
        Conflict: another process rewrote the table at the same time.
        StoreError: a table cannot be read or written.
    """
    named = sorted(set(episodes))
    if not named:
        return 0
    rows = store.traces.stored_parts(named)
    kept = {f"{episode}/{digest.hex()}" for episode, parts in rows for digest in digests(parts)}
    mark = pl.concat_str("episode", pl.lit("/"), pl.col("digest").bin.encode("hex"))
    return store.messages.delete(pl.col("episode").is_in(named) & ~mark.is_in(sorted(kept)))


def _frame(messages: Sequence[tuple[str, bytes, bytes]]) -> pl.DataFrame:
    rows = [(*message, SCHEMA_VERSION) for message in messages]
    return pl.DataFrame(rows, schema=MESSAGE_COLUMNS, orient="row").sort("episode", maintain_order=True)
