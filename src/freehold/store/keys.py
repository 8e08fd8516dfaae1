"""The Ed25519 key this installation signs certificates and manifests with."""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from freehold.domain.errors import StoreError
from freehold.store.secret_file import make_secret, read_secret


class SigningKey:
    """Signs bytes; the private half never leaves this object. Make one with `open`."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private

    @classmethod
    def open(cls, path: Path) -> SigningKey:
        """The key in the file at `path`, made (readable by its owner only) if it is not there.

        Raises:
            StoreError: the file cannot be made or read, or does not hold a key.
        """
        try:
            if not path.exists():
                make_secret(path)
            return cls(Ed25519PrivateKey.from_private_bytes(read_secret(path)))
        except OSError as error:
            raise StoreError(
                f"The signing key {path} cannot be used: {error.strerror}.", "Check the folder."
            ) from error
        except ValueError:
            # Not chained: the original error's text could hold part of the key.
            raise StoreError(
                f"The file {path} does not hold a signing key.",
                "Put it back from a backup; or move it away for a new key, which leaves old certificates unverifiable.",
            ) from None

    def public_key(self) -> str:
        """The public half: 64 hex digits."""
        return self._private.public_key().public_bytes_raw().hex()

    def sign(self, message: bytes) -> str:
        """The signature of `message`: 128 hex digits."""
        return self._private.sign(message).hex()

    def derive(self, purpose: str) -> bytes:
        """A key of 32 bytes for one purpose, always the same, that says nothing of others (HKDF, RFC 5869)."""
        raw = self._private.private_bytes_raw()
        return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose.encode()).derive(raw)

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public_key()})"


def verify(public_key: str, message: bytes, signature: str) -> bool:
    """Whether `signature` of `message` was made by the private half of `public_key` (both in hex)."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key)).verify(bytes.fromhex(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True
