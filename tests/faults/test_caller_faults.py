"""Whatever a caller does wrong: nothing hangs or is smuggled, nobody else notices, and what it held comes back."""

from __future__ import annotations

import json
import select
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from chaos import EVENTS
from fault_fixtures import FLOOD, Stand
from waiting import wait_for
from wire import Wire, ask, body_for, chunk, get, new_nonce, post

CHAT = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"


@pytest.fixture(autouse=True)
def nobody_else_notices(stand: Stand) -> Iterator[None]:
    """Another caller is served all the while and afterwards."""
    stop, failures = threading.Event(), list[BaseException]()

    def carry_on() -> None:
        try:
            while not stop.is_set():
                stand.good()
                stop.wait(0.01)
        except (AssertionError, OSError) as error:
            failures.append(error)

    thread = threading.Thread(target=carry_on)
    thread.start()
    yield
    stop.set()
    thread.join()
    assert not failures
    assert stand.good()


# Callers who leave.


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("model", ["events-for-ever", "hangs-before-the-first-byte"])
def test_a_caller_who_leaves_ends_the_call_upstream(stand: Stand, model: str, how: str) -> None:
    nonce, before = new_nonce(), stand.chaos.left[model]
    asked = len(stand.chaos.asked[model])
    wire = Wire(stand.url)
    wire.send(post(body_for(model, nonce, stream=True)))
    if model == "events-for-ever":
        wire.until(EVENTS[0] * 3)
    else:
        wait_for(lambda: len(stand.chaos.asked[model]) > asked)
    wire.reset() if how == "reset" else wire.socket.close()
    wait_for(lambda: stand.chaos.left[model] > before, what="the upstream is left")
    trace = stand.trace_of(nonce)
    assert trace.error is not None and trace.error.startswith("client_closed")
    assert trace.status == (200 if model == "events-for-ever" else 0)
    assert EVENTS[0].startswith(trace.response[: len(EVENTS[0])])


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("part", ["within the line", "within the head", "after the head", "within the body"])
def test_half_a_request_asks_nobody(stand: Stand, part: str, how: str) -> None:
    body, nonce = body_for("good", new_nonce()), new_nonce()
    whole = post(body.replace(b"hi", nonce.encode()))
    ends = {
        "within the line": 10,
        "within the head": 60,
        "after the head": whole.index(b"\r\n\r\n") + 4,
        "within the body": len(whole) - 1,
    }
    sockets = stand.gateway.sockets()
    wires = [Wire(stand.url) for _ in range(20)]
    for wire in wires:
        wire.send(whole[: ends[part]])
    for wire in wires:
        wire.reset() if how == "reset" else wire.socket.close()
    wait_for(lambda: stand.gateway.sockets() <= sockets + 2, what="sockets come back")
    assert not any(nonce.encode() in asked.body for asked in stand.chaos.asked["good"])


# Callers who are slow, or quick.


def test_a_request_may_come_byte_by_byte(stand: Stand) -> None:
    nonce = new_nonce()
    with Wire(stand.url) as wire:
        for byte in post(body_for("good", nonce)):
            wire.send(bytes((byte,)))
        answer = wire.answer()
        assert answer.status == 200 and nonce.encode() in answer.body


def test_who_reads_nothing_is_not_buffered_for(stand: Stand) -> None:
    memory = stand.gateway.memory_mb()
    wires = [Wire(stand.url) for _ in range(8)]
    for wire in wires:
        wire.send(post(body_for("flood", new_nonce())))
    for _ in range(100):  # time enough for all that is sent to be somewhere
        stand.good()
    assert stand.gateway.memory_mb() - memory < 24
    received = wires[0].answer()
    assert received.whole and len(received.body) == FLOOD
    for wire in wires:
        wire.socket.close()


def test_pipelined_requests_are_answered_in_order(stand: Stand) -> None:
    models = ["trickles", "good", "too-many-requests", "good", "refuses", "good"]
    nonces = [new_nonce() for _ in models]
    with Wire(stand.url) as wire:
        wire.send(b"".join(post(body_for(model, nonce)) for model, nonce in zip(models, nonces, strict=True)))
        answers = [wire.answer() for _ in models]
        assert [answer.status for answer in answers] == [200, 200, 429, 200, 502, 200]
        for model, nonce, answer in zip(models, nonces, answers, strict=True):
            assert model != "good" or nonce.encode() in answer.body
        assert wire.ask(post(body_for("good", new_nonce()), connection="close")).status == 200
        assert wire.at_end()


