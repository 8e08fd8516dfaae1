"""What is kept and given again, by several workers over one folder, within bounds of age and bytes."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from freehold.config import CacheSettings
from freehold.gateway.cache import Entry, Look, ResponseCache, delete_tenant, tenant_of
from freehold.gateway.cache.entry import pack, unpack
from freehold.gateway.cache.files import Files
from freehold.gateway.cache.sweep import sweep
from freehold.gateway.cache.whole import is_whole
from freehold.upstreams.base import Headers

JSON: Headers = [(b"content-type", b"application/json")]
EVENTS: Headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
ANSWER = b'{"choices":[{"message":{"content":"42"}}],"error":null}'
Make = Callable[..., ResponseCache]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[ResponseCache] = []

    def one(**settings: Any) -> ResponseCache:
        made.append(ResponseCache(tmp_path, CacheSettings(enabled=True, **settings)))
        return made[-1]

    yield one
    for cache in made:
        cache.close()


def ask(
    cache: ResponseCache, body: bytes = b"{}", *, tenant: str = "a", headers: Headers = JSON, allowed: bool = True
) -> Look:
    return cache.ask(
        tenant_of(tenant), "up", "http://up", b"POST", b"/chat/completions", headers, body, allowed=allowed
    )


def keep(cache: ResponseCache, look: Look, body: bytes = ANSWER, headers: Headers = JSON) -> None:
    look.keep(headers, body, "tr_1")
    cache.settle()


def test_miss_then_hit_in_every_worker_and_after_a_restart(make: Make) -> None:
    one, other = make(), make()
    first = ask(one)
    assert (first.outcome, first.entry) == ("miss", None)
    keep(one, first, headers=[*JSON, (b"set-cookie", b"s"), (b"date", b"d")])
    for cache in (one, other, one, make()):
        hit = ask(cache)
        assert hit.entry is not None
        assert (hit.entry.body, hit.entry.trace, hit.entry.upstream) == (ANSWER, "tr_1", "up")
        assert hit.entry.headers == [*JSON, (b"date", b"d")]
        assert dict(hit.headers()) == {b"x-freehold-cache": b"hit", b"age": b"0"}
    assert one.counts["kept"] == 1


def test_tenants_never_share(make: Make) -> None:
    cache = make()
    keep(cache, ask(cache))
    assert ask(cache, tenant="b").entry is None
    assert ask(cache).entry is not None


def test_callers_choose(make: Make) -> None:
    cache = make()
    off = ask(cache, allowed=False)
    assert off.headers() == [(b"x-freehold-cache", b"bypass")]
    keep(cache, off)
    keep(cache, ask(cache))
    assert ask(cache, headers=[*JSON, (b"cache-control", b"max-age=9")]).entry is not None
    assert ask(cache, headers=[*JSON, (b"cache-control", b"max-age=0")]).entry is None
    anew = ask(cache, headers=[*JSON, (b"cache-control", b"no-cache")])
    assert anew.outcome == "miss"
    other = make()
    assert ask(other).entry is not None  # now in its memory
    keep(cache, anew, b'{"choices":[]}')
    for worker in (cache, other):  # what was asked anew takes the old one's place everywhere, at once
        found = ask(worker).entry
        assert found is not None and found.body == b'{"choices":[]}'


def test_long_and_broken_answers_are_not_kept(make: Make) -> None:
    cache = make(max_answer_bytes=len(ANSWER))
    for number, body in enumerate((ANSWER, ANSWER + b" ", ANSWER[:-1], b"")):
        keep(cache, ask(cache, b"%d" % number), body)
        assert (ask(cache, b"%d" % number).entry is not None) == (number == 0)


def test_answers_grow_old(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = make(ttl_seconds=60.0)
    keep(cache, ask(cache))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 50)
    hit = ask(cache)
    assert hit.entry is not None and hit.headers()[1] in ((b"age", b"50"), (b"age", b"49"))
    monkeypatch.setattr(time, "time", lambda: now + 61)
    assert ask(cache).entry is None
    keep(cache, ask(cache))
    assert ask(cache).entry is not None


def test_deleting_a_tenant_holds_for_all_workers_at_once(make: Make, tmp_path: Path) -> None:
    caches = [make(), make()]
    for tenant in ("a", "b"):
        keep(caches[0], ask(caches[0], tenant=tenant))
    assert all(ask(cache, tenant=tenant).entry is not None for cache in caches for tenant in "ab")
    delete_tenant(tmp_path / "cache", tenant_of("a"))
    delete_tenant(tmp_path / "cache", tenant_of("nobody"))
    assert all(ask(cache, tenant="a").entry is None for cache in caches)
    assert all(ask(cache, tenant="b").entry is not None for cache in caches)
    assert [path.name for path in (tmp_path / "cache").iterdir() if path.is_dir()] == [tenant_of("b").hex()]


def test_memory_is_bounded(make: Make) -> None:
    cache = make(memory_bytes=5_000)
    for number in range(20):
        keep(cache, ask(cache, b"%d" % number))
        assert ask(cache, b"%d" % number).entry is not None
    held = cache._memory
    assert 0 < sum(1000 + len(one.entry.body) for one in held.values()) <= 5_000
    assert cache._size == sum(1000 + len(one.entry.body) for one in held.values())
    assert ask(cache, b"0").entry is not None  # from disk


def test_only_the_owner_reads(make: Make, tmp_path: Path) -> None:
    cache = make()
    keep(cache, ask(cache))
    for path in (tmp_path / "cache").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def test_a_full_disk_or_a_file_in_the_way_costs_nothing_but_the_cache(make: Make, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("not a folder")
    cache = make()
    keep(cache, ask(cache))
    assert ask(cache).entry is None
    assert cache.counts["failed"] >= 1


def test_damaged_files_are_misses(tmp_path: Path) -> None:
    data = pack(Entry(1.0, "up", "tr", JSON, ANSWER))
    assert unpack(data) == Entry(1.0, "up", "tr", JSON, ANSWER)
    for end in range(len(data)):
        assert unpack(data[:end]) is None
    for place in range(len(data)):
        assert unpack(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]) is None
    files = Files(tmp_path)
    path = tmp_path / "damaged"
    path.write_bytes(data[:-1])
    assert files.read(str(path)) is None
    assert not path.exists()


def test_sweeping_keeps_the_youngest_within_the_limit(tmp_path: Path) -> None:
    files, now = Files(tmp_path), time.time()
    paths = [Path(files.path(tenant_of(f"t{number % 3}") + bytes([number]))) for number in range(40)]
    for number, path in enumerate(paths):
        files.write(str(path), Entry(now, "up", "", JSON, b"x" * 5_000))  # two blocks on disk
        os.utime(path, (now - number * 10, now - number * 10))
    for name, age in ((".part-dead", 5_000), (".part-alive", 1)):
        (paths[0].parent / name).write_bytes(b"")
        os.utime(paths[0].parent / name, (now - age, now - age))
    left = sweep(tmp_path, max_bytes=80_000, ttl=350.0, stop=Event())
    kept = [path.exists() for path in paths]
    assert left is not None and left == 8_192 * sum(kept)
    assert 40_000 < left <= 60_000  # three quarters
    assert kept == sorted(kept, reverse=True)  # the youngest
    assert sorted(path.name for path in tmp_path.rglob(".part-*")) == [".part-alive"]
    assert sweep(tmp_path, max_bytes=80_000, ttl=1e-9, stop=Event()) == 0
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [paths[0].parent.name]  # the part is alive


def test_the_folder_stays_within_its_limit_while_workers_write(make: Make, tmp_path: Path) -> None:
    caches = [make(max_bytes=400_000), make(max_bytes=400_000)]
    for number in range(150):
        cache = caches[number % 2]
        keep(cache, ask(cache, b"%d" % number), b'{"x":"%b"}' % (b"y" * 8_000))
        assert sum(_room(path) for path in tmp_path.rglob("*")) <= 400_000
    assert sum(ask(caches[0], b"%d" % number).entry is not None for number in range(150)) > 15


def _room(path: Path) -> int:
    """Bytes of whole pages; none for what is swept away while we look."""
    try:
        return -(-path.stat().st_size // 4096) * 4096 if path.is_file() else 0
    except FileNotFoundError:
        return 0


CHAT_END = b'data: {"choices":[]}\n\ndata: [DONE]\n\n'


@pytest.mark.parametrize(
    ("headers", "body", "whole"),
    [
        (JSON, ANSWER, True),
        (JSON, ANSWER[:-1], False),
        (JSON, b'{"error":{"message":"no"}}', False),
        (JSON, b'{"text":"\\"error\\": {}"}', True),
        (JSON, b"[]", False),
        ([*JSON, (b"content-encoding", b"gzip")], ANSWER, False),
        ([(b"content-type", b"text/html")], b"{}", False),
        (EVENTS, CHAT_END, True),
        (EVENTS, CHAT_END[:-1], False),
        (EVENTS, b'data: {"choices":[]}\n\n', False),
        (EVENTS, b'data: {"error": {"message":"no"}}\n\n' + CHAT_END, False),
        (EVENTS, b'data: {"error":null}\n\n' + CHAT_END, True),
        (EVENTS, b'event: a\ndata: {}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n', True),
        (EVENTS, b'event: message_stop\ndata: {}\n\nevent: error\ndata: {"error":{}}\n\n', False),
        (EVENTS, b'event: response.completed\ndata: {"text":"event: x"}\n\n', True),
        (EVENTS, b'event: response.failed\ndata: {"text":"event: response.completed"}\n\n', False),
    ],
)
def test_what_is_whole(headers: Headers, body: bytes, whole: bool) -> None:
    assert is_whole(headers, body) == whole
