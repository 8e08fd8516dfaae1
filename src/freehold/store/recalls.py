"""Recalls in force: what they take hold of among rows, and which datasets and students they have marked.

The rows that a recall found are listed by trace id in `recalls/HASH/rows.parquet`, where HASH begins the SHA-256 that
the recall carries.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from freehold.domain.errors import RightsError, StoreError
from freehold.domain.recalls import Recall, recall_bytes
from freehold.domain.rights import UNKNOWN
from freehold.store.artifacts import write_folder
from freehold.store.keys import verify

if TYPE_CHECKING:
    from pathlib import Path

    from freehold.store.store import Store

PURPOSE = "freehold recall 1"
"""What the installation's key is derived for: recalls name no subject in clear."""
FOLDER = "recalls"
ROWS = "rows.parquet"
ROW_COLUMNS = ("trace_id", "at_ns", "answered_by", "terms", "key", "subject")
"""Columns of a trace that `Recalls.why_not` looks at."""


def recalled(store: Store, name: str, what: Literal["student", "dataset"] = "student") -> Recall | None:
    """The first recall that a student or dataset comes under; None: it may be used as far as recalls go.

    Raises:
        StoreError: the control store cannot be read.
    """
    found = store.control.recalls.list()
    return next((one for one in found if name in (one.students if what == "student" else one.datasets)), None)


def check_not_recalled(store: Store, what: Literal["student", "dataset"], name: str) -> None:
    """Check that a student or dataset was not recalled.

    Raises:
        RightsError: it was.
        StoreError: the control store cannot be read.
    """
    recall = recalled(store, name, what)
    if recall is not None:
        raise RightsError(
            f"The {what} {name} was recalled: it rests on rows of {described(recall)} (recall {recall.recall_id}).",
            "Let the loop train a new one without these rows; `freehold rights recall list` shows the recall.",
        )


def described(recall: Recall) -> str:
    """What was recalled, in words; a subject is not named."""
    return "a subject" if recall.kind == "subject" else f"{recall.kind} {recall.value}"


def mark(secret: bytes, subject: str) -> str:
    """What stands for a subject in a recall: HMAC-SHA256 (RFC 2104) in hex, under `PURPOSE`'s key."""
    return hmac.new(secret, subject.encode("utf-8", "surrogatepass"), sha256).hexdigest()


class Recalls:
    """Says of rows whether they were recalled; as of when it was made.

    Raises:
        StoreError: the control store, the signing key or a list of rows cannot be read.
    """

    def __init__(self, store: Store) -> None:
        self._recalls = [
            (recall, read_rows(store, recall.rows_sha256) if recall.rows_sha256 else frozenset[str]())
            for recall in store.control.recalls.list()
        ]
        self._students = frozenset(f"student/{name}" for recall, _ in self._recalls for name in recall.students)
        by_subject = any(recall.kind == "subject" for recall, _ in self._recalls)
        self._secret = store.keys.derive(PURPOSE) if by_subject else b""

    def why_not(self, row: Mapping[str, Any]) -> str:
        """Why a trace (its `ROW_COLUMNS`) may not be used; empty if it may."""
        for recall, rows in self._recalls:
            if row["trace_id"] in rows or self._is_named(recall, row):
                return f"recalled: {described(recall)}"
        return "recalled: a student that answered" if row["answered_by"] in self._students else ""

    def _is_named(self, recall: Recall, row: Mapping[str, Any]) -> bool:
        at_ns = row["at_ns"]
        if at_ns < recall.since_ns or (recall.until_ns and at_ns > recall.until_ns):
            return False
        match recall.kind:
            case "provider":
                return row["answered_by"].partition("/")[0] in recall.upstreams
            case "licence":
                return is_under(recall, row["terms"], row["answered_by"])
            case "key":
                return row["key"] == recall.value
            case "subject":
                subject = row["subject"]
                return subject is not None and hmac.compare_digest(mark(self._secret, subject), recall.value)


def is_under(recall: Recall, terms: str | None, answered_by: str) -> bool:
    """Whether an answer came under a recalled licence: by the terms that were noted (`ID@DATE`), or where none are
    known, by who answered."""
    noted = (terms or UNKNOWN).partition("@")[0]
    if noted == UNKNOWN:
        return answered_by.partition("/")[0] in recall.upstreams
    return noted == recall.value


def sign_recall(store: Store, recall: Recall) -> Recall:
    """The recall with this installation's signature.

    Raises:
        StoreError: the signing key cannot be used.
    """
    unsigned = msgspec.structs.replace(recall, public_key=store.keys.public_key(), signature="")
    return msgspec.structs.replace(unsigned, signature=store.keys.sign(recall_bytes(unsigned)))


def holds(recall: Recall, public_key: str) -> bool:
    """Whether a recall's report is what the holder of `public_key` (64 hex digits) signed."""
    return recall.public_key == public_key and verify(public_key, recall_bytes(recall), recall.signature)


def write_rows(store: Store, trace_ids: Iterable[str]) -> str:
    """Keep a list of traces; returns its SHA-256: of the sorted ids, each followed by a line end. Twice is fine.

    Raises:
        StoreError: it cannot be written.
    """
    import io

    import polars as pl

    ordered = sorted(set(trace_ids))
    digest = sha256("".join(f"{found}\n" for found in ordered).encode()).hexdigest()
    folder = _folder(store, digest)
    if not folder.exists():
        buffer = io.BytesIO()
        pl.DataFrame({"trace_id": ordered}, schema={"trace_id": pl.String}).write_parquet(buffer, compression="zstd")
        write_folder(folder, {ROWS: buffer.getvalue()}, ROWS)
    return digest


def read_rows(store: Store, digest: str) -> frozenset[str]:
    """The traces that `write_rows` kept under this SHA-256.

    Raises:
        StoreError: the list is missing, cannot be read, or is not what was written.
    """
    import polars as pl
    from polars.exceptions import PolarsError

    path = _folder(store, digest) / ROWS
    again = "Put it back from a backup, or remove it and run the same `freehold rights recall` again."
    try:
        found = pl.read_parquet(path).get_column("trace_id").to_list()
    except (OSError, PolarsError) as error:
        raise StoreError(f"The recalled rows in {path} cannot be read: {error}.", again) from error
    if sha256("".join(f"{one}\n" for one in found).encode()).hexdigest() != digest:
        raise StoreError(f"{path} does not list the rows that were recalled.", again)
    return frozenset(found)


def _folder(store: Store, digest: str) -> Path:
    return store.data / FOLDER / digest[:32]
