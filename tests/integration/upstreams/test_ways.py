"""Ways to an upstream over real sockets: TLS with a private authority, proxies, checked addresses, health checks."""

from __future__ import annotations

import asyncio
import base64
import datetime
import ipaddress
import socket
import ssl
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from freehold.domain.errors import UpstreamAddressRefused, UpstreamUnreachable
from freehold.upstreams.base import UpstreamRequest
from freehold.upstreams.http import HttpUpstream, Options, Place

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
Handler = Callable[[bytes], bytes]
"""A request's head in, an answer out."""
Run = Callable[[Coroutine[None, None, None]], None]


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def loop_run(request: pytest.FixtureRequest) -> Run:
    """The gateway runs on uvloop, the loop's jobs on asyncio's own: their TLS and tunnels differ."""
    return request.param


@asynccontextmanager
async def served(handle: Handler, tls: ssl.SSLContext | None = None) -> AsyncGenerator[int]:
    """A server on a free port; gives the port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                writer.write(handle(head))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@asynccontextmanager
async def proxy(heads: list[bytes], credentials: bytes = b"") -> AsyncGenerator[int]:
    """An HTTP proxy that tunnels and relays; `heads`: what it was asked."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        heads.append(head)
        if credentials not in head:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
            writer.close()
            return
        method, target, _ = head.split(b"\r\n")[0].split(b" ")
        address = target if method == b"CONNECT" else target.split(b"/")[2]
        upstream = await asyncio.open_connection("127.0.0.1", int(address.rpartition(b":")[2]))
        if method == b"CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            upstream[1].write(head)
        await asyncio.gather(carry(reader, upstream[1]), carry(upstream[0], writer))

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def request() -> UpstreamRequest:
    return UpstreamRequest(method=b"GET", path=b"/models", headers=[], body=b"")


async def fetch(upstream: HttpUpstream) -> int:
    """The status of one answer, read to its end."""
    answer = await upstream.send(request())
    while not answer.at_end:
        await answer.read()
    return answer.status


