"""A release's folder appears whole or not at all, and what a dead build left behind goes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from freehold.domain.errors import Conflict, StoreError
from freehold.release.inventory import ReleaseManifest
from freehold.release.layout import Copied, drafted, publish, read_inventory, write_file
from freehold.release.sign import key_at, signed
from freehold.store.artifacts import sha256_of
from freehold.store.keys import SigningKey, verify

HOLD = """
import sys
from pathlib import Path
from freehold.release.layout import drafted, write_file
with drafted(Path(sys.argv[1])) as draft:
    write_file(draft, "a/b.txt", b"half")
    print("ready", flush=True)
    sys.stdin.read()
"""


def names(folder: Path) -> list[str]:
    """What is in a folder, hidden or not."""
    return sorted(path.name for path in folder.iterdir())


def test_a_published_draft_is_there_whole_and_the_draft_is_gone(tmp_path: Path) -> None:
    source = tmp_path / "weights"
    source.write_bytes(bytes(range(256)) * 10_000)
    with drafted(tmp_path / "deep" / "out") as draft:
        assert write_file(draft, "model/w", Copied(source, sha256_of(source.read_bytes()))) == (
            2_560_000,
            sha256_of(source.read_bytes()),
        )
        assert write_file(draft, "NOTICE", b"x") == (1, sha256_of(b"x"))
        assert names(tmp_path / "deep") != ["out"]
        publish(draft, tmp_path / "deep" / "out")
    assert names(tmp_path / "deep") == ["out"]
    assert (tmp_path / "deep" / "out" / "model" / "w").read_bytes() == source.read_bytes()


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="gone"), drafted(tmp_path / "out") as draft:
        write_file(draft, "a", b"1")
        write_file(draft, "b", Copied(tmp_path / "gone"))
    assert names(tmp_path) == []


def test_a_copy_of_another_file_than_was_checked_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(b"other")
    with pytest.raises(StoreError, match="was changed while it was copied"), drafted(tmp_path / "out") as draft:
        write_file(draft, "w", Copied(tmp_path / "w", sha256_of(b"weights")))
    assert names(tmp_path) == ["w"]


@pytest.mark.parametrize("kind", ["folder", "file", "dangling link"])
def test_what_is_there_stays_as_it_is(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    if kind == "folder":
        out.mkdir()
    elif kind == "file":
        out.write_text("mine")
    else:
        out.symlink_to(tmp_path / "nowhere")
    before = os.lstat(out)
    with pytest.raises(Conflict), drafted(out):
        pass
    assert os.lstat(out) == before
    assert names(tmp_path) == ["out"]


def test_a_place_taken_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(Conflict), drafted(tmp_path / "out") as draft:
        (tmp_path / "out").mkdir()
        publish(draft, tmp_path / "out")
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == []


def test_drafts_of_dead_builds_go_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path / "out")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        (held,) = names(tmp_path)
        with drafted(tmp_path / "other"):
            assert held in names(tmp_path)
        child.send_signal(signal.SIGKILL)
        child.wait(timeout=10)
    assert names(tmp_path) == [held]
    with drafted(tmp_path / "other"):
        assert held not in names(tmp_path)
    assert names(tmp_path) == []


def test_the_signature_is_over_the_very_bytes_and_by_the_key_that_was_given(tmp_path: Path) -> None:
    key = SigningKey.open(tmp_path / "key")
    files = signed(ReleaseManifest(release_id="rel_1", files=()), key_at(tmp_path / "key"))
    assert files["manifest.json"] == b'{"files":[],"format":"freehold-release/1","release_id":"rel_1"}'
    parts = files["manifest.sig"].decode().split('"')
    assert parts[1::2][:2] == ["algorithm", "ed25519"]
    assert verify(key.public_key(), files["manifest.json"], parts[-2])
    assert not verify(key.public_key(), files["manifest.json"] + b" ", parts[-2])
    with pytest.raises(StoreError, match="no signing key"):
        key_at(tmp_path / "none")
    assert names(tmp_path) == ["key"]  # none was made


def test_a_folder_that_is_no_release_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"inventory\.json: No such file"):
        read_inventory(tmp_path)
    (tmp_path / "inventory.json").write_text("{}")
    with pytest.raises(StoreError, match="not what a release has there"):
        read_inventory(tmp_path)