def test_a_chunked_body_goes_on_whole(stand: Stand) -> None:
    nonce = new_nonce()
    body = body_for("good", nonce, size=100_000)
    pieces = b"".join(chunk(body[start : start + 7000]) for start in range(0, len(body), 7000))
    request = CHAT.encode() + b"transfer-encoding: chunked\r\n\r\n" + pieces + chunk(b"")
    answer = ask(stand.url, request)
    assert answer.status == 200 and nonce.encode() in answer.body
    [asked] = [asked for asked in stand.chaos.asked["good"] if nonce.encode() in asked.body]
    assert asked.body == body and asked.headers["content-length"] == str(len(body))
    assert "transfer-encoding" not in asked.headers


def test_who_waits_to_be_told_to_go_on_is_told(stand: Stand) -> None:
    nonce = new_nonce()
    head, _, body = post(body_for("good", nonce), expect="100-continue").partition(b"\r\n\r\n")
    with Wire(stand.url) as wire:
        wire.send(head + b"\r\n\r\n")
        wait_for(lambda: wire.interim or not wire.more())
        assert wire.interim == [100]
        assert wire.ask(body).status == 200
    assert "expect" not in stand.chaos.asked["good"][-1].headers


def test_a_get_with_a_body_and_an_old_protocol(stand: Stand) -> None:
    body = body_for("good", new_nonce())
    with Wire(stand.url) as wire:
        request = get("/v1/models", content_length="4") + b"GET "
        assert [wire.ask(request).status for _ in range(2)] == [200, 200]  # the body is no second request
    old = post(body).replace(b"HTTP/1.1", b"HTTP/1.0")
    with Wire(stand.url) as wire:
        assert wire.ask(old).status == 200
        assert wire.at_end()


# Callers who send too much.

REFUSED = (0, 400, 408, 413, 414, 431)
"""0: the connection is closed without an answer."""


@pytest.mark.parametrize(
    "start",
    [
        b"GET /v1/models",
        b"GET /v1/models?a=",
        CHAT.encode() + b"x-long: ",
        CHAT.encode() + b"x-long",
        CHAT.encode() + b"cookie: a\r\n" * 20,
        CHAT.encode() + b"transfer-encoding: chunked\r\n\r\n5;ext=",
        CHAT.encode() + b"transfer-encoding: chunked\r\n\r\n0\r\nx-trailer: ",
    ],
)
@pytest.mark.parametrize("filling", [b"a" * 65536, b"a: b\r\n" * 10_000])
def test_a_head_without_end_is_refused(stand: Stand, start: bytes, filling: bytes) -> None:
    memory, sent = stand.gateway.memory_mb(), 0
    with Wire(stand.url) as wire:
        wire.send(start)
        while not select.select([wire.socket], [], [], 0.0)[0]:
            wire.send(filling)
            sent += len(filling)
            assert sent < 16_000_000, "it is taken without end"
        assert wire.answer().status in REFUSED
        assert wire.at_end()
    assert stand.gateway.memory_mb() - memory < 16


def test_headers_up_to_a_limit_are_taken(stand: Stand) -> None:
    assert ask(stand.url, post(body_for("good", new_nonce()), x_padding="a" * 20_000)).status == 200
    answer = ask(stand.url, post(body_for("good", new_nonce()), x_padding="a" * 1_000_000))
    assert answer.status in REFUSED


def test_a_body_over_the_limit_is_refused_before_it_is_read(stand: Stand) -> None:
    with Wire(stand.url) as wire:
        answer = wire.ask(CHAT.encode() + b"content-length: 9999999999\r\n\r\n{")
        assert answer.status == 413 and json.loads(answer.body)["error"]["code"] == "request_too_large"
        assert wire.at_end()


# Callers who hope that two servers read one request differently (RFC 9112, sections 6.3 and 11.2).

SMUGGLED = new_nonce()
_INNER = post(body_for("good", SMUGGLED))
_CHUNKED_INNER = b"0\r\n\r\n" + _INNER
_BODY = body_for("good", "outer")


CHUNKED = "transfer-encoding: chunked\r\n"


def smuggling(headers: str, body: bytes) -> bytes:
    return CHAT.encode() + headers.encode("latin-1") + b"\r\n" + body


