"""Students' files, datasets and signatures: what was changed is noticed, and the message says which file."""

from __future__ import annotations

import stat
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from freehold.domain.errors import Conflict, StoreError, StudentError
from freehold.domain.evidence import Sample
from freehold.store.artifacts import read_dataset, read_student, write_dataset, write_student
from freehold.store.keys import SigningKey, verify

TENSORS = {"weights": np.arange(12, dtype=np.float32).reshape(3, 4), "vocabulary": np.frombuffer(b"abc", np.uint8)}


def _samples(count: int) -> list[Sample]:
    return [
        Sample(
            trace_id=f"tr_{i:08x}",
            at_ns=i,
            prompt=f"p\0 ☃ {i}",
            answer="a",
            part="fit",
            terms="own",
            input_tokens=i,
            output_tokens=1,
            uniform=i % 2 == 0,
        )
        for i in range(count)
    ]


def test_a_student_comes_back_as_it_was_written(tmp_path: Path) -> None:
    folder = tmp_path / "students" / "st_1"
    digest = write_student(folder, {"labels": ["x", "y"]}, TENSORS)
    manifest, tensors = read_student(folder, digest)
    assert manifest["labels"] == ["x", "y"]
    assert tensors.keys() == TENSORS.keys()
    assert all(np.array_equal(tensors[name], TENSORS[name]) for name in TENSORS)
    assert write_student(folder, {"labels": ["x", "y"]}, TENSORS) == digest
    with pytest.raises(Conflict):
        write_student(folder, {"labels": ["z"]}, TENSORS)
    assert read_student(folder, digest)[0] == manifest
    assert [path.name for path in folder.parent.iterdir()] == ["st_1"]  # no drafts are left


def test_tensors_come_back_however_they_lie_in_memory(tmp_path: Path) -> None:
    weights = TENSORS["weights"]
    tensors = {"turned": weights.T, "sliced": weights[:, ::2], "fortran": np.asfortranarray(weights)}
    digest = write_student(tmp_path / "st_1", {}, tensors)
    found = read_student(tmp_path / "st_1", digest)[1]
    assert all(np.array_equal(found[name], tensors[name]) for name in tensors)


@pytest.mark.parametrize("name", ["manifest.json", "tensors.safetensors"])
def test_a_missing_or_changed_file_of_a_student_is_named(tmp_path: Path, name: str) -> None:
    digest = write_student(tmp_path / "st_1", {"labels": ["x"]}, TENSORS)
    path = tmp_path / "st_1" / name
    whole = path.read_bytes()
    for place in (0, len(whole) // 2, len(whole) - 1):
        changed = bytearray(whole)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(StudentError, match=name):
            read_student(tmp_path / "st_1", digest)
    path.unlink()
    with pytest.raises(StudentError, match=name):
        read_student(tmp_path / "st_1", digest)


def test_a_manifest_cannot_name_a_file_outside_its_folder(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"x")
    write_student(tmp_path / "st_1", {}, TENSORS)
    manifest = tmp_path / "st_1" / "manifest.json"
    body = msgspec.json.decode(manifest.read_bytes())
    body["files"]["../secret"] = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    manifest.write_bytes(msgspec.json.encode(body))
    import hashlib

    with pytest.raises(StudentError, match=r"names '../secret'"):
        read_student(tmp_path / "st_1", hashlib.sha256(manifest.read_bytes()).hexdigest())


def test_a_dataset_is_checked_row_by_row(tmp_path: Path) -> None:
    samples = _samples(50)
    digest = write_dataset(tmp_path / "ds_1", samples)
    assert read_dataset(tmp_path / "ds_1", digest) == samples
    assert write_dataset(tmp_path / "ds_2", list(reversed(samples))) != digest
    path = tmp_path / "ds_1" / "samples.parquet"
    frame = pl.read_parquet(path)
    frame.with_columns(answer=pl.when(pl.col("at_ns") == 7).then(pl.lit("b")).otherwise("answer")).write_parquet(path)
    with pytest.raises(StoreError, match="rows have changed"):
        read_dataset(tmp_path / "ds_1", digest)
    path.write_bytes(b"garbage")
    with pytest.raises(StoreError, match="cannot be read"):
        read_dataset(tmp_path / "ds_1", digest)
    path.unlink()
    with pytest.raises(StoreError, match="cannot be read"):
        read_dataset(tmp_path / "ds_1", digest)
    assert read_dataset(tmp_path / "ds_3", write_dataset(tmp_path / "ds_3", [])) == []


def test_signatures_hold_for_one_message_and_one_key(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "signing.key"
    key = SigningKey.open(path)
    signature = key.sign(b"message")
    assert verify(key.public_key(), b"message", signature)
    assert verify(SigningKey.open(path).public_key(), b"message", signature)  # the same key next time
    other = SigningKey.open(tmp_path / "other.key")
    assert not verify(other.public_key(), b"message", signature)
    assert not verify(key.public_key(), b"Message", signature)
    flipped = f"{int(signature[0], 16) ^ 1:x}{signature[1:]}"
    assert not verify(key.public_key(), b"message", flipped)
    assert not verify("zz", b"message", signature)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    secret = path.read_text().strip()
    assert secret not in repr(key)
    path.write_text(secret[:-2])
    with pytest.raises(StoreError) as caught:
        SigningKey.open(path)
    assert secret[:-2] not in str(caught.value) and caught.value.__cause__ is None