def options(**more: object) -> Options:
    return Options(**{"retries": 0, "connect_timeout": 2.0, "first_byte_timeout": 2.0, **more})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate of its own for localhost and 127.0.0.1, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.DNSName("llm.test"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    built = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    built = built.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    built = built.add_extension(x509.SubjectAlternativeName(names), critical=False)
    built = built.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    path = tmp_path_factory.mktemp("tls") / "authority.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return path


def server_side(authority: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority)
    return context


def test_a_private_authority_is_trusted_where_it_is_configured_and_nowhere_else(authority: Path, loop_run: Run) -> None:
    async def run() -> None:
        async with served(lambda head: ANSWER, server_side(authority)) as port:
            trusting = HttpUpstream("main", f"https://localhost:{port}/v1", options(ca_file=str(authority)))
            assert [await fetch(trusting) for _ in range(3)] == [200] * 3
            assert trusting.health()[0].connections == 1
            await trusting.aclose()
            with pytest.raises(UpstreamUnreachable, match=r"(?i)certificate"):
                await fetch(HttpUpstream("main", f"https://localhost:{port}/v1", options()))
            with pytest.raises(UpstreamUnreachable, match=r"ca_file .*missing\.pem"):
                await fetch(HttpUpstream("main", f"https://localhost:{port}/v1", options(ca_file="missing.pem")))

    loop_run(run())


def test_a_proxy_tunnels_to_https_origins_and_sees_nothing_of_the_request(authority: Path, loop_run: Run) -> None:
    async def run() -> None:
        heads: list[bytes] = []
        credentials = b"proxy-authorization: Basic " + base64.b64encode(b"ann:p@ss")
        async with served(lambda head: ANSWER, server_side(authority)) as port, proxy(heads, credentials) as through:
            made = options(ca_file=str(authority), proxy=f"http://ann:p%40ss@127.0.0.1:{through}")
            upstream = HttpUpstream("main", [Place(f"https://llm.test:{port}/v1", "sk-secret")], made)
            assert [await fetch(upstream) for _ in range(3)] == [200] * 3
            assert len(heads) == 1 and heads[0].startswith(b"CONNECT llm.test:%d HTTP/1.1\r\n" % port)
            assert b"sk-secret" not in heads[0]
            await upstream.aclose()
            denied = options(proxy=f"http://127.0.0.1:{through}")
            with pytest.raises(UpstreamUnreachable, match=rf"through the proxy 127\.0\.0\.1:{through}.*407"):
                await fetch(HttpUpstream("main", f"https://llm.test:{port}/v1", denied))

    loop_run(run())


def test_a_proxy_relays_to_http_origins(monkeypatch: pytest.MonkeyPatch, loop_run: Run) -> None:
    async def run() -> None:
        heads: list[bytes] = []
        async with served(lambda head: ANSWER) as port, proxy(heads) as through:
            upstream = HttpUpstream("main", f"http://llm.test:{port}/v1", options(proxy=f"127.0.0.1:{through}"))
            assert [await fetch(upstream) for _ in range(2)] == [200] * 2
            assert heads[0].startswith(b"GET http://llm.test:%d/v1/models HTTP/1.1\r\nhost: llm.test:%d" % (port, port))
            await upstream.aclose()
            monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{through}")
            monkeypatch.delenv("no_proxy", raising=False)
            named = HttpUpstream("main", f"http://llm.test:{port}/v1", options(trust_env_proxy=True))
            assert await fetch(named) == 200 and len(heads) == 2
            await named.aclose()
            with pytest.raises(UpstreamUnreachable):  # its name leads nowhere, and no proxy was asked for
                await fetch(HttpUpstream("main", f"http://llm.test:{port}/v1", options()))

    loop_run(run())


def test_only_the_address_that_was_checked_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second look-up could give another answer: there is none."""

    async def run() -> None:
        asked: list[str] = []
        real = socket.getaddrinfo

        def look_up(host: str, *rest: object, **more: object) -> object:
            if host != "llm.test":
                return real(host, *rest, **more)  # type: ignore[arg-type]
            asked.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        async with served(lambda head: ANSWER) as port:
            with pytest.raises(UpstreamAddressRefused, match=r"llm\.test.*127\.0\.0\.1.*private = true"):
                await fetch(HttpUpstream("main", f"http://llm.test:{port}/v1", options(retries=2)))
            assert asked == ["llm.test"], "nor is it tried again"
            meant = HttpUpstream("main", f"http://llm.test:{port}/v1", options(private=True))
            assert await fetch(meant) == 200 and len(asked) == 2
            await meant.aclose()

    asyncio.run(run())


def test_a_redirect_is_passed_on_and_never_followed() -> None:
    async def run() -> None:
        heads: list[bytes] = []

        def redirect(head: bytes) -> bytes:
            heads.append(head)
            return b"HTTP/1.1 307 Elsewhere\r\nlocation: http://127.0.0.1:1/v1/models\r\ncontent-length: 0\r\n\r\n"

        async with served(redirect) as port:
            upstream = HttpUpstream("main", [Place(f"http://127.0.0.1:{port}/v1", "sk-secret")], options())
            answer = await upstream.send(request())
            assert answer.status == 307 and (b"location", b"http://127.0.0.1:1/v1/models") in answer.headers
            assert len(heads) == 1
            await upstream.aclose()

    asyncio.run(run())


def test_health_checks_end_rests_and_begin_them(loop_run: Run) -> None:
    async def until(state: str, upstream: HttpUpstream) -> None:
        async with asyncio.timeout(10.0):
            while upstream.health()[1].state != state:  # noqa: ASYNC110 - nothing tells of a change
                await asyncio.sleep(0.01)

    async def run() -> None:
        well = [True]
        asked: list[bytes] = []

        def second(head: bytes) -> bytes:
            asked.append(head)
            return ANSWER if well[0] else b"HTTP/1.1 503 Down\r\ncontent-length: 0\r\n\r\n"

        async with served(lambda head: ANSWER) as one, served(second) as other:
            places = [Place(f"http://127.0.0.1:{port}/v1", "sk-own") for port in (one, other)]
            upstream = HttpUpstream("main", places, options(health_path="/health", health_interval=0.02))
            assert await fetch(upstream) == 200
            well[0] = False
            await until("open", upstream)
            assert "health check: status 503" in upstream.health()[1].last_error
            seen = sum(b"/v1/models" in head for head in asked)
            assert [await fetch(upstream) for _ in range(6)] == [200] * 6
            assert sum(b"/v1/models" in head for head in asked) == seen, "the one that rests is not asked"
            well[0] = True
            await until("closed", upstream)
            checks = [head for head in asked if head.startswith(b"GET /health HTTP/1.1\r\n")]
            assert checks and b"sk-own" in checks[0]
            await upstream.aclose()

    loop_run(run())


def test_with_one_deployment_down_nobody_notices(loop_run: Run) -> None:
    async def run() -> None:
        async with served(lambda head: ANSWER) as port:
            places = [Place("http://127.0.0.1:9/v1", weight=3), Place(f"http://127.0.0.1:{port}/v1")]
            upstream = HttpUpstream("main", places, options(retries=1))
            assert [await fetch(upstream) for _ in range(40)] == [200] * 40
            first, second = upstream.health()
            assert (first.state, second.state) == ("open", "closed") and "127.0.0.1:9" in first.last_error
            await upstream.aclose()

    loop_run(run())
