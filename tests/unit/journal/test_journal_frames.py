"""What a reader makes of a segment that was cut, flipped, moved or forged, encrypted or not."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_fixtures import KEYS, OTHER_KEYS, OTHER_SECRET, SECRET, trace, write

from freehold.domain.errors import JournalLocked, StoreError
from freehold.domain.traces import Trace
from freehold.store import JournalWriter
from freehold.store.journal import cipher as journal_cipher
from freehold.store.journal.folder import segment_path
from freehold.store.journal.format import FIRST_HEADER, FIRST_MAGIC, GAP, HEADER, frame_of, new_salt
from freehold.store.journal.keys import JournalKeys
from freehold.store.journal.options import JournalOptions
from freehold.store.journal.read import read_segment
from freehold.store.journal.scan import SegmentScan

PLAIN, ENCRYPTED = JournalOptions(), JournalOptions(keys=KEYS)
BOTH = pytest.mark.parametrize("options", [PLAIN, ENCRYPTED], ids=["plain", "encrypted"])


class Segment(NamedTuple):
    """A segment, what is in it, and where each frame begins; the last number is its length."""

    whole: bytes
    records: list[Trace]
    starts: list[int]


def segment(options: JournalOptions, sizes: Sequence[int] = (300, 20, 20_000, 500, 40)) -> Segment:
    records = [trace(number, size) for number, size in enumerate(sizes)]
    with tempfile.TemporaryDirectory() as name:
        write(Path(name) / "wk_1", records, options)
        path = segment_path(Path(name) / "wk_1", 1)
        return Segment(path.read_bytes(), records, [0, *(frame.end for frame in SegmentScan(path))])


MADE = {options: segment(options) for options in (PLAIN, ENCRYPTED)}


def read_back(content: bytes, options: JournalOptions, folder: Path, offset: int = 0):
    path = segment_path(folder, 1)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    read = read_segment(path, offset, keys=options.keys)
    return read, [record for _, record in read]


@BOTH
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_what_was_not_touched_is_read_and_nothing_else(options: JournalOptions, data: st.DataObject) -> None:
    made = MADE[options]
    place = st.integers(0, len(made.whole) - 1) | st.sampled_from(made.starts[:-1]).flatmap(
        lambda start: st.integers(start, start + HEADER.size + 12)
    )
    flips = data.draw(st.lists(st.tuples(place, st.integers(1, 255)), min_size=1, max_size=6))
    damaged = bytearray(made.whole)
    for at, mask in flips:
        damaged[at] ^= mask
    cut = data.draw(st.integers(0, len(damaged)) | st.just(len(damaged)))
    with tempfile.TemporaryDirectory() as name:
        read, found = read_back(bytes(damaged[:cut]), options, Path(name) / "wk_1")
    intact = [
        record
        for record, (start, end) in zip(made.records, pairwise(made.starts), strict=True)
        if end <= cut and bytes(damaged[start:end]) == made.whole[start:end]
    ]
    assert found == intact
    bad = [*read.damage, *([read.bad_tail] if read.bad_tail else [])]
    assert sum(item.length for item in bad) <= cut
    assert all(a.offset + a.length <= b.offset for a, b in pairwise(sorted(bad, key=lambda item: item.offset)))


@BOTH
def test_every_cut_of_the_last_frame_is_half_a_frame(tmp_path: Path, options: JournalOptions) -> None:
    made = MADE[options]
    for length in range(made.starts[-2], made.starts[-1]):
        read, found = read_back(made.whole[:length], options, tmp_path / "wk_1")
        assert (found, read.torn) == (made.records[:-1], length > made.starts[-2])
        assert (read.damage, read.bad_tail) == ([], None)


def test_half_a_frame_that_others_follow_costs_nothing_else(tmp_path: Path) -> None:
    """As when a disk was full, and half a frame could not be taken back."""
    made = MADE[PLAIN]
    start, end = made.starts[2:4]
    for length in (1, HEADER.size - 1, HEADER.size, HEADER.size + 100):
        content = made.whole[: start + length] + made.whole[end:]
        _, found = read_back(content, PLAIN, tmp_path / "wk_1")
        assert found == made.records[:2] + made.records[3:]


@pytest.mark.parametrize("hidden", [0, 1, 2], ids=["in the first", "in between", "in the last"])
def test_a_frame_written_into_a_request_is_not_taken_for_one(tmp_path: Path, hidden: int) -> None:
    """Whoever may send a request must not put words into anybody's mouth, should the disk fail there."""
    forged = msgspec.msgpack.encode(trace(body=b"never asked"))
    bait = b"".join(
        [
            frame_of(forged, new_salt()),
            FIRST_HEADER.pack(FIRST_MAGIC, len(forged), __import__("zlib").crc32(forged)),
            forged,
        ]
    )
    records = [trace(number, body=bait if number == hidden else b"") for number in range(3)]
    write(tmp_path / "wk_1", records, PLAIN)
    path = segment_path(tmp_path / "wk_1", 1)
    starts = [0, *(frame.end for frame in SegmentScan(path))]
    content = bytearray(path.read_bytes())
    content[starts[hidden] + 5] ^= 0xFF  # the length in the header
    _, found = read_back(bytes(content), PLAIN, tmp_path / "wk_1")
    forged_found = [record for record in found if record not in records]
    if hidden:
        assert found == [record for record in records if record is not records[hidden]]
    else:  # the salt is learned from what is damaged here, so nothing vouches for the likeness but its own checksum
        assert len(forged_found) <= 2 and found[-2:] == records[1:]


