"""HTTP as the gateway speaks it, against a transport that keeps what is written and connections that misbehave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.server import ServerState

from freehold.domain.errors import AuthError, FreeholdError
from freehold.gateway.http import HttpProtocol, Listener, Reply, Request, protocol, serve_asgi
from freehold.gateway.http.asgi import Receive, Scope, Send
from freehold.gateway.process.server import uvicorn_config
from freehold.gateway.replies import reply_error, reply_json

LIMIT = 100_000


class Wire:
    """A transport in memory."""

    def __init__(self) -> None:
        self.sent = b""
        self.writes = 0
        self.closed = self.held = self.half_closed = False
        self.ended = asyncio.Event()

    def write(self, data: bytes) -> None:
        assert not self.closed and not self.half_closed
        self.sent += data
        self.writes += 1

    def write_eof(self) -> None:
        self.half_closed = True

    def close(self) -> None:
        self.closed = True
        self.ended.set()

    def pause_reading(self) -> None:
        self.held = True

    def resume_reading(self) -> None:
        self.held = False

    def get_extra_info(self, name: str) -> tuple[str, int]:
        return ("127.0.0.1", 1)


class App:
    """Answers by a function; refuses `/secret` by its head."""

    max_body_bytes = LIMIT
    connections = 0

    def __init__(self, answer: Callable[[Request, Reply], None]) -> None:
        self._answer = answer
        self.key_is_good = True
        self.heads = 0

    def head(self, request: Request) -> None:
        if request.path == "/secret" or not self.key_is_good:
            raise AuthError("No.", "Ask somebody else.")
        self.heads += 1
        request.caller = "somebody"

    def answer(self, request: Request, reply: Reply) -> None:
        self._answer(request, reply)

    def holds(self, request: Request) -> bool:
        return self.key_is_good

    def refuse(self, error: FreeholdError, request: Request | None, reply: Reply) -> None:
        reply_error(reply, error)


def echo(request: Request, reply: Reply) -> None:
    """Answers with what it was asked."""
    said = [request.method.decode(), request.path, request.query.decode(), len(request.headers), request.body.decode()]
    reply_json(reply, 200, said)


class Heard:
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def gone(self) -> None:
        self.heard.append("gone")

    def pause(self) -> None:
        self.heard.append("pause")

    def resume(self) -> None:
        self.heard.append("resume")


class Later:
    """Keeps requests, to be answered when a test says so."""

    def __init__(self, listener: Listener | None = None) -> None:
        self.asked: list[tuple[Request, Reply]] = []
        self._listener = listener

    def __call__(self, request: Request, reply: Reply) -> None:
        reply.listener = self._listener
        self.asked.append((request, reply))


class Talk:
    """A connection to `answer` within a running loop."""

    def __init__(self, answer: Callable[[Request, Reply], None], keep_alive: int = 75) -> None:
        self.wire, self.state = Wire(), ServerState()
        config = uvicorn_config(cast(Any, App(answer)), factory=False)
        config.timeout_keep_alive = keep_alive
        self.connection = HttpProtocol(config, self.state, {}, asyncio.get_running_loop())
        self.connection.connection_made(cast(Any, self.wire))

    def say(self, *parts: bytes) -> Wire:
        for part in parts:
            if not self.wire.closed:
                self.connection.data_received(part)
        return self.wire

    async def end(self) -> None:
        await _settled()
        self.connection.connection_lost(None)
        assert not self.state.connections


async def _settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def conversation(answer: Callable[[Request, Reply], None], *parts: bytes) -> Wire:
    """What a connection says to `parts`."""

    async def talk() -> Wire:
        talk = Talk(answer)
        wire = talk.say(*parts)
        await talk.end()
        return wire

    return asyncio.run(talk())


def bodies(wire: Wire) -> list[Any]:
    """What `echo` said, answer by answer."""
    found: list[Any] = []
    rest = wire.sent
    while rest:
        head, _, rest = rest.partition(b"\r\n\r\n")
        if b" 100 " in head:
            continue
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        found.append(json.loads(rest[:length]))
        rest = rest[length:]
    return found


POST = b"POST /v1/x%20y?q=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
GET = b"GET /g HTTP/1.1\r\nHost: a\r\n\r\n"
SAID = [["POST", "/v1/x y", "q=1", 2, "hello"], ["POST", "/c", "", 2, "hello"], ["GET", "/g", "", 1, ""]]


@settings(max_examples=150)
@given(cuts=st.lists(st.integers(0, len(POST + CHUNKED + GET)), max_size=12))
def test_however_bytes_are_cut_requests_are_answered_in_order(cuts: list[int]) -> None:
    whole, ends = POST + CHUNKED + GET, sorted(cuts)
    parts = [whole[start:end] for start, end in zip([0, *ends], [*ends, None], strict=True)]
    wire = conversation(echo, *filter(None, parts))
    assert bodies(wire) == SAID and not wire.closed and not wire.held


@settings(max_examples=150)
@given(junk=st.binary(max_size=200), after=st.booleans())
def test_junk_is_refused_and_nothing_breaks(junk: bytes, after: bool) -> None:
    wire = conversation(echo, (POST if after else b"") + junk)
    if after and wire.sent:
        assert wire.sent.startswith(b"HTTP/1.1 200 ")
    assert wire.sent == b"" or wire.sent.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 400 ", b"HTTP/1.1 505 "))


def test_head_and_body_leave_as_one_and_events_one_by_one() -> None:
    assert conversation(echo, POST).writes == 1

    def events(request: Request, reply: Reply) -> None:
        reply.start(200, [(b"content-type", b"text/event-stream")])
        for number in range(3):
            reply.body(b"data: %d\n\n" % number, last=False)
        reply.body(b"", last=True)

    wire = conversation(events, GET)
    head, _, rest = wire.sent.partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head and wire.writes == 4
    numbered = b"".join(b"9\r\ndata: %d\n\n\r\n" % number for number in range(3))
    assert rest == numbered + b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("request_", "status", "kept"),
    [
        (GET.replace(b"1.1", b"1.0"), b"200", False),
        (GET.replace(b"Host: a", b"Connection: close"), b"200", False),
        (GET.replace(b"Host: a", b"Upgrade: h2c\r\nConnection: Upgrade"), b"200", False),
        (POST.replace(b"Host: a", b"Upgrade: h2c\r\nConnection: Upgrade"), b"200", False),
        (GET.replace(b"GET", b"HEAD"), b"200", True),
        (GET.replace(b"/g", b"http://elsewhere/g?q=1"), b"200", True),
        (GET.replace(b"Host: a", b"a: " + b"x" * protocol.MAX_HEAD_BYTES), b"431", False),
        (GET.replace(b"/g", b"/" + b"x" * protocol.MAX_HEAD_BYTES), b"431", False),
        (POST.replace(b"Content-Length: 5", b"Content-Length: 5\r\nTransfer-Encoding: chunked"), b"400", False),
        (POST.replace(b"Content-Length: 5", b"Content-Length: 5\r\nContent-Length: 6"), b"400", False),
        (POST.replace(b"Content-Length: 5", b"Content-Length: -5"), b"400", False),
        (b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (LIMIT + 1) + b"x" * (LIMIT + 1), b"413", False),
        (b"POST /secret HTTP/1.1\r\nContent-Length: 10\r\n\r\n", b"401", False),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400", False),
        (GET.replace(b" HTTP/1.1", b""), b"505", False),
    ],
)
def test_what_is_kept_and_what_is_refused(request_: bytes, status: bytes, kept: bool) -> None:
    wire = conversation(echo, request_)
    assert wire.sent.split(b" ")[1] == status and (wire.closed or wire.half_closed) != kept, wire.sent[:80]
    assert (b"connection: close" in wire.sent) != kept
    if request_.startswith(b"HEAD"):
        assert wire.sent.endswith(b"\r\n\r\n") and b"content-length: " in wire.sent


@pytest.mark.parametrize("cut", range(0, 140, 7))
@pytest.mark.parametrize("request_", [POST, CHUNKED])
def test_an_offer_to_change_protocols_costs_no_body(request_: bytes, cut: int) -> None:
    offer = b"Host: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAE"
    whole = request_.replace(b"Host: a", offer)
    wire = conversation(echo, *filter(None, (whole[:cut], whole[cut:])))
    [[_, _, _, headers, body]] = bodies(wire)
    assert (headers, body) == (3, "hello") and wire.closed  # host, framing, connection: close
    assert conversation(echo, request_.replace(b"Host: a", b"Host: a\r\nUpgrade: h2c")).closed


def test_an_announced_body_over_the_limit_is_refused_before_it_comes() -> None:
    wire = conversation(echo, b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (LIMIT + 1))
    assert wire.sent.startswith(b"HTTP/1.1 413 ")


def test_whoever_asks_before_sending_is_told_to_go_on() -> None:
    asked = POST.replace(b"Host: a", b"Expect: 100-continue")

    async def talk() -> None:
        talk = Talk(echo)
        assert talk.say(asked[:-5]).sent == b"HTTP/1.1 100 Continue\r\n\r\n"
        talk.say(asked[-5:])
        assert bodies(talk.wire) == [SAID[0]]
        await talk.end()

    asyncio.run(talk())


def test_a_slow_reader_holds_up_who_answers() -> None:
    async def talk() -> None:
        heard = Heard()
        later = Later(heard)
        talk = Talk(later)
        talk.say(GET)
        later.asked[0][1].start(200, [])
        talk.connection.pause_writing()
        talk.connection.resume_writing()
        await talk.end()
        assert heard.heard == ["pause", "resume", "gone"]
        later.asked[0][1].body(b"nobody hears this", last=True)

    asyncio.run(talk())


def test_an_answer_that_breaks_off_is_cut() -> None:
    def half(request: Request, reply: Reply) -> None:
        reply.start(200, [(b"content-length", b"9")])
        reply.body(b"half", last=False)
        reply.cut()

    wire = conversation(half, GET + GET)
    assert wire.closed and wire.sent.endswith(b"\r\n\r\nhalf")

    def short(request: Request, reply: Reply) -> None:
        reply.start(200, [(b"content-length", b"9")])
        reply.body(b"short", last=True)

    assert conversation(short, GET).closed


def test_requests_sent_ahead_are_answered_in_turn_and_bounded() -> None:
    async def talk() -> None:
        later = Later()
        talk = Talk(later)
        count = protocol.MAX_PIPELINED + 1
        talk.say(GET * count)
        assert len(later.asked) == 1 and talk.wire.held
        for number in range(count):
            request, reply = later.asked[number]
            echo(request, reply)
            await _settled()
        assert len(bodies(talk.wire)) == count and not talk.wire.held
        await talk.end()

    asyncio.run(talk())


def test_a_refusal_waits_for_the_answer_before_it() -> None:
    async def talk() -> None:
        later = Later()
        talk = Talk(later)
        talk.say(GET, b"nonsense\r\n\r\n")
        assert not talk.wire.sent
        echo(*later.asked[0])
        assert talk.wire.sent.startswith(b"HTTP/1.1 200 ") and b"HTTP/1.1 400 " in talk.wire.sent
        await talk.end()

    asyncio.run(talk())


@pytest.mark.parametrize(
    ("parts", "allowed"), [((), "keep-alive"), ((GET[:20],), "HEAD_SECONDS"), ((POST[:-2],), "BODY_SECONDS")]
)
def test_whoever_keeps_us_waiting_is_left(
    parts: tuple[bytes, ...], allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "TICK_SECONDS", 0.01)
    for name in ("HEAD_SECONDS", "BODY_SECONDS"):
        monkeypatch.setattr(protocol, name, 0.05 if allowed == name else 60.0)

    async def talk() -> None:
        talk = Talk(echo, keep_alive=0 if allowed == "keep-alive" else 75)
        talk.say(*parts)
        async with asyncio.timeout(5):
            await talk.wire.ended.wait()
        await talk.end()

    asyncio.run(talk())


def test_a_shutdown_lets_the_answer_end_and_the_body_come() -> None:
    async def talk() -> None:
        later = Later()
        talk = Talk(later)
        talk.say(POST[:-2])
        talk.connection.shutdown()
        assert not talk.wire.closed
        talk.say(POST[-2:])
        echo(*later.asked[0])
        assert talk.wire.closed and bodies(talk.wire) == [SAID[0]] and b"connection: close" in talk.wire.sent
        idle = Talk(echo)
        idle.connection.shutdown()
        assert idle.wire.closed

    asyncio.run(talk())


def test_an_asgi_application_can_answer() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = (await receive())["body"]
        said = b"%b %b" % (scope["path"].encode(), body)
        headers = [(b"Content-Length", b"%d" % len(said)), (b"Connection", b"keep-alive")]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        await send({"type": "http.response.body", "body": said})

    async def talk() -> None:
        later = Later()
        talk = Talk(later)
        talk.say(POST)
        await serve_asgi(app, *later.asked[0])
        assert talk.wire.sent == b"HTTP/1.1 201 Created\r\ncontent-length: 13\r\n\r\n/v1/x y hello"
        await talk.end()

    asyncio.run(talk())


def test_a_head_that_comes_again_is_known_and_answered_as_before() -> None:
    async def talk() -> None:
        talk = Talk(echo)
        longer = POST.replace(b"Content-Length: 5", b"Content-Length: 11").replace(b"hello", b"hello again")
        talk.say(POST, longer, POST, CHUNKED, POST)
        app = cast(App, talk.connection._app)
        assert bodies(talk.wire) == [SAID[0], [*SAID[0][:4], "hello again"], SAID[0], SAID[1], SAID[0]]
        assert app.heads == 2, "the first, and the chunked one: the others were known"
        app.key_is_good = False
        assert b" 401 " in talk.say(POST).sent
        await talk.end()

    asyncio.run(talk())


@pytest.mark.parametrize(
    "second",
    [
        POST.replace(b"q=1", b"q=2"),
        POST.replace(b"Host: a", b"Host: b"),
        POST.replace(b"Content-Length: 5", b"Content-Length: 05"),
        POST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        POST.replace(b"Content-Length: 5", b"Content-Length: +5"),
        POST.replace(b"Content-Length: 5", b"Content-Length: 6"),
        POST.replace(b"Content-Length: 5", b"Content-Length: 4"),
        POST.replace(b"Content-Length: 5", b"Content-Length: 5\r\nContent-Length: 5"),
        POST + GET,
        b"POST /c HTTP/1.1\r\nX: Content-Length: 5\r\n\r\n",
    ],
)
def test_what_is_not_that_head_again_is_answered_as_on_a_fresh_connection(second: bytes) -> None:
    def said(*parts: bytes) -> bytes:
        return conversation(echo, *parts).sent

    assert said(POST, second) == said(POST) + said(second)
