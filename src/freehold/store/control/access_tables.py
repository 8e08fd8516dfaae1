"""Virtual keys, teams, and what is taken of their limits. Reached as `ControlStore.access`.

A limit is exact because workers take shares of it, leases, in transactions that hold the row: the sum of all leases of
a window never exceeds the limit, whatever the number of workers and hosts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, delete, select, text, tuple_, update

from freehold.domain.access import MeterName, Team, VirtualKey
from freehold.domain.errors import Conflict, StoreError
from freehold.store.control import schema
from freehold.store.control.database import Database
from freehold.store.control.documents import Collection

_KEPT_SECONDS: dict[MeterName, int] = {"requests": 600, "tokens": 600, "day": 40 * 86_400, "month": 400 * 86_400}
"""How long the leases of a window that is over are kept, for a look at them."""
_SHARE = 16
"""No lease beyond what is needed at once takes more than one part in so many of what is left: as a limit comes near,
leases become small, so that little of it lies with workers that do not use it."""
_TRIES = 3
_AT_ONCE = 1000
"""Rows in one query."""

_Row = tuple[str, MeterName, int]
"""Holder, meter and beginning of the window: a row of the leases."""
_leases = schema.access_leases
_same_meter = (_leases.c.holder == bindparam("of_holder")) & (_leases.c.meter == bindparam("of_meter"))
_set_used = (
    update(_leases).where(_same_meter & (_leases.c.began == bindparam("of_began"))).values(used=bindparam("of_used"))
)
_sweep = delete(_leases).where(_same_meter & (_leases.c.began < bindparam("of_began")))
_new_row = text(
    "INSERT INTO access_leases (holder, meter, began, used) VALUES (:of_holder, :of_meter, :of_began, 0)"
    " ON CONFLICT DO NOTHING"
)
_add_spent = text(
    "INSERT INTO access_spent (holder, day, requests, tokens, nanousd)"
    " VALUES (:holder, :day, :requests, :tokens, :nanousd) ON CONFLICT (holder, day) DO UPDATE SET"
    " requests = access_spent.requests + excluded.requests, tokens = access_spent.tokens + excluded.tokens,"
    " nanousd = access_spent.nanousd + excluded.nanousd"
)


class Want(NamedTuple):
    """A worker's wish for a lease."""

    holder: str
    """Id of a key or a team."""
    meter: MeterName
    began: int
    """Unix second at which the window began."""
    limit: int
    need: int
    """What is given if so much is left, or else all that is left."""
    more: int = 0
    """What is welcome in all, `need` included, while plenty is left."""
    charge: int = 0
    """What the worker used beyond its leases; negative: what it gives back of them."""


class Lease(NamedTuple):
    """What was given, and what is left of the limit after that (for any worker)."""

    given: int
    left: int


class Spent(NamedTuple):
    """What a key or a team really used in the UTC day that began at unix second `day`."""

    holder: str
    day: int
    requests: int
    tokens: int
    nanousd: int


