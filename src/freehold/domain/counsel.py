"""What people decided and did about rights: decisions by counsel, and duties that were fulfilled. Each is signed.

A record here counts only while its signature by the installation's key holds: see `freehold.store.counsel`.
"""

from __future__ import annotations

import msgspec

from freehold.domain.rights import Action, DutyKind


class Decision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A decision by the organisation's counsel where a licence or terms need one.

    A field that is added one day must have a default, which is left out when written: then old signatures still hold.
    """

    decision_id: str
    terms: str
    """Id of the licence or terms it is about."""
    purpose: Action
    allow: bool
    decided_by: str
    until: str
    """The last day (ISO 8601, UTC) on which it is in force."""
    task: str = ""
    """Id of the task that it is about; empty: all."""
    asset: str = ""
    """Id of the student or dataset, or name of the upstream, that it is about; empty: all."""
    note: str = ""
    created_ns: int
    withdrawn_ns: int = 0
    """When it was withdrawn; 0: it was not."""
    updated_ns: int = 0
    public_key: str = ""
    signature: str = ""


class Fulfilment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A duty that somebody says was fulfilled, and the evidence. Fields that are added one day: as of `Decision`."""

    fulfilment_id: str
    asset: str = ""
    """Id of the student, licence or terms that it is about; empty: all students of `task`."""
    duty: DutyKind
    text: str
    """The duty's own words: where they change, the duty is another one."""
    evidence: str
    """In words, or the name of the file that was shown."""
    evidence_sha256: str = ""
    """Of the file; empty where the evidence is in words."""
    fulfilled_by: str
    until: str = ""
    """The last day (ISO 8601, UTC) for which it holds; empty: for good."""
    task: str = ""
    """Id of the task that it is about; empty: all."""
    created_ns: int
    withdrawn_ns: int = 0
    updated_ns: int = 0
    public_key: str = ""
    signature: str = ""


def decision_bytes(record: Decision | Fulfilment) -> bytes:
    """The bytes that the signature of a decision or fulfilment covers: all of it but the signature, as canonical JSON,
    after the name of what it is."""
    body = msgspec.json.encode(msgspec.structs.replace(record, signature=""), order="sorted")
    return type(record).__name__.encode() + b"\n" + body
