"""The client's side of HTTP/1.1: any cut of a valid answer gives the same, and no bytes at all crash or hang it."""

from __future__ import annotations

import asyncio
import itertools
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.domain.errors import UpstreamError, UpstreamTimeout
from freehold.upstreams.base import Headers
from freehold.upstreams.http.connection import (
    KEEP_IDLE_SECONDS,
    MAX_HEADER_BYTES,
    Connection,
    StaleConnection,
    Timeouts,
)


class Wire:
    """A connection over nothing, its owner, its transport, and the sink of its exchanges."""

    def __init__(self) -> None:
        self.name = "main"
        self.now = 0.0
        self.written: list[bytes] = []
        self.unsent = 0
        self.closed = self.kept = self.reading = 0
        self.heard: list[object] = []
        self.body = b""
        self.headers: Headers = []
        self.status = 0
        self.ends = 0
        self.error: UpstreamError | None = None
        self.connection = Connection(self, Timeouts(5.0, 120.0, 60.0), cast(asyncio.AbstractEventLoop, self))
        self.connection.connection_made(cast(asyncio.Transport, self))

    def ask(self, *, bodiless: bool = False) -> None:
        self.connection.exchange(b"GET / HTTP/1.1\r\n\r\n", b"", self, bodiless=bodiless)

    def feed(self, data: bytes) -> None:
        """As a socket does: nothing comes once it is closed."""
        if not self.closed:
            self.connection.data_received(data)

    def end(self) -> None:
        self.connection.eof_received()
        self.connection.connection_lost(None)

    # The loop.
    def time(self) -> float:
        return self.now

    # The owner.
    def opened(self, connection: Connection) -> None: ...

    def idle(self, connection: Connection) -> None:
        self.kept += 1

    def lost(self, connection: Connection) -> None: ...

    # The transport.
    def write(self, data: bytes) -> None:
        self.written.append(data)

    def writelines(self, data: list[bytes]) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return bool(self.closed)

    def close(self) -> None:
        self.closed += 1

    abort = close

    def pause_reading(self) -> None:
        self.reading -= 1

    def resume_reading(self) -> None:
        self.reading += 1

    # The sink.
    def begin(self, upstream: str, status: int, headers: Headers) -> None:
        assert not self.status and not self.ends
        self.status, self.headers = status, headers

    def data(self, chunk: bytes, last: bool) -> None:
        assert self.status and not self.ends
        self.body += chunk
        self.ends += last

    def fail(self, error: UpstreamError) -> None:
        assert not self.ends
        self.ends += 1
        self.error = error


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


VALID = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nX-A: b\r\n\r\n" + chunked(b"he", b"l", b"lo"),
    b"HTTP/1.1 200 OK\r\nX-A: b\r\n\r\nhello",
    b"HTTP/1.0 200 OK\r\nX-A: b\r\n\r\nhello",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
    b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-a: b\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nx-a: b\r\n\r\n5;ext=1\r\nhello\r\n0\r\ntrailer: t\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nkeep-alive: timeout=5\r\nconnection: keep-alive, X-Hop\r\nx-hop: 1\r\n"
    b"content-length: 5\r\nx-a: b\r\n\r\nhello",
]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({place % len(data) for place in places} | {0, len(data)})
    return [data[left:right] for left, right in itertools.pairwise(edges)]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(VALID), st.lists(st.integers(0, 400), max_size=30))
def test_any_cut_of_a_valid_answer_gives_the_same(answer: bytes, places: list[int]) -> None:
    wire = Wire()
    wire.ask()
    for piece in cut(answer, places):
        wire.feed(piece)
    wire.end()
    assert (wire.status, wire.body, wire.ends, wire.error) == (200, b"hello", 1, None)
    assert [header for header in wire.headers if header[0] != b"content-length"] == [(b"x-a", b"b")]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(VALID),
    st.lists(st.tuples(st.integers(0, 300), st.binary(max_size=4)), min_size=1, max_size=4),
    st.lists(st.integers(0, 400), max_size=8),
)
def test_damaged_answers_end_once(answer: bytes, damages: list[tuple[int, bytes]], places: list[int]) -> None:
    for place, put in damages:
        place %= len(answer)
        answer = answer[:place] + put + answer[place + 1 :]
    wire = Wire()
    wire.ask()
    for piece in cut(answer, places):
        wire.feed(piece)
    wire.end()
    assert wire.ends == 1 and not wire.connection.usable


@settings(max_examples=150, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.booleans(), st.booleans())
def test_arbitrary_bytes_end_once(pieces: list[bytes], bodiless: bool, http: bool) -> None:
    wire = Wire()
    wire.ask(bodiless=bodiless)
    if http:
        wire.feed(b"HTTP/1.1 ")
    for piece in pieces:
        wire.feed(piece)
    wire.end()
    assert wire.ends == 1


def test_a_whole_answer_comes_in_one_piece_and_the_connection_is_kept() -> None:
    wire = Wire()
    for answer in VALID[:2]:
        wire.ask()
        wire.status = wire.ends = 0
        wire.body = b""
        wire.feed(answer)
        assert (wire.body, wire.ends) == (b"hello", 1)
    assert (wire.kept, wire.closed) == (2, 0)


@pytest.mark.parametrize(
    ("answer", "bodiless"),
    [
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n", True),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
            b"HTTP/1.1 200 OK\r\nset-cookie: a\r\ncontent-length: 2\r\n\r\n{}",
            False,
        ),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nH", False),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nmore than it said", False),
    ],
)
def test_connections_that_cannot_be_trusted_are_not_kept(answer: bytes, bodiless: bool) -> None:
    wire = Wire()
    wire.ask(bodiless=bodiless)
    wire.feed(answer)
    assert (wire.status, wire.body, wire.ends, wire.error) == (200, b"", 1, None)
    assert wire.kept == 0 and wire.closed and len(wire.headers) == 1, "nor does a second answer's head reach anybody"


