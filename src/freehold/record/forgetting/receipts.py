"""Receipts of forgetting: signed with the installation's key, checked by anybody who has the public half."""

from __future__ import annotations

import hmac
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from freehold import __version__
from freehold.domain.erasures import Erasure, ErasureKind, Receipt, receipt_bytes
from freehold.domain.errors import CertificateError, RequestError
from freehold.domain.ids import content_id
from freehold.record.forgetting.forgotten import PURPOSE, mark
from freehold.store.keys import verify

if TYPE_CHECKING:
    from freehold.store import Store

RECEIPT_VERSION = 1
_decoder = msgspec.json.Decoder(Receipt, strict=True)


def make_receipt(store: Store, erasure: Erasure, not_searched: tuple[str, ...], now_ns: int) -> Receipt:
    """A signed receipt of what an erasure came to.

    Raises:
        StoreError: the signing key cannot be read.
    """
    receipt = Receipt(
        receipt_id=content_id("rc", erasure.erasure_id.encode(), str(now_ns).encode()),
        version=RECEIPT_VERSION,
        kind=erasure.kind,
        who=erasure.who,
        asked_ns=erasure.at_ns,
        done_ns=now_ns,
        removed=dict(sorted(erasure.removed.items())),
        traces_sha256=erasure.traces_sha256,
        holders=erasure.holders,
        not_searched=not_searched,
        software=f"freehold {__version__}",
        public_key=store.keys.public_key(),
    )
    return msgspec.structs.replace(receipt, signature=store.keys.sign(receipt_bytes(receipt)))


def read_receipt(path: Path) -> Receipt:
    """The receipt in a file.

    Raises:
        RequestError: the file cannot be read, or holds no receipt.
    """
    try:
        return _decoder.decode(path.read_bytes())
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror}.", "Give the file with the receipt.") from error
    except msgspec.DecodeError as error:
        raise RequestError(
            f"{path} holds no receipt: {error}.", "Give the file as `freehold forget` wrote it."
        ) from error


def check_receipt(receipt: Receipt, public_key: str) -> None:
    """Check that a receipt is what the holder of `public_key` (64 hex digits) signed.

    Raises:
        CertificateError: it is not.
    """
    if receipt.public_key != public_key:
        raise CertificateError(
            f"Receipt {receipt.receipt_id} names the key {receipt.public_key[:16]}…, not {public_key[:16]}….",
            "It was issued elsewhere: give the public key that you trust with --key-file FILE.",
        )
    if not verify(public_key, receipt_bytes(receipt), receipt.signature):
        raise CertificateError(
            f"The signature of receipt {receipt.receipt_id} does not hold: it was changed after it was issued.",
            "Do not rely on it: `freehold forget list` shows the receipts that were issued here.",
        )


def is_about(store: Store, receipt: Receipt, kind: ErasureKind, value: str) -> bool:
    """Whether a receipt of this installation is about that name.

    Raises:
        StoreError: the signing key cannot be read.
    """
    return receipt.kind == kind and hmac.compare_digest(receipt.who, mark(store.keys.derive(PURPOSE), kind, value))
