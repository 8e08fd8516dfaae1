"""The keys that journal segments are encrypted with. Only what encrypts or decrypts loads the crypto library.

A key is 32 random bytes in base64. Of several, separated by commas or white space, the first one writes and all of them
read: put a new one in front, and drop an old one once nothing that it wrote is left (`freehold journal check`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Sequence

from freehold.domain.errors import ConfigError, JournalLocked

KEY_BYTES = 32
KEY_ID_BYTES = 8


class JournalKeys:
    """Keys by their ids; `writing` is the id of the one that writes. Its text shows ids only."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        """Keys of `KEY_BYTES` bytes each, the one that writes first."""
        self._secrets = {key_id(secret): secret for secret in secrets}
        self.writing = key_id(secrets[0])

    @classmethod
    def parse(cls, text: str, where: str) -> JournalKeys:
        """The keys in `text`, which comes from `where` (for messages; `text` itself is never shown).

        Raises:
            ConfigError: it holds none, or something that is no key.
        """
        secrets = [_decoded(part) for part in text.replace(",", " ").split()]
        if not secrets or None in secrets:
            raise ConfigError(
                f"{where} does not hold a key of the journal.",
                "`freehold journal key` makes one: 32 random bytes in base64. Separate several by commas.",
            )
        return cls([secret for secret in secrets if secret is not None])

    @property
    def ids(self) -> list[str]:
        """The ids of all keys, in hex, the one that writes first."""
        return [found.hex() for found in self._secrets]

    def secret(self, wanted: bytes) -> bytes | None:
        """The key of this id; None if it is not here."""
        return self._secrets.get(wanted)

    def __repr__(self) -> str:
        return f"JournalKeys({', '.join(self.ids)})"


def new_key() -> str:
    """A new key, as it is put in an environment variable or a keyring."""
    return base64.b64encode(os.urandom(KEY_BYTES)).decode()


def key_id(secret: bytes) -> bytes:
    """What names a key in the frames it wrote: the first bytes of a digest, which says nothing else about it."""
    return hashlib.sha256(b"freehold journal key id\0" + secret).digest()[:KEY_ID_BYTES]


def key_id_of(payload: bytes) -> bytes:
    """The id of the key that an encrypted payload is encrypted with."""
    return payload[1 : 1 + KEY_ID_BYTES]


def locked(where: str, wanted: bytes) -> JournalLocked:
    """The error for a payload whose key is not at hand."""
    return JournalLocked(
        f"The journal's {where} is encrypted with the key {wanted.hex()}, which is not at hand.",
        "Put that key behind the one that writes, after a comma, where journal.encryption_key_env or "
        "journal.encryption_keyring says; `freehold journal check` lists what it locks. Nothing is lost meanwhile.",
    )


def _decoded(text: str) -> bytes | None:
    try:
        secret = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return secret if len(secret) == KEY_BYTES else None
