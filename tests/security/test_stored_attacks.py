"""Attacks by way of what is stored: tenants' ids, names of files, bodies that are packed."""

from __future__ import annotations

import gzip
import hashlib
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import pytest
from chaos import JSON

from freehold.config import UpstreamSettings
from freehold.domain.errors import StudentError
from freehold.domain.ids import is_id, new_id
from freehold.domain.traces import Feedback, Trace
from freehold.record.derive import Deriver
from freehold.record.sealer import Sealer
from freehold.store import Store
from freehold.store.artifacts import MANIFEST, TENSORS, read_student, write_student
from freehold.store.traces.read import read_feedback


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def trace_by(key: str | None) -> Trace:
    return Trace(trace_id=new_id("tr"), at_ns=1, key=key, status=200, request=b"{}", response=JSON)


def feedback_by(key: str | None, trace: Trace, at_ns: int) -> Feedback:
    return Feedback(feedback_id=new_id("fb"), trace_id=trace.trace_id, at_ns=at_ns, score=0.0, key=key)


@pytest.mark.parametrize("sealed", ["nothing", "traces", "all"])
def test_a_tenant_does_not_judge_anothers_traces(tmp_path: Path, sealed: str) -> None:
    """IDOR: ids sort by time and are shown in headers; knowing one gives no say about it."""
    by_a, by_b, by_none = trace_by("vk_a"), trace_by("vk_b"), trace_by(None)
    unknown = trace_by("vk_a")
    given = [
        feedback_by(key, trace, at_ns)
        for at_ns, (key, trace) in enumerate(
            (key, trace) for trace in (by_a, by_b, by_none, unknown) for key in ("vk_a", "vk_b", None, "", "*")
        )
    ]
    with closing(Store.open(tmp_path, f"sqlite:///{tmp_path / 'control.sqlite'}")) as store:
        with closing(store.open_journal()) as journal:
            for record in (by_a, by_b, by_none) if sealed != "all" else (by_a, by_b, by_none, *given):
                journal.append(record)
        if sealed != "nothing":
            Sealer(store, {}).seal_once()
        if sealed != "all":
            with closing(store.open_journal()) as journal:
                for record in given:
                    journal.append(record)
        counted = read_feedback(store).select("trace_id", "key").rows()
        only_b = read_feedback(store, trace_ids=[by_b.trace_id]).select("key").to_series().to_list()
    own = {(trace.trace_id, None) for trace in (by_a, by_b, by_none, unknown)}
    assert sorted(counted, key=str) == sorted(own | {(by_a.trace_id, "vk_a"), (by_b.trace_id, "vk_b")}, key=str)
    assert sorted(only_b, key=str) == [None, "vk_b"]


@pytest.mark.parametrize(
    "name", ["../outside.safetensors", "/etc/hostname", "..", ".", "a/../../outside.safetensors", "\0"]
)
def test_a_manifest_names_no_file_outside_its_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "student"
    write_student(folder, {"kind": "classifier"}, {"weights": np.zeros(3, np.float32)})
    outside = (folder / TENSORS).read_bytes()
    (tmp_path / "outside.safetensors").write_bytes(outside)
    files = {TENSORS: sha256(outside), name: sha256(outside)}
    manifest = msgspec.json.encode({"kind": "classifier", "files": files})
    (folder / MANIFEST).write_bytes(manifest)
    with pytest.raises(StudentError):
        read_student(folder, sha256(manifest))


def test_ids_are_never_paths() -> None:
    for text in (
        "../x",
        "tr_../../etc",
        "tr_0123456789abcdef/..",
        "tr_0123456789abcdef\n",
        "tr_%2e%2e%2f",
        "tr_" + "0" * 80,
    ):
        assert not is_id(text)


def test_packed_answers_are_not_unpacked_when_they_are_read(tmp_path: Path) -> None:
    """An answer that claims to be small: what is derived from it is derived from its bytes."""
    packed = gzip.compress(gzip.compress(bytes(200_000_000), 1), 9)
    assert len(packed) < 20_000
    trace = Trace(trace_id=new_id("tr"), at_ns=1, status=200, answered_by="main/m", request=JSON, response=packed)
    derived = Deriver({"main": UpstreamSettings(base_url="http://127.0.0.1:1/v1")})(trace)
    assert len(msgspec.json.encode(msgspec.to_builtins(derived))) < 100_000
