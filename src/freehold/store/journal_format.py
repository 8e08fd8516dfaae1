"""One journal frame: magic, length and CRC32 of the payload, then the payload: one MessagePack record, zstd if large.

    b"\\xf5FJ1" | payload length: u32 | CRC32 of payload: u32 | payload        (integers big-endian)

A compressed payload is told by zstd's own magic (RFC 8878, 3.1.1), which no MessagePack map begins with. Our magic lets
a reader find the next intact frame after damage. Pure, apart from the codecs.
"""

from __future__ import annotations

import struct
from zlib import crc32

import msgspec
import zstandard

from freehold.domain.errors import JournalCorrupt, StoreError
from freehold.domain.traces import Record

MAGIC = b"\xf5FJ1"
HEADER = struct.Struct(">4sII")
MAX_RECORD_BYTES = 64 * 1024 * 1024
"""Largest record, decompressed: what bounds a reader's memory."""
MAX_PAYLOAD_BYTES = MAX_RECORD_BYTES + MAX_RECORD_BYTES // 128
"""Largest payload: what cannot be compressed grows a little."""
COMPRESSED_FROM = 16_384
"""Records of fewer bytes are kept as they are. A segment lives only until it is sealed, so CPU counts more than size:
of the 12 µs that the append of a 2 KB record took, compressing took 4."""
LEVEL = -1
"""zstd level: measured on 4 KB records, an append cost 24–27 µs of CPU at level -1, 31–36 at 1 and 38–51 at 3, for 2.8,
2.0 and 2.0 KB."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Record)


class FrameCodec:
    """Encodes and decodes frames. Holds zstd contexts, so: one per thread of use."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=LEVEL)
        self._decompressor = zstandard.ZstdDecompressor()

    def encode(self, record: Record) -> bytes:
        """The whole frame of `record`.

        Raises:
            StoreError: the record is larger than `MAX_RECORD_BYTES`.
        """
        packed = _encoder.encode(record)
        if len(packed) > MAX_RECORD_BYTES:
            raise StoreError(
                f"A record of {len(packed)} bytes is over the journal's limit of {MAX_RECORD_BYTES}.",
                "Lower gateway.max_body_bytes or gateway.max_recorded_response_bytes.",
            )
        payload = packed if len(packed) < COMPRESSED_FROM else self._compressor.compress(packed)
        return HEADER.pack(MAGIC, len(payload), crc32(payload)) + payload

    def decode(self, payload: bytes, checksum: int) -> Record:
        """The record in `payload`.

        Raises:
            JournalCorrupt: the checksum, the compression or the record in it is not intact.
        """
        if crc32(payload) != checksum:
            raise JournalCorrupt("A journal frame's checksum does not match its bytes.", "The frame is skipped.")
        try:
            return _decoder.decode(self._unpack(payload))
        except (zstandard.ZstdError, msgspec.DecodeError) as error:
            raise JournalCorrupt(f"A journal frame does not decode: {error}.", "The frame is skipped.") from error

    def _unpack(self, payload: bytes) -> bytes:
        if not payload.startswith(zstandard.FRAME_HEADER):
            return payload
        # The size is read from the zstd header first: decompressing allocates whatever it claims.
        if zstandard.frame_content_size(payload) > MAX_RECORD_BYTES:
            raise JournalCorrupt("A journal frame claims to be over the size limit.", "The frame is skipped.")
        return self._decompressor.decompress(payload, max_output_size=MAX_RECORD_BYTES)
