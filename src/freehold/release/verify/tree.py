"""What lies in a folder that nobody trusts, and reading it: no link is ever followed, no device ever opened.

Every name is opened relative to its folder's descriptor without following links (`openat` with `O_NOFOLLOW`), so that
nothing that is swapped in meanwhile leads out of the folder.
"""

from __future__ import annotations

import hashlib
import os
import stat
import unicodedata
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from freehold.domain.errors import ReleaseError

MAX_DEPTH = 8
MAX_FILES = 100_000
_CHUNK = 1 << 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without blocking: a named pipe that was swapped in for a file would wait for a writer for ever.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_KINDS = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
)
GET_ANOTHER = "Do not use this folder; get the release again, and its public key from somebody you trust."


def path_fault(path: str) -> str:
    """What is wrong with the path of a release's file; empty if nothing is.

    A path is relative, of `/`-separated names in Unicode's normal form C, of which none is `.` or `..`, holds a
    backslash, a colon or what does not print, or begins or ends with what file systems drop.
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        return "is not UTF-8"
    if unicodedata.normalize("NFC", path) != path:
        return "is not in Unicode's normal form C"
    if not path.isprintable() or "\\" in path or ":" in path:
        return "holds characters that no file of a release has"
    names = path.split("/")
    if len(names) > MAX_DEPTH:
        return f"is deeper than {MAX_DEPTH} folders"
    if any(name in ("", ".", "..") for name in names):
        return "leads out of the folder, or is not in its shortest form"
    if any(name != name.strip() or name.endswith(".") for name in names):
        return "begins or ends with a space or a full stop"
    return ""


def folded(path: str) -> str:
    """Paths that fold to the same text are one file on some file systems."""
    return unicodedata.normalize("NFKC", path).casefold()


class Tree:
    """A folder, open for reading; use as a context manager.

    Raises:
        ReleaseError: it is no folder, or cannot be opened.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self._root = os.open(folder, _FOLDER & ~os.O_NOFOLLOW)
        except OSError as error:
            raise ReleaseError(
                f"The release {folder} cannot be opened: {error.strerror}.", "Give the folder of a release."
            ) from error

    def __enter__(self) -> Tree:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._root)

    def files(self) -> Iterator[str]:
        """Paths of all files, folder by folder.

        Raises:
            ReleaseError: something is neither a file with one name nor a folder with something in it.
        """
        for count, path in enumerate(self._below("", self._root)):
            if count >= MAX_FILES:
                raise ReleaseError(f"{self.folder} holds more than {MAX_FILES} files.", GET_ANOTHER)
            yield path

    def _below(self, prefix: str, folder: int) -> Iterator[str]:
        """Paths below an open folder."""
        with self._told(prefix or ".", "listed"), os.scandir(folder) as found:
            entries = sorted((entry.name, entry.stat(follow_symlinks=False)) for entry in found)
        if not entries:
            raise ReleaseError(f"The folder {prefix or self.folder} is empty: a release has none.", GET_ANOTHER)
        for name, known in entries:
            path = prefix + name
            fault = path_fault(path)
            if fault:
                raise ReleaseError(f"The path {path!r} {fault}.", GET_ANOTHER)
            if stat.S_ISDIR(known.st_mode):
                with self._opened(name, folder, _FOLDER, path) as inner:
                    yield from self._below(f"{path}/", inner)
            else:
                check_plain(path, known)
                yield path

    def read(self, path: str, size: int, take: Callable[[bytes], object] | None = None) -> str:
        """The SHA-256 of a file of `size` bytes, each chunk of it given to `take`; and nothing but what was hashed is.

        Raises:
            ReleaseError: it is missing, no plain file, of another size, or changed while it was read.
        """
        digest = hashlib.sha256()
        with self._file(path) as file:
            before = os.fstat(file)
            check_plain(path, before)
            if before.st_size != size:
                what = "cut short" if before.st_size < size else "too long"
                raise ReleaseError(f"{path} is {what}: {before.st_size} bytes, not {size}.", GET_ANOTHER)
            left = size
            with self._told(path, "read"):
                while left and (chunk := os.read(file, min(left, _CHUNK))):
                    left -= len(chunk)
                    digest.update(chunk)
                    if take is not None:
                        take(chunk)
            if left or _state(os.fstat(file)) != _state(before):
                raise ReleaseError(f"{path} was changed while it was read.", "Let nothing write there; verify again.")
        return digest.hexdigest()

    def small(self, path: str, limit: int) -> bytes:
        """All of a file of at most `limit` bytes.

        Raises:
            ReleaseError: as `read` does, or it is larger.
        """
        with self._file(path) as file:
            size = os.fstat(file).st_size
        if size > limit:
            raise ReleaseError(f"{path} has {size} bytes: more than the {limit} that it may have.", GET_ANOTHER)
        data = bytearray()
        self.read(path, size, data.extend)
        return bytes(data)

    @contextmanager
    def _file(self, path: str) -> Generator[int]:
        """A file, opened name by name."""
        fault = path_fault(path)
        if fault:
            raise ReleaseError(f"The path {path!r} {fault}.", GET_ANOTHER)
        first, _, rest = path.partition("/")
        with self._descend(first, rest, self._root, path) as file:
            yield file

    @contextmanager
    def _descend(self, name: str, rest: str, folder: int, path: str) -> Generator[int]:
        if not rest:
            with self._opened(name, folder, _FILE, path) as file:
                yield file
            return
        with self._opened(name, folder, _FOLDER, path) as inner:
            first, _, further = rest.partition("/")
            with self._descend(first, further, inner, path) as file:
                yield file

    @contextmanager
    def _opened(self, name: str, folder: int, flags: int, path: str) -> Generator[int]:
        with self._told(path, "opened without following links"):
            opened = os.open(name, flags, dir_fd=folder)
        try:
            yield opened
        finally:
            os.close(opened)

    @contextmanager
    def _told(self, path: str, what: str) -> Generator[None]:
        try:
            yield
        except OSError as error:
            raise ReleaseError(
                f"{path} cannot be {what}: {error.strerror}.", f"Look at it in {self.folder}; get the release again."
            ) from error


def check_plain(path: str, known: os.stat_result) -> None:
    """Raise ReleaseError unless it is a plain file with one name."""
    for is_kind, kind in _KINDS:
        if is_kind(known.st_mode):
            raise ReleaseError(f"{path} is {kind}: a release has plain files only.", GET_ANOTHER)
    if not stat.S_ISREG(known.st_mode):
        raise ReleaseError(f"{path} is no plain file.", GET_ANOTHER)
    if known.st_nlink != 1:
        raise ReleaseError(
            f"{path} is a hard link: {known.st_nlink} names lead to it, and it could be changed by another.",
            "Copy the release's folder, and verify the copy.",
        )


def _state(known: os.stat_result) -> tuple[int, ...]:
    return known.st_dev, known.st_ino, known.st_size, known.st_mtime_ns, known.st_ctime_ns
