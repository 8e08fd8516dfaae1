"""What was asked to be forgotten, what became of it, and what is put aside. Holds no content, and no subject in clear.

An erasure names whom it is about by an HMAC under a key of this installation (`SigningKey.derive`), so that the record
of forgetting somebody is no record of them; whoever knows the name can check that it is the one.
"""

from __future__ import annotations

from typing import Literal

import msgspec

ErasureKind = Literal["subject", "key", "episode", "trace", "age"]
"""By what records were chosen; `age`: by retention."""
QuarantineKind = Literal["key", "trace", "subject", "source"]


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Something immutable that holds forgotten rows, and what depends on it."""

    kind: Literal["dataset", "outcomes", "evidence", "evaluation"]
    name: str
    """The dataset's id, or the folder in the data folder."""
    task: str
    rows: int
    """Of the forgotten ones."""
    students: tuple[str, ...] = ()
    """Trained on it."""
    certificates: tuple[str, ...] = ()
    """That rest on it."""
    in_force: tuple[str, ...] = ()
    """Tasks that such a certificate serves."""
    removed: bool = False
    """Its files are gone as well."""


class Receipt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A signed statement of what was removed: counts and hashes, never content.

    A field that is added one day must have a default, which is left out when written: then old signatures still hold.
    """

    receipt_id: str
    version: int
    kind: ErasureKind
    who: str
    """HMAC-SHA256 of the kind and the name, in hex; empty for `age`."""
    asked_ns: int
    done_ns: int
    removed: dict[str, int]
    """Place → records that are gone from it."""
    traces_sha256: str
    """SHA-256 over the sorted ids of the traces that were removed, each followed by a line end."""
    holders: tuple[Holder, ...]
    not_searched: tuple[str, ...]
    """What this cannot speak for, in sentences."""
    software: str
    public_key: str = ""
    signature: str = ""


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """One request to forget, from when it was made: also the tombstone that late records are held against."""

    erasure_id: str
    kind: ErasureKind
    who: str
    at_ns: int
    """When it was asked for: what is recorded of later requests stays."""
    state: Literal["running", "done"] = "running"
    removed: dict[str, int] = {}
    traces_sha256: str = ""
    recent: tuple[str, ...] = ()
    """HMACs, cut short, of the forgotten traces that something may still come in about."""
    holders: tuple[Holder, ...] = ()
    """Found so far."""
    episodes: tuple[str, ...] = ()
    """Agent runs whose messages are still to be looked through; empty once that is done."""
    cutoffs: dict[str, int] = {}
    """Of `age`: what was kept since when, in unix nanoseconds."""
    receipt: Receipt | None = None
    updated_ns: int = 0
    task: str = ""


class Quarantine(msgspec.Struct, frozen=True, kw_only=True):
    """A key, a subject, a source or a trace whose rows stay out of new datasets until this is lifted."""

    quarantine_id: str
    """`qu_` and a hash of kind, value and task, under a key of this installation."""
    kind: QuarantineKind
    value: str
    reason: str
    created_ns: int
    lifted_ns: int = 0
    """When it was lifted; 0 while it is in force."""
    updated_ns: int = 0
    task: str = ""
    """The task that it is about; empty: all."""


def receipt_bytes(receipt: Receipt) -> bytes:
    """The bytes that a receipt's signature covers: all of it but the signature, as canonical JSON."""
    return msgspec.json.encode(msgspec.structs.replace(receipt, signature=""), order="sorted")
