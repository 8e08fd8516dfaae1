"""Datasets that were written before samples had provenance keep their hash, and are read."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import polars as pl
import pytest
from loop_fixtures import make_samples

from freehold.domain.errors import StoreError
from freehold.store.artifacts import dataset_sha256, read_dataset, write_dataset

OLD_FIELDS = 9
ROWS = make_samples([(f"message {n}", "yes") for n in range(9)])


def test_a_dataset_of_an_earlier_release_is_read_and_keeps_its_hash(tmp_path: Path) -> None:
    write_dataset(tmp_path / "new", ROWS)
    old = tmp_path / "old"
    old.mkdir()
    table = pl.read_parquet(tmp_path / "new" / "samples.parquet")
    table.select(table.columns[:OLD_FIELDS]).write_parquet(old / "samples.parquet")
    packed = b"".join(msgspec.msgpack.encode(msgspec.structs.astuple(row)[:OLD_FIELDS]) for row in ROWS)
    sha256 = hashlib.sha256(packed).hexdigest()
    assert read_dataset(old, sha256) == ROWS and dataset_sha256(ROWS) == sha256


def test_provenance_counts(tmp_path: Path) -> None:
    changed = [*ROWS[:-1], msgspec.structs.replace(ROWS[-1], changed="redact")]
    sha256 = write_dataset(tmp_path / "d", changed)
    assert sha256 != dataset_sha256(ROWS) and read_dataset(tmp_path / "d", sha256) == changed
    with pytest.raises(StoreError, match="have changed"):
        read_dataset(tmp_path / "d", dataset_sha256(ROWS))
