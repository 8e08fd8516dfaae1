"""Decisions by counsel and fulfilled duties: signed when they are put, and their signatures checked at every read.

A record that anybody wrote or edited without this installation's key is treated as if it was not there; `doctor` names
it. What a signature cannot show is that a record was removed, or put back to an earlier state that had been signed.
"""

from __future__ import annotations

import datetime
import time
from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec

from freehold.domain.counsel import Decision, Fulfilment, decision_bytes
from freehold.domain.errors import NotFound, RightsError
from freehold.store.keys import verify

if TYPE_CHECKING:
    from freehold.store.control.documents import Collection
    from freehold.store.store import Store

State = Literal["in force", "expired", "withdrawn", "forged"]
Record = TypeVar("Record", bound=Decision | Fulfilment)


class Listed(msgspec.Struct, frozen=True):
    """A record and how it stands."""

    record: Decision | Fulfilment | None
    """None: it cannot even be read."""
    record_id: str
    state: State


def today() -> datetime.date:
    """The day (UTC) for which verdicts are given now."""
    return datetime.datetime.now(datetime.UTC).date()


def decisions(store: Store, task: str = "", *assets: str) -> tuple[Decision, ...]:
    """Counsel's decisions in force today that are about everything, or about this task or one of these assets.

    Raises:
        StoreError: the database or the signing key cannot be read.
    """
    found = _in_force(store, store.control.decisions)
    return tuple(one for one in found if one.task in ("", task) and one.asset in ("", *assets))


def fulfilments(store: Store, task: str = "") -> tuple[Fulfilment, ...]:
    """What was fulfilled, and holds today, for everything or for this task; see `rights.duties` for what it meets.

    Raises:
        StoreError: the database or the signing key cannot be read.
    """
    return tuple(one for one in _in_force(store, store.control.fulfilments) if one.task in ("", task))


def ids_in_force(store: Store) -> tuple[str, ...]:
    """Of all decisions and fulfilments that count today.

    Raises:
        StoreError: the database or the signing key cannot be read.
    """
    found = (*_in_force(store, store.control.decisions), *_in_force(store, store.control.fulfilments))
    return tuple(_id(record) for record in found)


def put_signed(store: Store, record: Record) -> Record:
    """Sign a decision or fulfilment and keep it; returns it as kept.

    Raises:
        StoreError: the database cannot be written, or the signing key cannot be used.
    """
    stamped = msgspec.structs.replace(
        record, updated_ns=time.time_ns(), public_key=store.keys.public_key(), signature=""
    )
    signed = msgspec.structs.replace(stamped, signature=store.keys.sign(decision_bytes(stamped)))
    _keep(store, signed)
    return signed


def withdraw(store: Store, record_id: str) -> Decision | Fulfilment:
    """Withdraw a decision or fulfilment for good; returns it as kept.

    Raises:
        NotFound: there is none of this id.
        RightsError: its signature does not hold, so it is not in force anyway.
        StoreError: the database cannot be written.
    """
    with store.control.transaction():
        record = store.control.decisions.get(record_id) or store.control.fulfilments.get(record_id)
        if record is None:
            raise NotFound(
                f"There is no decision or fulfilment {record_id}.", "`freehold rights decisions` lists them."
            )
        if not _genuine(store, record):
            raise forged(record_id)
        if record.withdrawn_ns:
            return record
        return put_signed(store, msgspec.structs.replace(record, withdrawn_ns=time.time_ns()))


def forged(record_id: str) -> RightsError:
    """What is wrong with a record whose signature does not hold."""
    return RightsError(
        f"Record {record_id} was not signed by this installation's key, or was changed afterwards: it counts for "
        "nothing.",
        "Record it anew with `freehold rights decide` (or `fulfil`), and find out who wrote to the control database.",
    )


def listed(store: Store, kind: Literal["decisions", "fulfilments"]) -> list[Listed]:
    """All decisions or fulfilments with their states, oldest first, then those that cannot be read.

    Raises:
        StoreError: the database or the signing key cannot be read.
    """
    collection = store.control.decisions if kind == "decisions" else store.control.fulfilments
    readable, broken = collection.readable()
    good = [Listed(record, _id(record), _state(store, record)) for record in readable]
    return good + [Listed(None, record_id, "forged") for record_id in broken]


def _in_force(store: Store, collection: Collection[Record]) -> list[Record]:
    readable, _ = collection.readable()
    return [record for record in readable if _state(store, record) == "in force"]


def _state(store: Store, record: Decision | Fulfilment) -> State:
    if not _genuine(store, record):
        return "forged"
    if record.withdrawn_ns:
        return "withdrawn"
    return "expired" if record.until and record.until < today().isoformat() else "in force"


def _genuine(store: Store, record: Decision | Fulfilment) -> bool:
    return (
        store.key_path.exists()  # else opening it would make a new one
        and record.public_key == store.keys.public_key()
        and verify(record.public_key, decision_bytes(record), record.signature)
    )


def _id(record: Decision | Fulfilment) -> str:
    return record.decision_id if isinstance(record, Decision) else record.fulfilment_id


def _keep(store: Store, record: Decision | Fulfilment) -> None:
    if isinstance(record, Decision):
        store.control.decisions.put(record)
    else:
        store.control.fulfilments.put(record)
