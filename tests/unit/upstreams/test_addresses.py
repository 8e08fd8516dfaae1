"""Which addresses an upstream may have, and where proxies are."""

from __future__ import annotations

import asyncio
import socket

import pytest

from freehold.domain.errors import ConfigError, UpstreamAddressRefused
from freehold.upstreams.http.addresses import is_literal, is_public, resolve
from freehold.upstreams.http.origin import Origin
from freehold.upstreams.http.proxy import Proxy, proxy_from_environment


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
        ),
        *(
            "255.255.255.255",
            "198.18.0.1",
            "240.0.0.1",
            "::",
            "::1",
            "fd00:ec2::254",
            "fe80::1%eth0",
            "ff02::1",
            "ff0e::1",
        ),
        *(
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::808",
        ),
        *("2002:a00:1::", "2001:0:4136:e378:8000:63bf:f5ff:fffe", "nonsense", ""),
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "104.18.6.192", "2606:4700::6812:7c0", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_addresses_that_are(address: str) -> None:
    assert is_public(address)


def test_only_addresses_and_localhost_are_literal() -> None:
    assert all(map(is_literal, ("127.0.0.1", "::1", "10.0.0.1", "localhost", "api.localhost")))
    assert not any(
        map(is_literal, ("127.1", "0x7f.1", "2130706433", "localhost.evil.test", "metadata.google.internal"))
    )


def resolved(monkeypatch: pytest.MonkeyPatch, *addresses: str, private: bool = False) -> list[str]:
    def look_up(host: str, port: int, *rest: object, **more: object) -> list[object]:
        family = [socket.AF_INET6 if ":" in each else socket.AF_INET for each in addresses]
        return [
            (each, socket.SOCK_STREAM, 6, "", (address, port)) for each, address in zip(family, addresses, strict=True)
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asyncio.run(resolve("main", "llm.test", 443, private=private))


def test_a_name_may_lead_to_public_addresses_only_unless_private_ones_are_meant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert resolved(monkeypatch, "8.8.8.8", "2606:4700::1") == ["8.8.8.8", "2606:4700::1"]
    with pytest.raises(UpstreamAddressRefused, match=r"llm\.test.*'main'.*10\.0\.0\.1.*private = true"):
        resolved(monkeypatch, "8.8.8.8", "10.0.0.1")
    assert resolved(monkeypatch, "10.0.0.1", private=True) == ["10.0.0.1"]


def test_base_urls_say_where_and_no_more() -> None:
    origin = Origin("https://[2606:4700::1]:8443/openai/v1/")
    assert (origin.tls, origin.host, origin.port, origin.path) == (True, "2606:4700::1", 8443, b"/openai/v1")
    assert (origin.host_header, origin.text) == (b"[2606:4700::1]:8443", "https://[2606:4700::1]:8443")
    for url in (
        "ftp://a/v1",
        "https://",
        "https://a:99999/v1",
        "https://u:p@a/v1",
        "https://a/v1?x",
        "https://a/v 1",
        "x",
    ):
        with pytest.raises(ConfigError) as refused:
            Origin(url)
        assert "u:p" not in str(refused.value)


def test_proxies_and_their_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Proxy("http://ann:p%40ss@proxy.test:3128")
    assert (proxy.host, proxy.port, proxy.text) == ("proxy.test", 3128, "proxy.test:3128")
    assert proxy.credentials == b"Basic YW5uOnBAc3M="
    assert Proxy("proxy.test:8080").port == 8080 and Proxy("http://proxy.test").credentials == b""
    for url in ("socks5://proxy.test", "https://proxy.test", "http://", "http://a:b"):
        with pytest.raises(ConfigError):
            Proxy(url)
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert proxy_from_environment("api.test", 443, tls=True) == ""
    monkeypatch.setenv("https_proxy", "http://proxy.test:3128")
    monkeypatch.setenv("no_proxy", "inner.test,.corp.test")
    assert proxy_from_environment("api.test", 443, tls=True) == "http://proxy.test:3128"
    assert proxy_from_environment("api.test", 80, tls=False) == ""
    assert proxy_from_environment("inner.test", 443, tls=True) == ""
    assert proxy_from_environment("a.corp.test", 443, tls=True) == ""
