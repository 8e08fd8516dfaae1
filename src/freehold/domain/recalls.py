"""What was recalled, and what became of all that rested on it. Holds no content, and no subject in clear."""

from __future__ import annotations

from typing import Literal

import msgspec

RecallKind = Literal["provider", "licence", "key", "subject"]
RECALL_VERSION = 1


class Retraining(msgspec.Struct, frozen=True, kw_only=True):
    """What is left to train a task's student anew without what was recalled."""

    task: str
    left: int
    """Rows that may be used, of all parts."""
    wanted: int
    """So many the loop wants before it trains."""

    @property
    def enough(self) -> bool:
        """Whether the loop will train by itself, without waiting for more traffic."""
        return self.left >= self.wanted


class Recall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request to do without the answers of a provider or under a licence, or the rows of a key or subject; signed
    once it is done.

    From when it is stored, no new dataset takes such rows; what it names as datasets and students is never trained on,
    promoted or released again. A field that is added one day must have a default, which is left out when written: then
    old signatures still hold.
    """

    recall_id: str
    """`re_` and a hash of kind, name and since, under a key of this installation: the same request has the same id."""
    version: int = 0
    kind: RecallKind
    value: str
    """The provider's, licence's or key's name; of a subject, an HMAC of it under a key of this installation."""
    upstreams: tuple[str, ...] = ()
    """Upstreams that the provider answers at, or whose answers come under the licence."""
    since_ns: int = 0
    """Only what was recorded since then; 0: all."""
    until_ns: int = 0
    """Only what was recorded until then; 0: whatever comes, too."""
    reason: str = ""
    created_ns: int
    state: Literal["running", "done"] = "running"
    rows: dict[str, int] = {}
    """Task → rows concerned; of no task: under an empty name."""
    rows_sha256: str = ""
    """SHA-256 over the sorted ids of these traces, each followed by a line end."""
    datasets: tuple[str, ...] = ()
    """That hold such rows, or answers of students that were trained on them."""
    students: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    """Of these students, or resting on these datasets."""
    policies: tuple[int, ...] = ()
    """Versions of the policy in which any of these served."""
    releases: tuple[str, ...] = ()
    """Of these students. What has left the house cannot be called back from here."""
    moved_back: tuple[str, ...] = ()
    """Tasks whose traffic went back to the incumbent."""
    plan: tuple[Retraining, ...] = ()
    not_searched: tuple[str, ...] = ()
    """What this cannot speak for, in sentences."""
    software: str = ""
    updated_ns: int = 0
    task: str = ""
    public_key: str = ""
    signature: str = ""


def recall_bytes(recall: Recall) -> bytes:
    """The bytes that a recall's signature covers: all of it but the signature, as canonical JSON."""
    return msgspec.json.encode(msgspec.structs.replace(recall, signature=""), order="sorted")