class AccessTables:
    """Thread-safe. Every method raises StoreError when the database cannot be read or written."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.keys = Collection(
            database, schema.access_keys, VirtualKey, key="key_id", task="team", created="created_ns"
        )
        self.teams = Collection(
            database, schema.access_teams, Team, key="team_id", task="team_id", created="created_ns"
        )

    def version(self) -> int:
        """Raised by every change of a key or team. Cheap: for polling."""
        with self._database.read() as connection:
            return int(connection.execute(select(schema.access_state.c.version)).scalar_one())

    def pepper_mark(self) -> str:
        """Which pepper the keys here were made with; empty before the first."""
        with self._database.read() as connection:
            return str(connection.execute(select(schema.access_state.c.pepper_mark)).scalar_one())

    def changed(self, pepper_mark: str | None = None) -> None:
        """Raise the version; call within the transaction that makes the change, before it reads anything.

        Raises:
            Conflict: the keys here were made with another pepper than that of `pepper_mark`.
        """
        state = schema.access_state
        with self._database.write() as connection:
            connection.execute(update(state).values(version=state.c.version + 1))
            found = str(connection.execute(select(state.c.pepper_mark)).scalar_one())
            if pepper_mark is None or found == pepper_mark:
                return
            if found:
                raise Conflict(
                    "The keys in the control store were made with another pepper than this installation's.",
                    "Give every host the same one: set access.pepper_env, or copy keys/pepper of the data folder.",
                )
            connection.execute(update(state).values(pepper_mark=pepper_mark))

    def remove_team(self, team_id: str) -> bool:
        """Remove a team; False if there is none of this id."""
        with self._database.write() as connection:
            table = schema.access_teams
            return connection.execute(delete(table).where(table.c.id == team_id)).rowcount == 1

    def lease(self, wants: Sequence[Want]) -> list[Lease]:
        """Take shares of limits, all in one transaction; the answers are in the order of `wants`.

        Without wants it tells whether shares could be taken.
        """
        rows = sorted({want[:3] for want in wants})  # every worker locks them in the same order
        for _ in range(_TRIES):
            with self._database.write() as connection:
                used = _locked(connection, rows)
                missing = [row for row in rows if row not in used]
                if not missing:
                    return _share_out(connection, wants, used)
            # In a transaction of its own: who held locks while it makes rows could meet another who does the same.
            with self._database.write() as connection:
                _make(connection, missing)
        raise StoreError("Rows of limits vanish as they are made.", "Check what else works on the control database.")

    def add_spent(self, spent: Sequence[Spent]) -> None:
        """Add to what was really used."""
        if spent:
            with self._database.write() as connection:
                for row in sorted(spent):
                    connection.execute(_add_spent, row._asdict())

    def spent(self, since: int, until: int | None = None) -> list[Spent]:
        """What was really used in the days that began at since ≤ day < until, oldest first."""
        columns = schema.access_spent.c
        query = select(schema.access_spent).where(columns.day >= since).order_by(columns.day, columns.holder)
        if until is not None:
            query = query.where(columns.day < until)
        with self._database.read() as connection:
            return [Spent(*row) for row in connection.execute(query)]

    def used(self, holder: str, meter: MeterName, began: int) -> int:
        """How much of a limit is taken by workers in one window."""
        columns = schema.access_leases.c
        same = (columns.holder == holder) & (columns.meter == meter) & (columns.began == began)
        with self._database.read() as connection:
            return int(connection.execute(select(columns.used).where(same)).scalar() or 0)


def share(used: int, want: Want) -> tuple[int, Lease]:
    """What is used of a limit after `want`, and what `want` is given of it. Pure."""
    charged = max(0, used + want.charge)
    free = max(0, want.limit - charged)
    given = min(free, max(want.need, min(want.more, free // _SHARE)))
    return charged + given, Lease(given, free - given)


def _locked(connection: Connection, rows: Sequence[_Row]) -> dict[_Row, int]:
    """What is used by these rows, held until the transaction ends: by FOR UPDATE, or as SQLite has one writer."""
    columns = schema.access_leases.c
    place = (columns.holder, columns.meter, columns.began)
    used: dict[_Row, int] = {}
    for start in range(0, len(rows), _AT_ONCE):
        wanted = tuple_(*place).in_(rows[start : start + _AT_ONCE])
        query = select(*place, columns.used).where(wanted).order_by(*place).with_for_update()
        used |= {(row.holder, row.meter, row.began): row.used for row in connection.execute(query)}
    return used


def _share_out(connection: Connection, wants: Sequence[Want], used: dict[_Row, int]) -> list[Lease]:
    before = dict(used)
    leases: list[Lease] = []
    for want in wants:
        used[want[:3]], lease = share(used[want[:3]], want)
        leases.append(lease)
    changes = [_of(row, of_used=now) for row, now in used.items() if now != before[row]]
    if changes:
        connection.execute(_set_used, changes)
    return leases


def _make(connection: Connection, rows: Sequence[_Row]) -> None:
    """Make rows of windows that have just begun, and sweep those away that ended long ago."""
    connection.execute(_new_row, [_of(row) for row in rows])
    connection.execute(_sweep, [{**_of(row), "of_began": row[2] - _KEPT_SECONDS[row[1]]} for row in rows])


def _of(row: _Row, **more: int) -> dict[str, str | int]:
    return {"of_holder": row[0], "of_meter": row[1], "of_began": row[2], **more}
