"""Encrypts journal payloads: AES-256 in Galois/Counter Mode (NIST SP 800-38D), each segment under a key of its own.

    0xc1 | id of the key: 8 bytes | nonce: 12 bytes | ciphertext | tag: 16 bytes

A segment's key comes from the configured one by HKDF-SHA256 (RFC 5869) over the worker's id and the segment's number,
and the frame's offset is authenticated with it, so a frame that was moved elsewhere does not decrypt. A nonce is eight
random bytes, drawn when the segment is opened, and a counter that never goes back, not even where a half-written frame
was taken back. SP 800-38D's limit of 2^32 invocations under one key so bounds a segment (which ends before that), and
not the life of the configured key.

What this protects: prompts and answers in the journal from whoever gets hold of the disk, a backup or a quarantined
copy. What it does not: sealing decrypts into the trace table, which is not encrypted by Freehold (keep the data folder
on an encrypted volume, or the table in a bucket with encryption); sizes and times stay visible; and who can write to
the folder can still remove frames from its end, or add ones that are not encrypted.
"""

from __future__ import annotations

import os
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from freehold.domain.errors import JournalCorrupt
from freehold.store.journal.format import ENCRYPTED
from freehold.store.journal.keys import KEY_BYTES, KEY_ID_BYTES, JournalKeys, key_id_of, locked

_NONCE = struct.Struct(">8sI")
_OFFSET = struct.Struct(">Q")
_HEAD_BYTES = 1 + KEY_ID_BYTES + _NONCE.size
OVERHEAD = _HEAD_BYTES + 16
"""Bytes by which a payload grows."""
MOST_FRAMES = 2**32


class SegmentCipher:
    """Encrypts and decrypts the payloads of one segment. Not thread-safe.

    Args:
        keys: the configured ones.
        worker: the id of the worker whose segment it is.
        segment: the segment's number.
    """

    def __init__(self, keys: JournalKeys, worker: str, segment: int) -> None:
        self._keys = keys
        self._info = f"freehold journal/{worker}/{segment}".encode()
        self._where = f"segment {segment} of {worker}"
        self._ciphers: dict[bytes, AESGCM] = {}
        self._head = ENCRYPTED + keys.writing
        self._prefix = os.urandom(8)
        self._count = 0

    @property
    def spent(self) -> bool:
        """Whether this segment's key may encrypt no more."""
        return self._count >= MOST_FRAMES

    def encrypt(self, payload: bytes, offset: int) -> bytes:
        """The encrypted payload of the frame that begins at `offset` of the segment; not once it is `spent`."""
        nonce = _NONCE.pack(self._prefix, self._count)
        self._count += 1
        return self._head + nonce + self._cipher(self._keys.writing).encrypt(nonce, payload, _OFFSET.pack(offset))

    def decrypt(self, payload: bytes, offset: int) -> bytes:
        """What `encrypt` was given.

        Raises:
            JournalLocked: the key is not one of these.
            JournalCorrupt: it was changed, or does not belong at this place.
        """
        nonce = payload[1 + KEY_ID_BYTES : _HEAD_BYTES]
        cipher = self._cipher(key_id_of(payload))
        try:
            return cipher.decrypt(nonce, payload[_HEAD_BYTES:], _OFFSET.pack(offset))
        except (InvalidTag, ValueError) as error:  # ValueError: too short to hold a nonce or a tag
            raise JournalCorrupt(
                f"A frame of {self._where} at offset {offset} does not decrypt: it was changed or moved.",
                "The frame is skipped.",
            ) from error

    def _cipher(self, wanted: bytes) -> AESGCM:
        found = self._ciphers.get(wanted)
        if found is None:
            secret = self._keys.secret(wanted)
            if secret is None:
                raise locked(self._where, wanted)
            derived = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=self._info).derive(secret)
            found = self._ciphers[wanted] = AESGCM(derived)
        return found
