"""Make the box and start `inside.py` in it: `python -I launch.py ISOLATE SECONDS MEMORY_MB`, the job on standard input.

With ISOLATE 1 the code gets namespaces of its own: no network (not even loopback), no process but its own, and a file
system of read-only system folders and one small writable folder in memory. It runs as a user without privileges (as
`nobody` where this one is root: the kernel counts no processes of root). Where the system gives no namespaces, this
says so and runs nothing. Limits on memory, processor time, files and processes are set in any case.

namespaces(7), user_namespaces(7), pivot_root(2), mount_setattr(2), setrlimit(2), prctl(2).
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import resource
import signal
import struct
import sys
from pathlib import Path

_NEW_NAMESPACES = 0x00020000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000  # mount, ipc, user, pid, net
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_MS_NOSUID, _MS_NODEV = 0x2, 0x4
_MNT_DETACH = 2
_SYS_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE, _ATTR_RDONLY_NOSUID = 442, -100, 0x8000, 0x1 | 0x2
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_INSIDE_ID = 1000
_NOBODY = 65534
_PROCESSES = 16
_FILE_BYTES = 16_000_000
_FOLDER_BYTES = 32_000_000
_SYSTEM = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/dev/null", "/dev/urandom")
_libc = ctypes.CDLL(None, use_errno=True)


def main() -> int:
    """Make the box, run the tests in it, and give back how they ended."""
    isolate, seconds, memory = sys.argv[1] == "1", float(sys.argv[2]), int(sys.argv[3])
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    script = str(Path(__file__).with_name("inside.py"))
    python = os.path.realpath(sys.executable)
    if isolate:
        try:
            _new_namespaces()
            script = _new_root(script)
        except OSError as error:
            sys.stdout.write(json.dumps({"no_isolation": f"{error.filename}: {error.strerror}"}) + "\n")
            return 1
    child = os.fork()  # the first process of the new process namespace: its end is the end of all in it
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if isolate:
        _become_nobody()
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _limit(seconds, memory, processes=isolate)
    os.execve(python, [python, "-sSPB", script, "tests"], {"PYTHONHASHSEED": "0"})


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def _new_namespaces() -> None:
    """Leave every namespace that reaches outside; the two ids are mapped by a helper that has stayed outside."""
    root = os.geteuid() == 0
    ready, go = os.pipe()
    parent = os.getpid()
    helper = os.fork() if root else 0
    if root and not helper:
        os.close(go)
        ok = os.read(ready, 1) == b"."
        try:
            for name in ("uid_map", "gid_map"):
                if ok:
                    Path(f"/proc/{parent}/{name}").write_text(f"0 0 1\n{_INSIDE_ID} {_NOBODY} 1\n")
        except OSError:
            ok = False
        os._exit(0 if ok else 1)
    os.close(ready)
    uid, gid = os.geteuid(), os.getegid()
    try:
        _checked(_libc.unshare(_NEW_NAMESPACES), "namespaces (unshare)")
        if not root:
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"{_INSIDE_ID} {uid} 1\n")
            Path("/proc/self/gid_map").write_text(f"{_INSIDE_ID} {gid} 1\n")
        else:
            os.write(go, b".")
    finally:
        os.close(go)
        status = os.waitpid(helper, 0)[1] if root else 0
    if status != 0:
        raise OSError(1, "the ids could not be mapped", "namespaces (uid_map)")


def _new_root(script: str) -> str:
    """Make a root of read-only system folders and a small writable one, and enter it; where `script` lies there."""
    new = "/proc"  # there on every system, and nothing that is taken along lies below it
    _checked(_libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None), "mount /")
    _mount_memory(new, "mode=755,size=1m")
    base = sys.base_prefix
    for source in dict.fromkeys((*_SYSTEM, base, os.path.realpath(base))):
        _take_along(source, new)
    target = f"{new}/inside.py"
    Path(target).touch()
    _bind(script, target)
    Path(f"{new}/tmp").mkdir()
    _mount_memory(f"{new}/tmp", f"mode=1777,size={_FOLDER_BYTES}")
    _read_only(new, 0)
    os.chdir(new)
    _checked(_libc.pivot_root(b".", b"."), "pivot_root")
    _checked(_libc.umount2(b".", _MNT_DETACH), "umount")
    os.chdir("/tmp")
    return "/inside.py"


def _take_along(source: str, new: str) -> None:
    target = Path(new + source)
    if not Path(source).exists() or target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if Path(source).is_symlink():
        target.symlink_to(Path(source).readlink())
        return
    if Path(source).is_dir():
        target.mkdir()
    else:
        target.touch()
    _bind(source, str(target))


def _bind(source: str, target: str) -> None:
    _checked(_libc.mount(source.encode(), target.encode(), None, _MS_BIND | _MS_REC, None), f"mount {source}")
    _read_only(target, _AT_RECURSIVE)


def _mount_memory(target: str, options: str) -> None:
    flags = _MS_NOSUID | _MS_NODEV
    _checked(_libc.mount(b"tmpfs", target.encode(), b"tmpfs", flags, options.encode()), f"mount tmpfs on {target}")


def _read_only(target: str, flags: int) -> None:
    attributes = struct.pack("=QQQQ", _ATTR_RDONLY_NOSUID, 0, 0, 0)
    made = _libc.syscall(_SYS_MOUNT_SETATTR, _AT_FDCWD, target.encode(), flags, attributes, len(attributes))
    _checked(made, f"mount_setattr {target}")


def _become_nobody() -> None:
    """Lose every privilege; those of the user namespace go with the `execve` that follows."""
    if os.geteuid() == 0:
        os.setgroups([])
    os.setresgid(_INSIDE_ID, _INSIDE_ID, _INSIDE_ID)
    os.setresuid(_INSIDE_ID, _INSIDE_ID, _INSIDE_ID)


def _limit(seconds: float, memory_mb: int, *, processes: bool) -> None:
    limits = {
        resource.RLIMIT_AS: memory_mb * 1_000_000,
        resource.RLIMIT_CPU: math.ceil(seconds) + 1,
        resource.RLIMIT_FSIZE: _FILE_BYTES,
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_CORE: 0,
    }
    if processes:  # outside a user namespace of its own, this user's other processes would count
        limits[resource.RLIMIT_NPROC] = _PROCESSES
    for limit, value in limits.items():
        resource.setrlimit(limit, (value, value))


if __name__ == "__main__":
    sys.exit(main())
