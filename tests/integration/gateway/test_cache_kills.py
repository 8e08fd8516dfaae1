"""Processes that write to one cache and are killed: readers get whole, right answers or none, and nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Event

from freehold.config import CacheSettings
from freehold.gateway.cache import Look, ResponseCache, tenant_of
from freehold.gateway.cache.sweep import LEFT_BEHIND_SECONDS, sweep

KEYS = 40
JSON = [(b"content-type", b"application/json")]
WRITER = """
import sys
from pathlib import Path
from test_cache_kills import KEYS, JSON, ask, body_of, open_cache

cache, version = open_cache(Path(sys.argv[1])), 0
while True:
    version += 1
    for number in range(KEYS):
        asked = ask(cache, number)
        cache.put(asked.key, "up", "", JSON, body_of(number, version))
    cache.settle()
    print(version, flush=True)
"""


def open_cache(data: Path) -> ResponseCache:
    return ResponseCache(data, CacheSettings(enabled=True, max_bytes=KEYS * 32_768))


def ask(cache: ResponseCache, number: int) -> Look:
    return cache.ask(tenant_of(f"key-{number % 3}"), "up", "o", b"POST", b"/completions", [], b"%d" % number)


def body_of(number: int, version: int) -> bytes:
    return b'{"number":%d,"text":"%b"}' % (number, b"%d" % (number + version % 7) * 4_000)


def start(data: Path) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    environment = dict(os.environ, PYTHONPATH=path)
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(data)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert writer.stdout is not None and writer.stdout.readline() == "1\n"
    return writer


def test_killed_writers_leave_only_whole_answers(tmp_path: Path) -> None:
    right = {number: {body_of(number, version) for version in range(7)} for number in range(KEYS)}
    reader, found = open_cache(tmp_path), 0
    for round_ in range(2):
        writers = [start(tmp_path) for _ in range(2)]
        try:
            for look in range(KEYS * 10):
                entry = ask(reader, look % KEYS).entry
                assert entry is None or entry.body in right[look % KEYS]
                found += entry is not None
        finally:
            for writer in writers:
                writer.send_signal(signal.SIGKILL)
                writer.wait()
        if round_ == 0:  # as a process leaves it that is killed between the first byte and the rename
            folder = next(path for path in (tmp_path / "cache").iterdir() if path.is_dir())
            (folder / ".part-killed").write_bytes(b"FHc1")
    assert found > KEYS
    folder = tmp_path / "cache"
    parts = list(folder.rglob(".part-*"))
    assert parts
    long_ago = time.time() - LEFT_BEHIND_SECONDS - 1
    for part in parts:
        os.utime(part, (long_ago, long_ago))
    left = sweep(folder, max_bytes=10**9, ttl=3600.0, stop=Event())
    assert left is not None and 0 < left <= KEYS * 32_768
    assert not list(folder.rglob(".part-*"))
    successor = open_cache(tmp_path)
    assert any(ask(successor, number).entry is not None for number in range(KEYS))
    successor.close()
    reader.close()