def test_frames_of_the_first_format_are_read_and_may_be_followed_by_others(tmp_path: Path) -> None:
    from zlib import crc32

    records = [trace(number) for number in range(4)]
    payloads = [msgspec.msgpack.encode(record) for record in records]
    content = b"".join(FIRST_HEADER.pack(FIRST_MAGIC, len(p), crc32(p)) + p for p in payloads)
    assert read_back(content, PLAIN, tmp_path / "wk_1")[1] == records
    length = FIRST_HEADER.size + len(payloads[0])
    damaged = bytearray(content)
    damaged[length + 6] ^= 1
    read, found = read_back(bytes(damaged), PLAIN, tmp_path / "wk_1")
    assert found == [records[0], *records[2:]]
    assert [item.offset for item in read.damage] == [length]
    assert read_back(content, PLAIN, tmp_path / "wk_1", offset=length)[1] == records[1:]


def test_gaps_are_skipped_wherever_they_lie(tmp_path: Path) -> None:
    made = MADE[PLAIN]
    parts = [made.whole[start:end] for start, end in pairwise(made.starts)]
    content = GAP * 3 + parts[0] + GAP + parts[1] + GAP * 3_000_000 + parts[2] + GAP * 12
    read, found = read_back(content, PLAIN, tmp_path / "wk_1")
    assert (found, read.damage, read.bad_tail, read.torn) == (made.records[:3], [], None, False)


def test_an_encrypted_segment_shows_nothing_and_no_nonce_comes_twice(tmp_path: Path) -> None:
    secret = b"the patient's name is Alma"
    write(tmp_path / "wk_1", [trace(body=secret)] * 200, ENCRYPTED)
    content = segment_path(tmp_path / "wk_1", 1).read_bytes()
    assert secret not in content and b"trace_id" not in content
    nonces = {frame.payload[9:21] for frame in SegmentScan(segment_path(tmp_path / "wk_1", 1))}
    assert len(nonces) == 200
    # The same worker, segment and offset again: other random bytes, so other nonces under the same derived key.
    segment_path(tmp_path / "wk_1", 1).unlink()
    write(tmp_path / "wk_1", [trace(body=secret)] * 200, ENCRYPTED)
    again = {frame.payload[9:21] for frame in SegmentScan(segment_path(tmp_path / "wk_1", 1))}
    assert len(again) == 200 and not again & nonces


def test_a_segment_ends_before_its_key_is_used_too_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_cipher, "MOST_FRAMES", 3)
    records = [trace(number) for number in range(8)]
    write(tmp_path / "wk_1", records, ENCRYPTED)
    numbers = sorted(int(path.stem) for path in (tmp_path / "wk_1").glob("*.seg"))
    assert numbers == [1, 2, 3]
    assert [len(list(SegmentScan(segment_path(tmp_path / "wk_1", number)))) for number in numbers] == [3, 3, 2]


