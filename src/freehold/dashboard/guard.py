"""Who may look: callers of a loopback name, or holders of the gateway's key. And every page's headers."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import os

from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from freehold.config import GatewaySettings
from freehold.domain.errors import ConfigError

HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
        b"frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
"""On every response. Scripts are forbidden altogether: the pages have none, so that no trace can bring one in."""


class Guard:
    """ASGI middleware around the dashboard.

    Without a gateway key the pages are for this machine only, and the Host header must say so: else a web page whose
    name is made to resolve to 127.0.0.1 could read them (DNS rebinding). With a key, the key is asked for (HTTP Basic,
    any user name, or Bearer); then any Host will do, since a browser sends the key only to the origin it was typed for.

    Raises:
        ConfigError: the environment variable that should hold the key is not set.
    """

    def __init__(self, app: ASGIApp, settings: GatewaySettings) -> None:
        self._app = app
        self._own_host = settings.host
        self._key = _key(settings.api_key_env) if settings.api_key_env else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on."""
        refusal = self._refusal(dict(scope["headers"])) if scope["type"] == "http" else None

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *HEADERS]
            await send(message)

        await (refusal or self._app)(scope, receive, send_guarded)

    def _refusal(self, headers: dict[bytes, bytes]) -> Response | None:
        if self._key is not None:
            if _has_key(headers.get(b"authorization", b""), self._key):
                return None
            return PlainTextResponse(
                "This dashboard asks for the gateway's key: any user name, the key as the password.\n",
                401,
                {"www-authenticate": 'Basic realm="Freehold", charset="UTF-8"'},
            )
        host = _host_name(headers.get(b"host", b"").decode("latin-1"))
        if is_loopback(host) or (host != "" and host == self._own_host.lower()):
            return None
        return PlainTextResponse(
            "The dashboard is served to this machine only: open it as http://127.0.0.1 or http://localhost, "
            "or set gateway.api_key_env to serve it under another name.\n",
            421,
        )


def is_loopback(host: str) -> bool:
    """Whether a host name (an IPv6 address without its brackets) means this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host_name(host: str) -> str:
    """The name in a Host header: without port and brackets, in lower case."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _has_key(authorization: bytes, key: bytes) -> bool:
    scheme, _, value = authorization.partition(b" ")
    given = value.strip()
    if scheme.lower() == b"basic":
        try:
            given = base64.b64decode(given, validate=True).partition(b":")[2]
        except binascii.Error:
            return False
    elif scheme.lower() != b"bearer":
        return False
    return hmac.compare_digest(given, key)


def _key(variable: str) -> bytes:
    key = os.environ.get(variable, "").strip()
    if not key:
        raise ConfigError(
            f"The environment variable {variable}, named by gateway.api_key_env, holds no key.",
            f"Run `export {variable}=…` first.",
        )
    return key.encode()
