"""HTTP proxies on the way to an upstream: which one, and the tunnel through it (RFC 9110, 9.3.6)."""

from __future__ import annotations

import asyncio
import base64
from typing import cast
from urllib.parse import unquote, urlsplit

from freehold.domain.errors import ConfigError

MAX_HEAD_BYTES = 16_384


class Proxy:
    """Where a proxy is, and the credentials for it.

    Raises:
        ConfigError: its URL is not one of an HTTP proxy.
    """

    __slots__ = ("credentials", "host", "port", "text")

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            port = parts.port
        except ValueError as error:
            raise ConfigError("The URL of a proxy has no usable port.", "Give a number under 65536.") from error
        if parts.scheme != "http" or not parts.hostname:
            raise ConfigError(
                f"The proxy at {parts.hostname!r} is not an HTTP proxy.", "Give one such as http://proxy:3128."
            )
        self.host = parts.hostname
        self.port = port or 80
        self.text = f"{self.host}:{self.port}"
        """Without credentials."""
        self.credentials = b""
        """The value of `Proxy-Authorization`; empty without any (RFC 7617)."""
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self.credentials = b"Basic " + base64.b64encode(pair.encode())


def proxy_from_environment(host: str, port: int, *, tls: bool) -> str:
    """The proxy that HTTPS_PROXY or HTTP_PROXY names for a host, unless NO_PROXY names the host; else empty."""
    from urllib import request  # not on the start-up path

    if request.proxy_bypass(f"{host}:{port}"):
        return ""
    return request.getproxies().get("https" if tls else "http", "")


class Tunnel(asyncio.Protocol):
    """Asks a proxy for a way through to `host:port`."""

    def __init__(self, proxy: Proxy, host: str, port: int) -> None:
        self._proxy = proxy
        name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._target = name.encode()
        self._received = b""
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def opened(self) -> None:
        """Wait for the proxy's consent.

        Raises:
            OSError: it refuses, or is no HTTP proxy.
        """
        await self._opened

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        lines = b"CONNECT %s HTTP/1.1\r\nhost: %s\r\n" % (self._target, self._target)
        if self._proxy.credentials:
            lines += b"proxy-authorization: %s\r\n" % self._proxy.credentials
        cast(asyncio.Transport, transport).write(lines + b"\r\n")

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if not end and len(head) <= MAX_HEAD_BYTES:
            return
        version, _, status = head.partition(b"\r\n")[0].partition(b" ")
        if not end or rest or not version.startswith(b"HTTP/1."):
            self._refuse("did not answer as an HTTP proxy")
        elif not status.startswith(b"2"):
            self._refuse(f"refused to connect: {status[:60].decode('latin-1')}")
        elif not self._opened.done():
            self._opened.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._refuse("closed the connection")

    def _refuse(self, what: str) -> None:
        if not self._opened.done():
            self._opened.set_exception(OSError(f"the proxy {self._proxy.text} {what}"))
