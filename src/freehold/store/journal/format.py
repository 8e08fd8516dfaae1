"""One journal frame: a header, then its payload: one record as MessagePack, zstd if large, AES-256-GCM if asked for.

    b"\\xf5FJ2" | payload length: u32 | salt: 4 bytes | CRC32: u32 | payload          (integers big-endian)

The CRC is of length, salt and payload. A zstd payload is told by zstd's own magic (RFC 8878), an encrypted one by the
byte 0xc1; no MessagePack map begins with either. `GAP` bytes in place of frames are what repair leaves of damage.
Frames of the first format (`\\xf5FJ1`, without a salt; CRC of the payload alone) are still read.

After damage a reader finds the next frame by the magic and by the salt, which is drawn for each segment: callers choose
what is in a record, and could write a frame's likeness into one, but not with a salt that they cannot know. (Where the
damage is in the segment's first frame, the salt is lost with it, and any intact frame after it counts.)
"""

from __future__ import annotations

import os
import struct
from zlib import crc32

import msgspec
import zstandard

from freehold.domain.errors import JournalCorrupt, StoreError
from freehold.domain.traces import Record

MAGIC = b"\xf5FJ2"
HEADER = struct.Struct(">4sI4sI")
_CHECKED = struct.Struct(">I4s")
FIRST_MAGIC = b"\xf5FJ1"
FIRST_HEADER = struct.Struct(">4sII")
ANY_MAGIC = b"\xf5FJ"
GAP = b"\xa5"
ENCRYPTED = b"\xc1"
SALT_BYTES = 4
MAX_RECORD_BYTES = 64 * 1024 * 1024
"""Largest record, decompressed: what bounds a reader's memory."""
MAX_PAYLOAD_BYTES = MAX_RECORD_BYTES + MAX_RECORD_BYTES // 128
"""Largest payload: what cannot be compressed grows a little, and so does what is encrypted."""
COMPRESSED_FROM = 16_384
"""Records of fewer bytes are kept as they are: see docs/adr/0011."""
LEVEL = -1
"""zstd level: measured on 4 KB records, an append cost 24–27 µs of CPU at level -1, 31–36 at 1 and 38–51 at 3, for 2.8,
2.0 and 2.0 KB."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Record)


class RecordCodec:
    """Records to payloads and back. Holds zstd contexts, so: one per thread of use."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=LEVEL)
        self._decompressor = zstandard.ZstdDecompressor()

    def pack(self, record: Record) -> bytes:
        """The payload of `record`, not encrypted.

        Raises:
            StoreError: the record is larger than `MAX_RECORD_BYTES`.
        """
        packed = _encoder.encode(record)
        if len(packed) < COMPRESSED_FROM:
            return packed
        if len(packed) > MAX_RECORD_BYTES:
            raise StoreError(
                f"A record of {len(packed)} bytes is over the journal's limit of {MAX_RECORD_BYTES}.",
                "Lower gateway.max_body_bytes or gateway.max_recorded_response_bytes.",
            )
        return self._compressor.compress(packed)

    def unpack(self, payload: bytes) -> Record:
        """The record in a payload that is not encrypted.

        Raises:
            JournalCorrupt: the compression or the record in it is not intact.
        """
        try:
            return _decoder.decode(self._decompressed(payload))
        except (zstandard.ZstdError, msgspec.DecodeError) as error:
            raise JournalCorrupt(f"A journal frame does not decode: {error}.", "The frame is skipped.") from error

    def _decompressed(self, payload: bytes) -> bytes:
        if not payload.startswith(zstandard.FRAME_HEADER):
            return payload
        # The size is read from the zstd header first: decompressing allocates whatever it claims.
        if zstandard.frame_content_size(payload) > MAX_RECORD_BYTES:
            raise JournalCorrupt("A journal frame claims to be over the size limit.", "The frame is skipped.")
        return self._decompressor.decompress(payload, max_output_size=MAX_RECORD_BYTES)


def is_encrypted(payload: bytes) -> bool:
    """Whether a payload is encrypted."""
    return payload.startswith(ENCRYPTED)


def new_salt() -> bytes:
    """A salt for a new segment."""
    return os.urandom(SALT_BYTES)


def frame_of(payload: bytes, salt: bytes) -> bytes:
    """The whole frame of `payload`."""
    return HEADER.pack(MAGIC, len(payload), salt, checksum(payload, salt)) + payload


def checksum(payload: bytes, salt: bytes) -> int:
    """The CRC32 of a frame: of its length, its salt and its payload."""
    return crc32(payload, crc32(_CHECKED.pack(len(payload), salt)))