@pytest.mark.parametrize("move", ["offset", "segment", "worker"])
def test_an_encrypted_frame_that_was_moved_is_damage(tmp_path: Path, move: str) -> None:
    made = segment(ENCRYPTED, (50, 50, 50))
    parts = [made.whole[start:end] for start, end in pairwise(made.starts)]
    if move == "offset":
        read, found = read_back(parts[1] + parts[0] + parts[2], ENCRYPTED, tmp_path / "wk_1")
        assert found == [made.records[2]]
    else:
        path = segment_path(tmp_path / ("wk_1" if move == "segment" else "wk_2"), 2 if move == "segment" else 1)
        path.parent.mkdir()
        path.write_bytes(made.whole)
        read = read_segment(path, keys=KEYS)
        assert list(read) == []
    assert sum(item.length for item in read.damage) > 0


def test_a_copy_that_was_put_aside_is_read_by_its_name(tmp_path: Path) -> None:
    made = MADE[ENCRYPTED]
    for name in ("wk_1-00000001.seg", "wk_1-00000001.seg.2"):
        (tmp_path / name).write_bytes(made.whole)
        assert [record for _, record in read_segment(tmp_path / name, keys=KEYS)] == made.records


def test_keys_are_rotated_and_a_missing_one_is_an_error_that_loses_nothing(tmp_path: Path) -> None:
    both = JournalKeys.parse(f"{OTHER_SECRET}, {SECRET}", "the test")
    assert both.writing == OTHER_KEYS.writing and len(both.ids) == 2
    old, new = [trace(1)], [trace(2)]
    write(tmp_path / "wk_1", old, ENCRYPTED)
    write(tmp_path / "wk_1", new, JournalOptions(keys=both))
    paths = [segment_path(tmp_path / "wk_1", number) for number in (1, 2)]
    assert [[record for _, record in read_segment(path, keys=both)] for path in paths] == [old, new]
    assert [record for _, record in read_segment(paths[1], keys=OTHER_KEYS)] == new
    before = paths[0].read_bytes()
    for keys in (None, OTHER_KEYS):
        with pytest.raises(JournalLocked, match=KEYS.ids[0]) as raised:
            list(read_segment(paths[0], keys=keys))
        assert "segment 1 of wk_1" in raised.value.message and SECRET not in str(raised.value)
    assert paths[0].read_bytes() == before


def test_a_record_over_the_limit_is_refused_and_the_next_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("freehold.store.journal.format.MAX_RECORD_BYTES", 20_000)
    writer = JournalWriter(tmp_path / "wk_1")
    with pytest.raises(StoreError, match="over the journal's limit"):
        writer.append(trace(1, size=30_000))
    kept = trace(2)
    writer.append(kept)
    writer.close()
    assert [record for _, record in read_segment(segment_path(tmp_path / "wk_1", 1))] == [kept]


PIECES = [
    MADE[PLAIN].whole[MADE[PLAIN].starts[1] : MADE[PLAIN].starts[2]],
    MADE[ENCRYPTED].whole[MADE[ENCRYPTED].starts[1] : MADE[ENCRYPTED].starts[2]],
    frame_of(b"", b"salt"),
    frame_of(b"\xc1 too short", b"salt"),
    frame_of(b"\x28\xb5\x2f\xfd no zstd", b"salt"),
    frame_of(b"\x93 no record", b"salt"),
    FIRST_HEADER.pack(FIRST_MAGIC, 5, 7),
    HEADER.pack(b"\xf5FJ2", 2**32 - 1, b"salt", 0),
    b"\xf5FJ",
    GAP * 7,
    bytes(100),
]


@settings(max_examples=80, deadline=None)
@given(parts=st.lists(st.sampled_from(PIECES) | st.binary(max_size=20), max_size=12), keyed=st.booleans())
def test_whatever_lies_there_reading_ends_and_invents_nothing(parts: list[bytes], keyed: bool) -> None:
    made, content = MADE[PLAIN], b"".join(parts)
    with tempfile.TemporaryDirectory() as name:
        path = segment_path(Path(name) / "wk_1", 1)
        path.parent.mkdir()
        path.write_bytes(content)
        try:
            read = read_segment(path, keys=KEYS if keyed else None)
            found = [record for _, record in read]
        except JournalLocked:
            assert not keyed or PIECES[3] in parts  # bytes that say another key's id
            return
    assert all(record == made.records[1] for record in found)
    bad = [*read.damage, *([read.bad_tail] if read.bad_tail else [])]
    assert sum(item.length for item in bad) <= len(content)
