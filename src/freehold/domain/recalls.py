"""What was recalled, and what became of all that rested on it. Holds no content, and no subject in clear."""

from __future__ import annotations

from typing import Literal

import msgspec

RecallKind = Literal["provider", "licence", "key", "subject"]


class Recall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request to do without the answers of a provider, licence, key or subject."""

    recall_id: str
    kind: RecallKind
    value: str
    """The provider's, licence's or key's name; of a subject: its HMAC (see `freehold.domain.erasures`)."""
    since_ns: int = 0
    """Only what was recorded since then; 0: all."""
    reason: str = ""
    created_ns: int
    state: Literal["running", "done"] = "running"
    rows: dict[str, int] = {}
    """Task → rows concerned."""
    datasets: tuple[str, ...] = ()
    students: tuple[str, ...] = ()
    """Never promoted again."""
    certificates: tuple[str, ...] = ()
    releases: tuple[str, ...] = ()
    moved_back: tuple[str, ...] = ()
    """Tasks whose traffic went back to the incumbent."""
    updated_ns: int = 0
    task: str = ""
    public_key: str = ""
    signature: str = ""


def recall_bytes(recall: Recall) -> bytes:
    """The bytes that a recall's signature covers: all of it but the signature, as canonical JSON."""
    return msgspec.json.encode(msgspec.structs.replace(recall, signature=""), order="sorted")
