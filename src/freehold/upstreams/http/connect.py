"""Opens connections to one origin: directly or through a proxy, with TLS where its URL says so."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from freehold.domain.errors import ConfigError
from freehold.upstreams.http.addresses import is_literal, resolve
from freehold.upstreams.http.connection import Connection
from freehold.upstreams.http.origin import Origin
from freehold.upstreams.http.proxy import Proxy, Tunnel


class Connector:
    """Of one origin."""

    def __init__(self, name: str, origin: Origin, *, private: bool, ca_file: str, proxy: Proxy | None) -> None:
        """
        Args:
            name: of the upstream.
            private: whether a name may lead to an address that is not public; an address, or localhost, in the base URL
                always may. What a proxy connects to is for the proxy to decide.
            ca_file: PEM file with the authorities to trust; empty: the system's.
            proxy: where to go through.
        """
        self.text = origin.text if proxy is None else f"{origin.text} through the proxy {proxy.text}"
        """Where it leads, for messages."""
        self._name = name
        self._origin = origin
        self._private = private or is_literal(origin.host)
        self._ca_file = ca_file
        self._proxy = proxy
        self._tls: ssl.SSLContext | None = None

    async def connect(self, factory: Callable[[], Connection]) -> Connection:
        """A connection that is up, with the handshake done.

        Raises:
            OSError: it is refused, does not resolve, or its certificate is not accepted.
            UpstreamAddressRefused: its name leads to an address that it may not have.
            ConfigError: the `ca_file` cannot be used.
        """
        origin, proxy = self._origin, self._proxy
        if proxy is not None and origin.tls:
            return await self._tunnel(factory, proxy)
        host, port = (origin.host, origin.port) if proxy is None else (proxy.host, proxy.port)
        addresses = await resolve(self._name, host, port, private=self._private or proxy is not None)
        failure = OSError("it has no address")
        for left in range(len(addresses), 0, -1):
            try:
                return await self._connect_to(addresses[-left], port, factory, last=left == 1)
            except OSError as error:
                failure = error
        raise failure

    async def _connect_to(
        self, address: str, port: int, factory: Callable[[], Connection], *, last: bool
    ) -> Connection:
        """Connect to one address; one of several gets a second, so that a dead one does not use up the time of all."""
        loop = asyncio.get_running_loop()
        context = self._context() if self._origin.tls else None
        name = self._origin.host if self._origin.tls else None
        async with asyncio.timeout(None if last else 1.0):
            _, connection = await loop.create_connection(factory, address, port, ssl=context, server_hostname=name)
        return connection

    async def _tunnel(self, factory: Callable[[], Connection], proxy: Proxy) -> Connection:
        loop = asyncio.get_running_loop()
        transport, tunnel = await loop.create_connection(
            lambda: Tunnel(proxy, self._origin.host, self._origin.port), proxy.host, proxy.port
        )
        connection = factory()
        try:
            await tunnel.opened()
            secured = await loop.start_tls(transport, connection, self._context(), server_hostname=self._origin.host)
        except BaseException:
            transport.abort()
            raise
        if secured is None:
            raise OSError("it closed the connection during the TLS handshake")
        connection.connection_made(secured)
        return connection

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:  # loads the trust store: only once TLS is needed
            try:
                self._tls = ssl.create_default_context(cafile=self._ca_file or None)
            except (OSError, ssl.SSLError) as error:
                raise ConfigError(
                    f"The ca_file {self._ca_file} of upstream {self._name!r} cannot be used: {error}.",
                    "Name a readable PEM file.",
                ) from error
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls
