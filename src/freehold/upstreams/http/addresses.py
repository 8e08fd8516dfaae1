"""Which addresses an upstream may have. A public name that leads to a private address is a mistake or an attack.

Names are resolved, the addresses found are checked, and exactly those are connected to: there is no second look-up
whose answer could differ.
"""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from freehold.domain.errors import UpstreamAddressRefused

_EMBEDDING = (IPv6Network("64:ff9b::/96"), IPv6Network("::/96"))
"""Prefixes before an IPv4 address: of translators (RFC 6052), and the old compatible form (RFC 4291)."""
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
"""For translators of one's own network (RFC 8215)."""


def is_literal(host: str) -> bool:
    """Whether a configured host is an address, or `localhost`: whoever wrote it knows where it leads."""
    return host == "localhost" or host.endswith(".localhost") or _address(host) is not None


def is_public(address: str) -> bool:
    """Whether an address is one that anybody on the internet could have.

    Private, loopback, link-local (with the metadata services of clouds), shared, multicast and reserved ranges are not,
    nor what hides one of them in an IPv6 address.
    """
    found = _address(address.partition("%")[0])
    if found is None or found.is_multicast or found in _LOCAL_NAT64:
        return False
    return _stands_for(found).is_global


async def resolve(upstream: str, host: str, port: int, *, private: bool) -> list[str]:
    """The addresses of `host`, all of them allowed.

    Raises:
        OSError: it does not resolve.
        UpstreamAddressRefused: it resolves to an address that is not public, and `private` ones are not allowed.
    """
    if _address(host) is not None:
        return [host]
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(f"{host!r} is not the name of a host") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        if not private and not is_public(address):
            raise UpstreamAddressRefused(
                f"The host {host} of upstream {upstream!r} has the address {address}, which is not a public one.",
                "If that is meant, set private = true for this upstream.",
            )
    return addresses


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _stands_for(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 address carries; else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if any(address in network for network in _EMBEDDING) and int(address) > 0xFFFF:  # `::` and `::1` are no IPv4
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (address if teredo is None else teredo[1])
