"""What an upstream can do wrong, and what the caller and the trace must say then."""

from __future__ import annotations

from typing import NamedTuple

from chaos import (
    DONE,
    EVENTS,
    JSON,
    LINE_OF_A_MEGABYTE,
    LONG_LINE,
    SSE_HEAD,
    ZIPPED,
    Script,
    Talk,
    answers_unread,
    chunk,
    endless,
    plain,
    says,
    says_then,
    trickles,
    whole_stream,
)

HALF_STREAM = SSE_HEAD + chunk(EVENTS[0]) + chunk(EVENTS[1][:40])
PROTOCOL = "upstream_protocol_error"
TIMEOUT = "upstream_timeout"


class Case(NamedTuple):
    """A fault, and what comes of it."""

    script: Script | None
    """None: nobody listens there."""
    status: int
    """What the caller sees."""
    code: str = ""
    """Of the error in the caller's answer; empty: it is the upstream's own answer."""
    body: bytes | None = JSON
    """What the caller gets of the upstream's answer; None: not looked at."""
    whole: bool = True
    trace: str | None = None
    """How the trace's error begins; None: there is none."""
    stream: bool = False
    size: int = 0
    """Bytes of filling in the request."""


def failed(script: Script | None, status: int, code: str, **more: int) -> Case:
    """No answer begins: the caller gets an error of the gateway's own."""
    return Case(script, status, code, None, trace=code, **more)  # type: ignore[arg-type]


def cut(script: Script, body: bytes, trace: str, *, stream: bool = False) -> Case:
    """The answer breaks off: the caller gets as much of it, and sees that it is cut."""
    return Case(script, 200, body=body, whole=False, trace=trace, stream=stream)


def head_of(length: int, headers: str = "") -> bytes:
    return f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\n\r\n".encode()


CASES: dict[str, Case] = {
    # No answer begins.
    "refuses": failed(None, 502, "upstream_unreachable"),
    "hangs-before-the-first-byte": failed(Talk.hang, 504, TIMEOUT),
    "hangs-within-its-head": failed(says_then(Talk.hang, plain()[:30]), 504, TIMEOUT),
    "closes-without-an-answer": failed(Talk.close, 502, PROTOCOL),
    "resets-without-an-answer": failed(Talk.reset, 502, PROTOCOL),
    "closes-within-its-head": failed(says_then(Talk.close, plain()[:30]), 502, PROTOCOL),
    "is-not-http": failed(says(b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n"), 502, PROTOCOL),
    "switches-protocols": failed(
        says(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"), 502, PROTOCOL
    ),
    "endless-headers": failed(endless(b"HTTP/1.1 200 OK\r\n", b"x-a: b\r\n" * 1000), 502, PROTOCOL),
    "an-endless-header": failed(endless(b"HTTP/1.1 200 OK\r\nx-a: ", b"a" * 65536), 502, PROTOCOL),
    "a-header-of-a-megabyte": failed(
        says(b"HTTP/1.1 200 OK\r\n" + LINE_OF_A_MEGABYTE + b"content-length: 0\r\n\r\n"), 502, PROTOCOL
    ),
    "two-framings": failed(
        says_then(Talk.close, b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        502,
        PROTOCOL,
    ),
    "two-lengths": failed(
        says_then(Talk.close, b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 9\r\n\r\nabc"), 502, PROTOCOL
    ),
    "a-length-that-is-no-number": failed(
        says_then(Talk.close, b"HTTP/1.1 200 OK\r\ncontent-length: 0x3\r\n\r\nabc"), 502, PROTOCOL
    ),
    # The answer breaks off.
    "hangs-after-the-first-byte": cut(says_then(Talk.hang, plain()[:-20]), JSON[:-20], TIMEOUT),
    "hangs-mid-stream": cut(says_then(Talk.hang, HALF_STREAM), EVENTS[0] + EVENTS[1][:40], TIMEOUT, stream=True),
    "resets-mid-event": cut(says_then(Talk.reset, HALF_STREAM), EVENTS[0] + EVENTS[1][:40], PROTOCOL, stream=True),
    "closes-mid-event": cut(says_then(Talk.close, HALF_STREAM), EVENTS[0] + EVENTS[1][:40], PROTOCOL, stream=True),
    "shorter-than-it-said": cut(says_then(Talk.close, head_of(len(JSON) + 9), JSON), JSON, PROTOCOL),
    "a-broken-chunk": cut(
        says_then(Talk.close, SSE_HEAD + chunk(EVENTS[0]) + b"zz\r\ngarbage\r\n"), EVENTS[0], PROTOCOL, stream=True
    ),
    "a-chunk-of-endless-length": cut(
        says_then(Talk.close, SSE_HEAD + chunk(EVENTS[0]) + b"fffffffffffffffff\r\nx"),
        EVENTS[0],
        PROTOCOL,
        stream=True,
    ),
    # The answer comes, odd as it may be.
    "longer-than-it-said": Case(says(head_of(len(JSON)), JSON + b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nX"), 200),
    "no-json": Case(says(plain(b'{"choices": [')), 200, body=b'{"choices": ['),
    "no-events": Case(
        says(SSE_HEAD, chunk(b"event data\n\x00\xff: {]\n\n"), b"0\r\n\r\n"),
        200,
        body=b"event data\n\x00\xff: {]\n\n",
        stream=True,
    ),
    "ends-within-an-event": Case(
        says(SSE_HEAD, chunk(EVENTS[0] + EVENTS[1][:40]), b"0\r\n\r\n"),
        200,
        body=EVENTS[0] + EVENTS[1][:40],
        stream=True,
        trace=PROTOCOL,
    ),
    "a-line-of-10-megabytes": Case(says(whole_stream(LONG_LINE, DONE)), 200, body=LONG_LINE + DONE, stream=True),
    "trickles": Case(trickles(whole_stream(EVENTS[0], DONE), 16, 0.05), 200, body=EVENTS[0] + DONE, stream=True),
    "half-closes": Case(says_then(Talk.half_close, plain()), 200),
    "ends-with-its-connection": Case(says_then(Talk.close, b"HTTP/1.1 200 OK\r\n\r\n", JSON), 200),
    "http-1.0": Case(says_then(Talk.close, b"HTTP/1.0 200 OK\r\n\r\n", JSON), 200),
    "early-hints": Case(says(b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n", plain()), 200),
    "continue": Case(says(b"HTTP/1.1 100 Continue\r\n\r\n" * 3, plain()), 200),
    "compressed-though-not-asked": Case(
        says(plain(ZIPPED, headers="content-encoding: gzip\r\n")),
        200,
        body=ZIPPED,
    ),
    "trailers": Case(says(SSE_HEAD, chunk(JSON), b"0\r\nx-trailer: 1\r\n\r\n"), 200),
    "no-content": Case(says(b"HTTP/1.1 204 No Content\r\n\r\n"), 204, body=b""),
    "a-redirect": Case(
        says(plain(b"{}", "307 Temporary Redirect", "location: http://169.254.169.254/latest\r\n")), 307, body=b"{}"
    ),
    "too-many-requests": Case(
        says(plain(b'{"error":1}', "429 Too Many Requests", "retry-after: 7\r\n")), 429, body=None
    ),
    "answers-before-it-has-read": Case(answers_unread, 413, body=None, size=4_000_000),
}
