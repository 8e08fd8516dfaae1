"""Level 0: whatever is done to a release's folder is found, and said, before anything in it is believed."""

from __future__ import annotations

import os
import socket
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from freehold.domain.errors import ReleaseError, RequestError
from freehold.release.inventory import MANIFEST, SIGNATURE, ManifestFile, ReleaseManifest, canonical_json
from freehold.release.sign import signed
from freehold.release.verify.seal import Sealed, check_files, claimed_key, open_sealed, trusted_key
from freehold.release.verify.tree import Tree
from freehold.store.artifacts import sha256_of
from freehold.store.keys import SigningKey

FILES = {
    "README.md": b"# A release\n",
    "data/rows.txt": b"a" * 64 + b"\n",
    "data/twin.txt": b"b" * 64 + b"\n",
    "model/deep/weights.bin": bytes(range(256)),
    "standards/none.json": b"",
}
KEY = SigningKey(Ed25519PrivateKey.generate())


def manifest_of(files: dict[str, bytes]) -> ReleaseManifest:
    found = [
        ManifestFile(path=path, role="standard", bytes=len(data), sha256=sha256_of(data))
        for path, data in sorted(files.items())
    ]
    return ReleaseManifest(release_id="rel_1", files=tuple(found))


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def sign(folder: Path, body: bytes, key: SigningKey = KEY) -> None:
    """Sign whatever bytes the manifest has."""
    told = canonical_json({"algorithm": "ed25519", "public_key": key.public_key(), "signature": key.sign(body)})
    write(folder, {MANIFEST: body, SIGNATURE: told})


@pytest.fixture
def release(tmp_path: Path) -> Path:
    return write(tmp_path / "release", {**FILES, **signed(manifest_of(FILES), KEY)})


def fault(folder: Path, key: SigningKey = KEY) -> str:
    """What level 0 finds; empty: nothing."""
    try:
        with Tree(folder) as tree:
            check_files(open_sealed(tree, key.public_key()))
    except ReleaseError as error:
        assert error.message and error.hint, "what happened, and what to do"
        return error.message
    return ""


