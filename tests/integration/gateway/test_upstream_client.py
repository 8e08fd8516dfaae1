"""The HTTP client towards providers: framing, keep-alive, retries, fallbacks, limits."""

import asyncio
import datetime
import ssl
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from gateway_fixtures import (
    JSON_ANSWER,
    Request,
    Scripted,
    answering,
    chunk,
    cut_after,
    hang,
    in_turn,
    plain,
    post,
    raw,
    settings,
    split,
    traces,
    upstream,
)

from freehold.domain.errors import ModelNotFound, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from freehold.gateway import serve_in_thread
from freehold.upstreams.base import UpstreamRequest
from freehold.upstreams.directory import Entry, UpstreamDirectory
from freehold.upstreams.http import HttpUpstream, Options

BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'


def request(method: bytes = b"POST", body: bytes = BODY) -> UpstreamRequest:
    return UpstreamRequest(method=method, path=b"/chat/completions", headers=[], body=body)


def client(base_url: str, **options: float) -> HttpUpstream:
    fields: dict[str, float] = {"retries": 0, "connect_timeout": 1.0, "first_byte_timeout": 1.0, "idle_timeout": 1.0}
    return HttpUpstream("main", base_url, Options(**{**fields, **options}))  # type: ignore[arg-type]


async def fetch(api: HttpUpstream, asked: UpstreamRequest | None = None) -> tuple[int, bytes]:
    response = await api.send(asked or request())
    body = b""
    while not response.at_end:
        body += await response.read()
    return response.status, body


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        ([plain(b"{}")], b"{}"),
        ([part.to_bytes(1, "big") for part in plain(b"{}")], b"{}"),
        (
            [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunk(b"ab") + chunk(b"c") + b"0\r\n\r\n"],
            b"abc",
        ),
        ([b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n", plain(b"{}")], b"{}"),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], b""),
    ],
)
def test_framings_that_keep_the_connection(wire: list[bytes], body: bytes) -> None:
    async def run() -> None:
        api = client(provider.base_url)
        for _ in range(3):
            assert (await fetch(api))[1] == body
        await api.aclose()

    with Scripted(answering(*wire)) as provider:
        asyncio.run(run())
        assert (len(provider.requests), provider.connections) == (3, 1)


@pytest.mark.parametrize(
    ("wire", "body", "method"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"until the end", b"POST"),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}", b"{}", b"POST"),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}", b"{}", b"POST"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", b"", b"HEAD"),
        (plain(b"{}") + plain(b"[9]"), b"{}", b"POST"),
    ],
)
def test_framings_that_end_the_connection(wire: bytes, body: bytes, method: bytes) -> None:
    async def run() -> None:
        api = client(provider.base_url)
        for _ in range(2):
            assert await fetch(api, request(method)) == (200, body)
        await api.aclose()

    with Scripted(cut_after(wire)) as provider:
        asyncio.run(run())
        assert provider.connections == 2


def test_a_kept_connection_that_was_closed_meanwhile_is_replaced_once() -> None:
    """The peer closes after each answer without saying so, as servers do whose keep-alive time is over."""

    async def run() -> None:
        api = client(provider.base_url)
        for _ in range(20):
            assert await fetch(api) == (200, JSON_ANSWER)
        await api.aclose()

    with Scripted(cut_after(plain())) as provider:
        asyncio.run(run())
        assert len(provider.requests) == 20


def test_retries_back_off_then_the_upstreams_own_answer_stands(tmp_path: Path) -> None:
    busy = answering(plain(b'{"error":1}', "429 Too Many Requests", "retry-after: 0.2\r\n"))
    broken = answering(plain(b'{"error":2}', "503 Service Unavailable"))
    far = answering(plain(b'{"error":3}', "429 Too Many Requests", "retry-after: 3600\r\n"))
    good = answering(plain())
    with (
        Scripted(in_turn(busy, broken, good)) as cured,
        Scripted(broken) as lost,
        Scripted(far) as later,
        serve_in_thread(
            settings(
                tmp_path,
                {
                    "cured": upstream(cured.base_url, ["cured"], retries=2),
                    "lost": upstream(lost.base_url, ["lost"], retries=1),
                    "later": upstream(later.base_url, ["later"], retries=2),
                },
            )
        ) as gateway,
    ):
        began = time.monotonic()
        assert split(raw(gateway.url, post(BODY.replace(b'"m"', b'"cured"'))))[2] == JSON_ANSWER
        assert time.monotonic() - began >= 0.2 + 0.25
        status, _, body = split(raw(gateway.url, post(BODY.replace(b'"m"', b'"lost"'))))
        assert (status, body, len(lost.requests)) == (503, b'{"error":2}', 2)
        status, headers, body = split(raw(gateway.url, post(BODY.replace(b'"m"', b'"later"'))))
        assert (status, body, len(later.requests), headers["retry-after"]) == (429, b'{"error":3}', 1, "3600")
        assert [trace.attempts for trace in traces(tmp_path)] == [
            ("cured: 429", "cured: 503", "cured: 200"),
            ("lost: 503", "lost: 503"),
            (),
        ]