LENGTH = f"content-length: {len(_BODY)}\r\n"
AMBIGUOUS = {
    "length and chunks": smuggling(
        f"content-length: {len(_CHUNKED_INNER)}\r\ntransfer-encoding: chunked\r\n", _CHUNKED_INNER
    ),
    "chunks and length": smuggling("transfer-encoding: chunked\r\ncontent-length: 4\r\n", _CHUNKED_INNER),
    "two lengths": smuggling(f"{LENGTH}content-length: {len(_BODY) + len(_INNER)}\r\n", _BODY + _INNER),
    "the same length twice": smuggling(f"{LENGTH}{LENGTH}", _BODY + _INNER),
    "a list of lengths": smuggling(f"content-length: {len(_BODY)}, {len(_BODY)}\r\n", _BODY + _INNER),
    "a signed length": smuggling(f"content-length: +{len(_BODY)}\r\n", _BODY + _INNER),
    "a negative length": smuggling("content-length: -1\r\n", _BODY + _INNER),
    "a hexadecimal length": smuggling(f"content-length: {hex(len(_BODY))}\r\n", _BODY + _INNER),
    "a length of two words": smuggling(f"content-length: {len(_BODY)} 0\r\n", _BODY + _INNER),
    "a length beyond 64 bits": smuggling("content-length: 18446744073709551616\r\n", _BODY + _INNER),
    "an unknown coding": smuggling("transfer-encoding: xchunked\r\n", _CHUNKED_INNER),
    "chunked is not last": smuggling("transfer-encoding: chunked, identity\r\n", _CHUNKED_INNER),
    "a coding behind a tab": smuggling("transfer-encoding: \x0bchunked\r\n", _CHUNKED_INNER),
    "a space before the colon": smuggling(f"{LENGTH}transfer-encoding : chunked\r\n", _CHUNKED_INNER),
    "a folded line": smuggling(f"{LENGTH}x-a: b\r\n transfer-encoding: chunked\r\n", _CHUNKED_INNER),
    "a folded value": smuggling(f"{LENGTH}transfer-encoding:\r\n chunked\r\n", _CHUNKED_INNER),
    "a header after a bare CR": smuggling(f"x-a: b\rtransfer-encoding: chunked\r\n{LENGTH}", _CHUNKED_INNER),
    "a NUL in a value": smuggling(f"x-a: b\0c\r\n{LENGTH}", _BODY),
    "a NUL in a name": smuggling(f"x\0a: b\r\n{LENGTH}", _BODY),
    "a line without a colon": smuggling(f"x-a\r\n{LENGTH}", _BODY),
    "a name of nothing": smuggling(f": b\r\n{LENGTH}", _BODY),
    "a space before the first header": CHAT.encode().replace(b"\r\nhost", b"\r\n host")
    + LENGTH.encode()
    + b"\r\n"
    + _BODY,
    "a chunk with a sign": smuggling(CHUNKED, b"+5\r\nhello\r\n" + _CHUNKED_INNER),
    "a chunk with a prefix": smuggling(CHUNKED, b"0x5\r\nhello\r\n" + _CHUNKED_INNER),
    "a chunk beyond 64 bits": smuggling(
        "transfer-encoding: chunked\r\n", b"10000000000000005\r\nhello\r\n" + _CHUNKED_INNER
    ),
    "a chunk longer than it says": smuggling(CHUNKED, b"2\r\nhello\r\n" + _CHUNKED_INNER),
    "a chunk that ends in LF": smuggling(CHUNKED, b"5\nhello\r\n" + _CHUNKED_INNER),
    "an extension with LF": smuggling(CHUNKED, b"5;a\nb\r\nhello\r\n" + _CHUNKED_INNER),
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    "no method": b"/v1/models HTTP/1.1\r\nhost: x\r\n\r\n",
    "another protocol's version": b"GET /v1/models ICE/1.0\r\nhost: x\r\n\r\n",
    "HTTP/2 without asking": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_what_could_be_read_in_two_ways_is_refused(stand: Stand, name: str) -> None:
    with Wire(stand.url, timeout=5) as wire:
        answer = wire.ask(AMBIGUOUS[name])
        assert answer.status in (0, 400, 501, 505), answer
        assert wire.at_end()
    assert not any(SMUGGLED.encode() in asked.body for asked in stand.chaos.asked["good"])


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "OPTIONS", "DELETE"])
def test_no_tunnels_and_no_echoes(stand: Stand, method: str) -> None:
    for target in ("*", "169.254.169.254:80", "http://169.254.169.254/", "/healthz"):
        if (method == "CONNECT") == (target == "169.254.169.254:80"):
            with Wire(stand.url, timeout=5) as wire:
                answer = wire.ask(f"{method} {target} HTTP/1.1\r\nhost: x\r\ncookie: s3cret\r\n\r\n".encode())
                assert 400 <= answer.status < 500 or answer.status == 0 or answer.status == 501
                assert b"s3cret" not in answer.body


def test_an_offer_to_change_protocols_is_not_taken_up(stand: Stand, pool: ThreadPoolExecutor) -> None:
    nonce = new_nonce()
    for offer in ({"upgrade": "websocket", "connection": "upgrade"}, {"upgrade": "h2c", "connection": "Upgrade"}):
        answer = pool.submit(ask, stand.url, post(body_for("good", nonce), **offer)).result(10)
        assert answer.status == 200 and nonce.encode() in answer.body
        sent = stand.chaos.asked["good"][-1].headers
        assert "upgrade" not in sent