def test_every_change_of_every_byte_of_every_file_is_found(release: Path) -> None:
    assert fault(release) == ""
    looked_at = 0
    for path in sorted(path for path in release.rglob("*") if path.is_file()):
        whole = path.read_bytes()
        for place in range(len(whole)):
            with path.open("r+b") as file:
                # Of letters the bit of upper and lower case, which hex and names may take for the same.
                mask = 0x20 if whole[place : place + 1].isalpha() else 1 << place % 8
                os.pwrite(file.fileno(), bytes([whole[place] ^ mask]), place)
                assert fault(release), (path, place, mask)
                os.pwrite(file.fileno(), whole[place : place + 1], place)
                looked_at += 1
        for other in (whole[:-1], whole + b"\n", whole + b"\0", b" " + whole, whole[1:], whole[: len(whole) // 2]):
            if other != whole:
                path.write_bytes(other)
                assert fault(release), (path, len(other))
        path.write_bytes(whole)
    assert looked_at > 1300 and fault(release) == ""


def _swap(folder: Path) -> None:
    one, other = folder / "data/rows.txt", folder / "data/twin.txt"
    one.rename(folder / "data/tmp")
    other.rename(one)
    (folder / "data/tmp").rename(other)


def _link(folder: Path) -> None:
    (folder / "README.md").rename(folder.parent / "outside")
    (folder / "README.md").symlink_to(folder.parent / "outside")


def _link_folder(folder: Path) -> None:
    (folder / "data").rename(folder.parent / "outside")
    (folder / "data").symlink_to(folder.parent / "outside")


def _pipe(folder: Path) -> None:
    (folder / "README.md").unlink()
    os.mkfifo(folder / "README.md")


def _socket(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(folder / "extra.sock"))


def _huge(folder: Path) -> None:
    os.truncate(folder / "README.md", 1 << 40)  # a sparse file: nothing could read it to its end


def _huge_manifest(folder: Path) -> None:
    os.truncate(folder / MANIFEST, 1 << 40)


HOSTILE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "added": (lambda f: (f / "data/extra.txt").write_bytes(b"x"), "is not in the manifest"),
    "hidden": (lambda f: (f / ".hidden").write_bytes(b""), "is not in the manifest"),
    "removed": (lambda f: (f / "data/rows.txt").unlink(), "data/rows.txt is missing"),
    "renamed": (lambda f: (f / "data/rows.txt").rename(f / "data/row.txt"), "data/row.txt is not in the manifest"),
    "moved": (lambda f: (f / "README.md").rename(f / "data/README.md"), "data/README.md is not in the manifest"),
    "swapped": (_swap, "was changed"),
    "empty folder": (lambda f: (f / "data/none").mkdir(), "is empty"),
    "other case": (lambda f: (f / "readme.MD").write_bytes(FILES["README.md"]), "is not in the manifest"),
    "other spelling": (lambda f: (f / unicodedata.normalize("NFD", "é")).write_bytes(b""), "normal form C"),
    "new line": (lambda f: (f / "a\nb").write_bytes(b""), "characters that no file of a release has"),
    "not UTF-8": (lambda f: (os.fsencode(f) + b"/\xff", (f / os.fsdecode(b"\xff")).write_bytes(b"")), "not UTF-8"),
    "too deep": (lambda f: (f / "/".join("abcdefghi")).mkdir(parents=True), "deeper than 8"),
    "link": (_link, "symbolic link"),
    "link to a folder": (_link_folder, "data is a symbolic link"),
    "dangling link": (lambda f: (f / "x").symlink_to("/nowhere"), "symbolic link"),
    "hard link": (lambda f: os.link(f / "README.md", f.parent / "outside"), "hard link"),
    "pipe": (_pipe, "named pipe"),
    "socket": (_socket, "a socket"),
    "huge": (_huge, "too long"),
    "huge manifest": (_huge_manifest, "more than the"),
    "cut short": (lambda f: os.truncate(f / "data/rows.txt", 3), "cut short"),
    "folder for a file": (lambda f: ((f / "README.md").unlink(), (f / "README.md" / "x").mkdir(parents=True)), "empty"),
    "no manifest": (lambda f: (f / MANIFEST).unlink(), "manifest.json cannot be opened"),
    "no signature": (lambda f: (f / SIGNATURE).unlink(), "manifest.sig cannot be opened"),
    "linked manifest": (
        lambda f: ((f / MANIFEST).rename(f.parent / "m"), (f / MANIFEST).symlink_to(f.parent / "m")),
        "without following links",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_a_folder_may_not_hold_is_named(release: Path, name: str) -> None:
    change, expected = HOSTILE[name]
    change(release)
    assert expected in fault(release)


def test_a_device_is_never_opened(release: Path) -> None:
    (release / "README.md").unlink()
    try:
        os.mknod(release / "README.md", 0o600 | 0o020000, os.makedev(1, 5))  # /dev/zero, which never ends
    except PermissionError:
        pytest.skip("only root may make a device")
    assert "character device" in fault(release)


def named(path: str, **more: Any) -> dict[str, Any]:
    return {"path": path, "role": "standard", "bytes": 0, "sha256": sha256_of(b""), **more}


def manifest_bytes(*files: dict[str, Any], **more: Any) -> bytes:
    return canonical_json({"format": "freehold-release/1", "release_id": "rel_1", "files": files, **more})


BAD_MANIFESTS: dict[str, tuple[bytes, str]] = {
    "parent": (manifest_bytes(named("../x")), "leads out of the folder"),
    "parent inside": (manifest_bytes(named("data/../../x")), "leads out of the folder"),
    "absolute": (manifest_bytes(named("/etc/passwd")), "leads out of the folder"),
    "dot": (manifest_bytes(named("./x")), "leads out of the folder"),
    "backslash": (manifest_bytes(named("data\\x")), "characters"),
    "drive": (manifest_bytes(named("C:x")), "characters"),
    "null": (manifest_bytes(named("a\0b")), "characters"),
    "right to left": (manifest_bytes(named("a\u202eb")), "characters"),
    "trailing stop": (manifest_bytes(named("x.")), "full stop"),
    "decomposed": (manifest_bytes(named(unicodedata.normalize("NFD", "é"))), "normal form C"),
    "same twice": (manifest_bytes(named("x"), named("x")), "each once"),
    "out of order": (manifest_bytes(named("y"), named("x")), "in order"),
    "same but for case": (manifest_bytes(named("X"), named("x")), "where case does not count"),
    "same on paper": (manifest_bytes(named("file"), named("ﬁle")), "where case does not count"),
    "folders in two cases": (manifest_bytes(named("A/x"), named("a/y")), "two spellings"),
    "file and folder": (manifest_bytes(named("a"), named("a/b")), "a folder and a file"),
    "itself": (manifest_bytes(named(MANIFEST)), "what cannot be"),
    "its signature": (manifest_bytes(named(SIGNATURE)), "what cannot be"),
    "fewer than no bytes": (manifest_bytes(named("x", bytes=-1)), "what cannot be"),
    "no hash": (manifest_bytes(named("x", sha256="0")), "what cannot be"),
    "unknown role": (manifest_bytes(named("x", role="secret")), "cannot be understood"),
    "more than is known": (manifest_bytes(named("x", exec=True)), "cannot be understood"),
    "other version": (manifest_bytes(format="freehold-release/2"), "of the format"),
    "spaces": (b" " + manifest_bytes(), "not written as canonical JSON"),
    "a key twice": (manifest_bytes()[:-1] + b',"release_id":"rel_2"}', "says 'release_id' twice"),
    "cut short": (manifest_bytes()[:-5], "cannot be understood"),
    "nested": (b"[" * 100_000, "cannot be understood"),
    "not UTF-8": (b"\xff\xfe", "cannot be understood"),
    "empty": (b"", "cannot be understood"),
}


@pytest.mark.parametrize("name", BAD_MANIFESTS)
def test_a_manifest_that_means_harm_is_refused_even_if_it_is_signed(release: Path, name: str) -> None:
    body, expected = BAD_MANIFESTS[name]
    sign(release, body)
    assert expected in fault(release)


def test_only_the_key_that_is_given_is_trusted(release: Path) -> None:
    attacker = SigningKey(Ed25519PrivateKey.generate())
    body = (release / MANIFEST).read_bytes()
    sign(release, body, attacker)
    assert "by another key" in fault(release) and fault(release, attacker) == ""
    # Naming the right key beside another's signature helps nobody.
    told = {"algorithm": "ed25519", "public_key": KEY.public_key(), "signature": attacker.sign(body)}
    for other, expected in (
        (told, "does not hold"),
        ({**told, "signature": KEY.sign(body).upper()}, "does not hold"),
        ({**told, "signature": KEY.sign(body)[:-2]}, "does not hold"),
        ({**told, "signature": "é" * 64}, "does not hold"),
        ({**told, "algorithm": "none"}, "cannot be understood"),
        ({**told, "public_key": "00" * 32}, "by another key"),
    ):
        (release / SIGNATURE).write_bytes(canonical_json(other))
        assert expected in fault(release), other
    assert claimed_key(release) == "00" * 32, "what the folder claims is told, and proves nothing"


def test_keys_are_read_from_hex_or_files(tmp_path: Path) -> None:
    public = KEY.public_key()
    (tmp_path / "key.pub").write_text(f"{public}\n")
    assert trusted_key(public.upper()) == trusted_key(str(tmp_path / "key.pub")) == public
    (tmp_path / "none").write_text("no key")
    (tmp_path / "image").write_bytes(b"\xff" * 1000)
    for given in (str(tmp_path / "none"), str(tmp_path / "image"), str(tmp_path), "12", "", "/dev/zero", "a\0b"):
        with pytest.raises(RequestError, match="key"):
            trusted_key(given)


def test_what_changes_while_it_is_read_or_afterwards_is_found(tmp_path: Path) -> None:
    files = {"large.bin": bytes(3 << 20), "small.txt": b"small"}
    folder = write(tmp_path / "release", {**files, **signed(manifest_of(files), KEY)})
    with Tree(folder) as tree:
        sealed: Sealed = open_sealed(tree, KEY.public_key())
        assert "All 2 files" in check_files(sealed) and sealed.read("small.txt") == b"small"

        def put_back(_: bytes) -> None:  # the same bytes, written while others read them
            with (folder / "large.bin").open("r+b") as file:
                os.pwrite(file.fileno(), b"\1", 0)
                os.pwrite(file.fileno(), b"\0", 0)
                os.utime(folder / "large.bin", ns=(1, 1))

        with pytest.raises(ReleaseError, match="changed while it was read"):
            tree.read("large.bin", 3 << 20, put_back)
        with pytest.raises(ReleaseError, match="changed while it was read"):
            tree.read("large.bin", 3 << 20, lambda _: os.truncate(folder / "large.bin", 100))
        (folder / "small.txt").write_bytes(b"other")
        with pytest.raises(ReleaseError, match=r"small\.txt was changed"):
            sealed.read("small.txt")
        (folder / "small.txt").unlink()
        (folder / "small.txt").symlink_to("/etc/hostname")
        with pytest.raises(ReleaseError, match="without following links"):
            sealed.read("small.txt")
        with pytest.raises(ReleaseError, match="has no other"):
            sealed.read("other")
        # A folder that is swapped for a link is not followed either, whatever is behind it.
        with pytest.raises(ReleaseError, match="leads out"):
            tree.read("../release/small.txt", 5)


def test_a_folder_that_is_none_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "nowhere", tmp_path / "file"):
        assert "cannot be opened" in fault(path)
    (tmp_path / "empty").mkdir()
    assert "manifest.sig cannot be opened" in fault(tmp_path / "empty")
    assert claimed_key(tmp_path / "empty") == ""