def test_fallbacks_take_over_and_never_see_the_callers_key(tmp_path: Path) -> None:
    with (
        Scripted(answering(plain(b"{}", "500 Internal Server Error"))) as broken,
        Scripted(hang) as silent,
        Scripted(answering(plain())) as good,
        serve_in_thread(
            settings(
                tmp_path,
                {
                    "first": upstream("http://127.0.0.1:9/v1", ["m"], fallbacks=("broken", "silent", "good")),
                    "broken": upstream(broken.base_url, ["b"]),
                    "silent": upstream(silent.base_url, ["s"], first_byte_timeout=0.2),
                    "good": upstream(good.base_url, ["g"]),
                },
            )
        ) as gateway,
    ):
        status, headers, body = split(raw(gateway.url, post(BODY, headers="authorization: Bearer sk-caller\r\n")))
        assert (status, body, headers["x-freehold-answered-by"]) == (200, JSON_ANSWER, "good/m")
        assert "authorization" not in good.requests[0].headers
        (trace,) = traces(tmp_path)
        assert trace.attempts == ("first: upstream_unreachable", "broken: 500", "silent: upstream_timeout", "good: 200")


def test_connections_are_bounded_and_waited_for() -> None:
    async def slow(request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        writer.write(plain(b"{}"))

    async def run() -> None:
        api = client(provider.base_url, max_connections=3)
        assert await asyncio.gather(*(fetch(api) for _ in range(12))) == [(200, b"{}")] * 12
        cancelled = [asyncio.ensure_future(fetch(api)) for _ in range(12)]
        await asyncio.sleep(0.02)
        for task in cancelled:
            task.cancel()
        await asyncio.gather(*cancelled, return_exceptions=True)
        assert await asyncio.gather(*(fetch(api) for _ in range(6))) == [(200, b"{}")] * 6
        await api.aclose()

    with Scripted(slow) as provider:
        asyncio.run(run())
        assert provider.connections <= 3 + 3 + 3


def test_no_connection_is_said() -> None:
    async def run() -> None:
        with pytest.raises(UpstreamUnreachable, match=r"127\.0\.0\.1:9.*base_url"):
            await fetch(client("http://127.0.0.1:9/v1"))
        with pytest.raises(UpstreamTimeout, match="connection within 1"):  # it never begins a TLS handshake
            await fetch(client(provider.base_url.replace("http:", "https:")))
        api = client(provider.base_url, max_connections=1, connect_timeout=0.2, first_byte_timeout=30.0)
        first = asyncio.ensure_future(fetch(api))
        await asyncio.sleep(0.05)
        with pytest.raises(UpstreamTimeout, match="1 are open"):
            await fetch(api)
        await api.aclose()
        with pytest.raises(UpstreamError, match="stopping"):
            await first

    with Scripted(hang) as provider:
        asyncio.run(run())


def test_tls_is_checked_against_the_trust_store_and_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run(host: str) -> bytes:
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        server.load_cert_chain(certificate)

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(BODY)
            writer.write(plain(b"{}"))

        listener = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=server)
        api = client(f"https://{host}:{listener.sockets[0].getsockname()[1]}/v1")
        try:
            return (await fetch(api))[1]
        finally:
            await api.aclose()
            listener.close()

    certificate = self_signed(tmp_path, "localhost")
    with pytest.raises(UpstreamUnreachable, match=r"(?i)certificate"):
        asyncio.run(run("localhost"))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert asyncio.run(run("localhost")) == b"{}"
    with pytest.raises(UpstreamUnreachable, match=r"(?i)certificate"):
        asyncio.run(run("127.0.0.1"))


def self_signed(folder: Path, name: str) -> Path:
    """A key and a certificate of its own for `name`, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    built = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    built = built.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    built = built.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    built = built.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    plain_pem = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = folder / "certificate.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, *plain_pem)
        + built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )
    return path


def test_models_find_their_upstream() -> None:
    def entry(name: str, *models: str) -> Entry:
        return Entry(HttpUpstream(name, "http://127.0.0.1:9/v1"), models)

    directory = UpstreamDirectory([entry("globs", "gpt-*"), entry("exact", "gpt-4"), entry("any"), entry("more")])
    assert [directory.find(model) for model in ("gpt-4", "gpt-5", "other")] == ["exact", "globs", "any"]
    assert directory.default == "any"
    with pytest.raises(ModelNotFound, match=r"'other'.*gpt-4"):
        UpstreamDirectory([entry("exact", "gpt-4")]).find("other")
