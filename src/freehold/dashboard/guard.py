"""Who may look: callers of a loopback name, or holders of a key. And every page's headers."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import os

from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from freehold.config import Settings
from freehold.dashboard.login import LOGIN, LOGOUT, SignIn, Visit, no_login, session_of, to_login
from freehold.dashboard.sessions import Keys, Sessions
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
OPEN = frozenset(("/static/style.css", "/static/mark.svg"))
"""What the sign-in page needs; by their whole paths, since a prefix could be walked out of."""
_SAFE = frozenset(("GET", "HEAD"))


class Guard:
    """ASGI middleware around the dashboard.

    With a key (`gateway.api_key_env`, `access.admin_key_env`, or both): people sign in with it at `/login`, programs
    send it (Bearer, or Basic with any user name). Then any Host will do: a browser sends a cookie only to the name that
    set it. What changes anything must carry the session's form token in `x-csrf-token`; Basic, which browsers send on
    their own, is not enough for it.

    Without a key the pages are for this machine only, and are only read: the gateway must listen on a loopback address
    and the Host header must say so, else a web page whose name is made to resolve to 127.0.0.1 could read them (DNS
    rebinding). On any other address they are closed, whatever the Host header says: callers choose that.

    Raises:
        ConfigError: the environment variable that should hold a key is not set.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._own_host = settings.gateway.host
        variables = {
            "gateway.api_key_env": settings.gateway.api_key_env,
            "access.admin_key_env": settings.access.admin_key_env,
        }
        self._keys = Keys([_key(variable, setting) for setting, variable in variables.items() if variable])
        self._sessions = Sessions(self._keys)
        self._sign_in = SignIn(self._keys, self._sessions)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        answer = await (self._keyed(scope, headers, receive) if self._keys.keys else self._keyless(scope, headers))

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *HEADERS]
            await send(message)

        await (answer or self._app)(scope, receive, send_guarded)

    async def _keyless(self, scope: Scope, headers: dict[str, str]) -> Response | None:
        if not is_loopback(self._own_host):
            return PlainTextResponse(
                "The dashboard is closed: this gateway listens to other machines and has no key. Set "
                "gateway.api_key_env or access.admin_key_env.\n",
                403,
            )
        if not is_loopback(_host_name(headers.get("host", ""))):
            return PlainTextResponse(
                "The dashboard is served to this machine only: open it as http://127.0.0.1 or http://localhost, "
                "or set gateway.api_key_env to serve it under another name.\n",
                421,
            )
        if scope["method"] not in _SAFE:
            return PlainTextResponse("Without a key these pages are only read.\n", 405, {"allow": "GET, HEAD"})
        return no_login() if scope["path"] == LOGIN else None

    async def _keyed(self, scope: Scope, headers: dict[str, str], receive: Receive) -> Response | None:
        path: str = scope["path"]
        visit = Visit(
            method=scope["method"],
            path=path,
            query=scope["query_string"].decode("latin-1"),
            session=session_of(headers.get("cookie", "")),
            https=headers.get("x-forwarded-proto", scope.get("scheme", "")) == "https",
        )
        if path in (LOGIN, LOGOUT):
            return await self._sign_in.answer(visit, receive)
        if path in OPEN and visit.method in _SAFE:
            return None
        if "authorization" in headers:
            return self._authorized(headers["authorization"], visit)
        if not self._sessions.is_signed_in(visit.session):
            wants_page = visit.method in _SAFE and "text/html" in headers.get("accept", "")
            return to_login(path, visit.query) if wants_page else _unauthorized()
        if visit.method not in _SAFE and not self._sessions.form_token_fits(
            visit.session, headers.get("x-csrf-token", "")
        ):
            return PlainTextResponse("This did not come from a page of this dashboard: reload it.\n", 403)
        return None

    def _authorized(self, authorization: str, visit: Visit) -> Response | None:
        scheme, _, value = authorization.partition(" ")
        given = value.strip().encode("latin-1")
        basic = scheme.lower() == "basic"
        if basic:
            try:
                given = base64.b64decode(given, validate=True).partition(b":")[2]
            except binascii.Error:
                return _unauthorized()
        elif scheme.lower() != "bearer":
            return _unauthorized()
        if not self._keys.fit(given):
            return _unauthorized()
        if basic and visit.method not in _SAFE:
            return PlainTextResponse("Basic authorization is for reading only: send the key as Bearer.\n", 403)
        return None


def is_loopback(host: str) -> bool:
    """Whether a host name (an IPv6 address without its brackets) means this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _unauthorized() -> Response:
    return PlainTextResponse(
        "This dashboard asks for a key: sign in at /login, or send `Authorization: Bearer KEY`.\n",
        401,
        {"www-authenticate": 'Bearer realm="Freehold"'},
    )


def _host_name(host: str) -> str:
    """The name in a Host header: without port and brackets, in lower case."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _key(variable: str, setting: str) -> bytes:
    key = os.environ.get(variable, "").strip()
    if not key:
        raise ConfigError(
            f"The environment variable {variable}, named by {setting}, holds no key.",
            f"Run `export {variable}=…` first.",
        )
    return key.encode()
