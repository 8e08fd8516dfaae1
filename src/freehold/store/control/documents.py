"""A collection of documents of one type in the control database: JSON bodies beside key columns."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import Table, func, insert, select, update

from freehold.domain.errors import Conflict, StoreError
from freehold.store.control.database import Database

_PRIME = 1_000_000_007
T = TypeVar("T", bound=msgspec.Struct)


class Collection(Generic[T]):
    """Documents of type `T` by id. Those of an immutable collection never change once put."""

    def __init__(
        self,
        database: Database,
        table: Table,
        kind: type[T],
        *,
        key: str,
        created: str,
        task: str = "task",
        immutable: bool = False,
    ) -> None:
        self._database = database
        self._table = table
        self._kind = kind
        self._key = key
        self._created = created
        self._task = task
        self._immutable = immutable
        self._decoder = msgspec.json.Decoder(kind)

    def put(self, item: T) -> None:
        """Keep `item` under its id, in place of what was there.

        Raises:
            Conflict: the collection is immutable and holds something else under this id, or two puts of a new id met.
            StoreError: the database cannot be written.
        """
        row = self._row(item)
        with self._database.write() as connection:
            found = connection.execute(select(self._table.c.body).where(self._table.c.id == row["id"])).scalar()
            if found is None:
                connection.execute(insert(self._table).values(**row))
            elif not self._immutable:
                connection.execute(update(self._table).where(self._table.c.id == row["id"]).values(**row))
            elif found != row["body"]:
                raise Conflict(
                    f"{self._kind.__name__} {row['id']} exists and never changes, but a different one was to be put.",
                    "Give the new one an id of its own.",
                )

    def update(self, item: T, expected_updated_ns: int) -> T:
        """Put `item` if nobody changed it since; returns it as stored, with a newer `updated_ns`.

        Raises:
            Conflict: it was changed (or removed) since it was read at `expected_updated_ns`, or is immutable.
            StoreError: the database cannot be written.
        """
        if self._immutable:
            raise Conflict(f"A {self._kind.__name__} never changes.", "Put a new one instead.")
        changes: dict[str, Any] = {"updated_ns": max(time.time_ns(), expected_updated_ns + 1)}
        fresh = msgspec.structs.replace(item, **changes)
        row = self._row(fresh)
        same = (self._table.c.id == row["id"]) & (self._table.c.updated_ns == expected_updated_ns)
        with self._database.write() as connection:
            if connection.execute(update(self._table).where(same).values(**row)).rowcount != 1:
                raise Conflict(
                    f"{self._kind.__name__} {row['id']} was changed by somebody else.", "Read it again and repeat."
                )
        return fresh

    def change(self, item_id: str, how: Callable[[T], T]) -> T | None:
        """Read, change and put one item as one step, so that no change by another process is lost.

        Returns:
            The item as stored, with a newer `updated_ns`; None if there is none of this id.

        Raises:
            StoreError: the database cannot be read or written.
        """
        query = select(self._table.c.body).where(self._table.c.id == item_id).with_for_update()
        with self._database.write() as connection:
            body = connection.execute(query).scalar()
            if body is None:
                return None
            before: Any = self._decode(item_id, body)
            changes: dict[str, Any] = {"updated_ns": max(time.time_ns(), before.updated_ns + 1)}
            fresh = msgspec.structs.replace(how(before), **changes)
            self.put(fresh)
        return fresh

    def get(self, item_id: str) -> T | None:
        """The item of this id, or None.

        Raises:
            StoreError: the database cannot be read, or the stored document is not a `T`.
        """
        with self._database.read() as connection:
            body = connection.execute(select(self._table.c.body).where(self._table.c.id == item_id)).scalar()
        return None if body is None else self._decode(item_id, body)

    def intact(self, item_id: str) -> bool:
        """Whether the stored row is to the last byte what `put` writes for the item it holds.

        Raises:
            StoreError: the database cannot be read, or the stored document is not a `T`.
        """
        with self._database.read() as connection:
            row = connection.execute(select(self._table).where(self._table.c.id == item_id)).mappings().first()
        return row is not None and dict(row) == self._row(self._decode(item_id, row["body"]))

    def digest(self, item_id: str) -> str:
        """SHA-256 of the stored row, every column and byte of it.

        Raises:
            StoreError: the database cannot be read, or there is no such row.
        """
        with self._database.read() as connection:
            row = connection.execute(select(self._table).where(self._table.c.id == item_id)).first()
        if row is None:
            raise StoreError(
                f"There is no {self._kind.__name__} {item_id}.", "Restore a backup of the control database."
            )
        return hashlib.sha256(msgspec.json.encode(tuple(row))).hexdigest()

    def state(self) -> tuple[int, int]:
        """Something that is another whenever an item was put, however clocks jump. Cheap: for polling.

        Raises:
            StoreError: the database cannot be read.
        """
        digest = func.sum(self._table.c.updated_ns % _PRIME)  # the times themselves would overflow
        with self._database.read() as connection:
            count, total = connection.execute(select(func.count(), digest)).one()
        return count, int(total or 0)

    def list(self, task: str | None = None, limit: int | None = None, *, newest_first: bool = False) -> list[T]:
        """All items (of one task) in order of creation, at most `limit`.

        Raises:
            StoreError: the database cannot be read, or a stored document is not a `T`.
        """
        columns = self._table.c
        query = select(columns.id, columns.body)
        if task is not None:
            query = query.where(columns.task == task)
        order = (columns.created_ns.desc(), columns.id.desc()) if newest_first else (columns.created_ns, columns.id)
        query = query.order_by(*order).limit(limit)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [self._decode(row.id, row.body) for row in rows]

    def readable(self) -> tuple[list[T], list[str]]:
        """All items in order of creation, without those that are not a `T`, and the ids of these.

        Raises:
            StoreError: the database cannot be read.
        """
        columns = self._table.c
        query = select(columns.id, columns.body).order_by(columns.created_ns, columns.id)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        items: list[T] = []
        broken: list[str] = []
        for row in rows:
            try:
                items.append(self._decoder.decode(row.body))
            except msgspec.DecodeError:
                broken.append(str(row.id))
        return items, broken

    def _decode(self, item_id: str, body: str) -> T:
        try:
            return self._decoder.decode(body)
        except msgspec.DecodeError as error:
            raise StoreError(
                f"The stored {self._kind.__name__} {item_id} cannot be understood: {error}.",
                "Run the release of Freehold that wrote it, or restore a backup.",
            ) from error

    def _row(self, item: T) -> dict[str, Any]:
        key = getattr(item, self._key)
        created = getattr(item, self._created)
        return {
            "id": key,
            "task": getattr(item, self._task),
            "created_ns": created,
            "updated_ns": getattr(item, "updated_ns", created),
            "body": msgspec.json.encode(item).decode(),
        }