def test_an_answer_before_the_request_was_sent_is_passed_on_and_ends_the_connection() -> None:
    wire = Wire()
    wire.unsent = 100_000
    wire.ask()
    wire.feed(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\n{}")
    assert (wire.status, wire.body, wire.kept, wire.closed) == (413, b"{}", 0, 1)


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n", "transfer coding"),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", "another protocol"),
        (b"HTTP/1.1 000 Nothing\r\ncontent-length: 0\r\n\r\n", "status 0"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"a" * MAX_HEADER_BYTES + b"\r\n\r\n", "headers are over"),
        (b"HTTP/1.1 200 OK\r\n" + b"x: a\r\n" * 40_000 + b"\r\n", "headers are over"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not HTTP"),
    ],
)
def test_what_cannot_be_passed_on_is_said(head: bytes, says: str) -> None:
    wire = Wire()
    wire.ask()
    wire.feed(head)
    assert wire.ends == 1 and says in str(wire.error) and "'main'" in str(wire.error) and wire.closed


@pytest.mark.parametrize(
    ("before", "endless"),
    [
        (b"HTTP/1.1 200 OK\r\nx: ", b"a" * 1000),
        (b"HTTP/1.1 200 ", b"O" * 1000),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 40),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;", b"e" * 1000),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: ", b"a" * 1000),
    ],
)
def test_what_has_no_end_is_cut_soon(before: bytes, endless: bytes) -> None:
    wire = Wire()
    wire.ask()
    wire.feed(before)
    fed = 0
    while not wire.ends:
        wire.feed(endless)
        fed += len(endless)
        assert fed <= MAX_HEADER_BYTES + 2000
    assert "headers are over" in str(wire.error)


def test_a_long_stream_of_small_events_is_not_mistaken_for_that() -> None:
    wire = Wire()
    wire.ask()
    wire.feed(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(20_000):
        wire.feed(b"5\r\n")
        wire.feed(b"hello\r\n")
    wire.feed(b"0\r\n\r\n")
    assert len(wire.body) == 100_000 and wire.ends == 1 and wire.error is None


def test_too_little_is_an_error_that_keeps_what_came() -> None:
    wire = Wire()
    wire.ask()
    wire.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello")
    wire.end()
    assert wire.body == b"hello" and "before its answer was complete" in str(wire.error)


def test_only_a_kept_connection_that_said_nothing_is_stale() -> None:
    fresh = Wire()
    fresh.ask()
    fresh.end()
    assert not isinstance(fresh.error, StaleConnection)
    for said in (b"", b"H"):
        wire = Wire()
        wire.ask()
        wire.feed(VALID[0])
        wire.status = wire.ends = 0
        wire.ask()
        wire.feed(said) if said else None
        wire.end()
        assert isinstance(wire.error, StaleConnection) is (said == b"")


def test_bytes_that_nobody_asked_for_end_the_connection() -> None:
    wire = Wire()
    wire.ask()
    wire.feed(VALID[0])
    assert wire.connection.usable
    wire.feed(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    assert not wire.connection.usable and wire.closed and wire.ends == 1


def test_a_broken_transport_is_seen_before_its_loss_is_told() -> None:
    wire = Wire()
    assert wire.connection.alive()
    wire.closed = 1
    assert wire.connection.usable and not wire.connection.alive()


def test_silence_ends_in_time_unless_the_caller_is_the_slow_one() -> None:
    wire = Wire()
    wire.ask()
    wire.now = 119.0
    wire.connection.check(wire.now)
    assert wire.error is None
    wire.now = 120.0
    wire.connection.check(wire.now)
    assert isinstance(wire.error, UpstreamTimeout) and "begin its answer within 120" in str(wire.error)
    slow = Wire()
    slow.ask()
    slow.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n")
    slow.connection.pause()
    slow.connection.check(1e9)
    assert slow.error is None and slow.reading == -1
    slow.connection.resume()
    slow.connection.check(59.0)
    assert slow.error is None
    slow.connection.check(60.0)
    assert isinstance(slow.error, UpstreamTimeout) and "continue its answer within 60" in str(slow.error)
    idle = Wire()
    idle.connection.check(KEEP_IDLE_SECONDS)
    assert idle.closed and not idle.connection.usable


@pytest.mark.parametrize(
    ("before", "trickle", "says"),
    [
        (b"HTTP/1.1 200 OK\r\nx: ", b"a", "begin its answer within 120"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n", "begin its answer within 120"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;", b"e", "continue its answer within 60"),
    ],
)
def test_a_trickle_that_leads_nowhere_ends_in_time(before: bytes, trickle: bytes, says: str) -> None:
    wire = Wire()
    wire.ask()
    wire.feed(before)
    while not wire.ends:
        wire.now += 1.0
        wire.feed(trickle)
        wire.connection.check(wire.now)
        assert wire.now <= 120.0
    assert isinstance(wire.error, UpstreamTimeout) and says in str(wire.error)
    slow = Wire()
    slow.ask()
    slow.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 300\r\n\r\n")
    for _ in range(300):
        slow.now += 1.0
        slow.feed(b"x")
        slow.connection.check(slow.now)
    assert slow.ends == 1 and slow.error is None, "a body may come as slowly as it likes"
