"""A child process for what may run away: queries and schemas. It is started on first use and kept.

The child may write no more than a few pages of a file, has bounded memory, and is ended by its own alarm when a job
takes too long, wherever it is (SQLite looks at no clock inside an instr, `re` at none at all); the next job starts a
new one. When this process ends, the child reads the end of its input and ends too.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
from typing import Any

from freehold.domain.errors import ScorerError
from freehold.scorers.base import Unusable

MEMORY_BYTES = 1_000_000_000
"""Address space of the child: Python and its libraries take a fifth of it."""
FILE_BYTES = 1_000_000
"""Room for the index (`-shm`) that every reader of a SQLite file in WAL mode keeps beside it, and for little else."""
_lock = threading.Lock()
_children: dict[int, subprocess.Popen[bytes]] = {}
"""Owner's process id → its child: after a fork, a child must not be shared."""


def call(kind: str, job: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Have a job done, one at a time. Thread-safe.

    Raises:
        Unusable: it took too long, or took too much memory.
        ScorerError: the child cannot be started.
    """
    line = json.dumps({"kind": kind, "limit": seconds, "job": job}).encode() + b"\n"
    with _lock:
        child = _children.get(os.getpid())
        if child is None or child.poll() is not None:
            child = _children[os.getpid()] = _start()
        assert child.stdin is not None and child.stdout is not None
        try:
            child.stdin.write(line)
            child.stdin.flush()
            answer = child.stdout.readline()
        except BrokenPipeError:
            answer = b""
        except BaseException:  # Ctrl-C, say: an answer that is left unread would be taken for the next job's
            child.kill()
            child.wait()
            raise
        if answer.endswith(b"\n"):
            return json.loads(answer)
        end = child.wait()
        child.stdin.close()
        child.stdout.close()
        del _children[os.getpid()]
    if end == -signal.SIGALRM:
        raise Unusable(f"It did not come to an end within {seconds:g} s.")
    raise Unusable(f"The process that scores it ended ({end}): most likely it took more memory than it may.")


def _start() -> subprocess.Popen[bytes]:
    keep = {name: os.environ[name] for name in ("PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH") if name in os.environ}
    command = [sys.executable, "-BP", "-c", "from freehold.scorers.worker import work; work()"]
    try:
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**keep, "PYTHONHASHSEED": "0"}
        )
    except OSError as error:
        raise ScorerError(f"The process that scores answers cannot be started: {error}.", "Free memory.") from error


def work() -> None:
    """The child: a job per line in, its result per line out."""
    from freehold.scorers.schema import validate
    from freehold.scorers.sql import compare_queries

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, whose end is the end of the input
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin.buffer:
        asked = json.loads(line)
        signal.setitimer(signal.ITIMER_REAL, asked["limit"])  # its default is to end the process
        try:
            result = (compare_queries if asked["kind"] == "sql" else validate)(asked["job"])
        except MemoryError:
            result = {"failed": "It takes more memory than it may."}
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.stdout.buffer.write(json.dumps(result).encode() + b"\n")
        sys.stdout.buffer.flush()
