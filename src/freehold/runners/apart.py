"""A process that can reach nobody: cut off the network by the system where it lets it, else by Python alone."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from pathlib import Path

from freehold.domain.errors import ReleaseError

_NEW_USER = 0x10000000
_NEW_NET = 0x40000000
_GET_FLAGS, _SET_FLAGS = 0x8913, 0x8914
_UP = 1
"""See netdevice(7)."""
_SOCKETS = frozenset(("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo"))


def cut_off() -> str:
    """Take the network from this process for good; a sentence that says how.

    A process of its own is needed, with one thread: call it before anything that starts others is imported (see
    unshare(2)). In a network namespace of its own there is no device, not even a loopback that is up. Where the system
    refuses one, Python is told to refuse every connection, which binds code in Python only.
    """
    refused = _unshared()
    if not refused:
        return "cut off by the system, in a network namespace of its own"
    sys.addaudithook(_refuse)
    return f"refused by Python alone: this system gives no network namespace ({refused})"


def open_loopback() -> None:
    """Let the processes that this one starts reach each other in its own network namespace, and nobody else.

    Workers that train together meet over the loopback device, which is down in a new namespace. Where there is none,
    or it is up, nothing changes.
    """
    if not sys.platform.startswith("linux"):
        return
    import fcntl
    import socket
    import struct

    name = struct.pack("16sh22x", b"lo", 0)
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        [flags] = struct.unpack_from("h", fcntl.ioctl(any_socket, _GET_FLAGS, name), 16)
        if not flags & _UP:
            fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh22x", b"lo", flags | _UP))


def _unshared() -> str:
    """Move into a network namespace of its own; why that failed, else empty."""
    if not sys.platform.startswith("linux"):
        return "it is not Linux"
    library = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if library.unshare(_NEW_NET) == 0:  # as root may
        return ""
    if library.unshare(_NEW_USER | _NEW_NET) != 0:  # as everybody may where user namespaces are allowed
        return os.strerror(ctypes.get_errno())
    # Who one is need not change: files are opened as before, and their owners still have names.
    with contextlib.suppress(OSError):
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")
    return ""


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event in _SOCKETS:
        raise ReleaseError(f"Verifying reaches for the network ({event}), which it never may.", "Report this.")
