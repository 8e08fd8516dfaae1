"""Signing in and out: a page with one form, and the cookie that it leaves."""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from typing import NamedTuple
from urllib.parse import parse_qs, parse_qsl, urlencode

import structlog
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Receive

from freehold.dashboard.sessions import SESSION_SECONDS, Keys, Sessions
from freehold.dashboard.show import render

COOKIE = "freehold_session"
LOGIN, LOGOUT = "/login", "/logout"
MAX_FORM_BYTES = 8192
_log = structlog.get_logger()


class Visit(NamedTuple):
    """A request, as far as signing in is concerned."""

    method: str
    path: str
    query: str
    session: str
    """The cookie's value; empty without one."""
    https: bool
    """The browser came by HTTPS, as a proxy in front says; believed only to make the cookie stricter."""


class SignIn:
    """Answers `/login` and `/logout`."""

    def __init__(self, keys: Keys, sessions: Sessions) -> None:
        self._keys = keys
        self._sessions = sessions

    async def answer(self, visit: Visit, receive: Receive) -> Response:
        """The page, or what came of its form."""
        if visit.method in ("GET", "HEAD") and visit.path == LOGIN:
            return self._page(visit, parse_qs(visit.query).get("next", ["/"])[0])
        if visit.method != "POST":
            return Response(status_code=405, headers={"allow": "GET, POST" if visit.path == LOGIN else "POST"})
        form = await _read_form(receive)
        if not self._sessions.form_token_fits(visit.session, form.get("token", "")):
            return self._page(visit, form.get("next", "/"), 403, "The form is too old, or not from here: try again.")
        if visit.path == LOGOUT:
            return _with_cookie(RedirectResponse(LOGIN, 303), "", 0, visit)
        if not self._keys.fit(form.get("key", "").encode()):
            _log.warning("dashboard-sign-in-refused")
            return self._page(visit, form.get("next", "/"), 401, "This is not the key.")
        session = self._sessions.issue(signed_in=True)  # a new one: nobody can have planted it beforehand
        return _with_cookie(RedirectResponse(_local(form.get("next", "/")), 303), session, SESSION_SECONDS, visit)

    def _page(self, visit: Visit, after: str, status: int = 200, problem: str = "") -> Response:
        held = self._sessions.holds(visit.session)
        session = visit.session if held else self._sessions.issue(signed_in=False)
        text = render(
            "login.html",
            asked=True,
            signed_in=self._sessions.is_signed_in(session),
            token=self._sessions.form_token(session),
            after=_local(after),
            problem=problem,
        )
        response = HTMLResponse(text, status)
        return response if held else _with_cookie(response, session, SESSION_SECONDS, visit)


def to_login(path: str, query: str) -> Response:
    """Send a browser to the sign-in page, and afterwards back."""
    after = f"{path}?{query}" if query else path
    return RedirectResponse(f"{LOGIN}?{urlencode({'next': after})}", 303)


def no_login() -> Response:
    """The page where no key is asked for."""
    return HTMLResponse(render("login.html", asked=False))


def session_of(cookies: str) -> str:
    """The session in a Cookie header; empty without one."""
    try:
        found = SimpleCookie(cookies).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def _with_cookie(response: Response, session: str, seconds: int, visit: Visit) -> Response:
    response.set_cookie(
        COOKIE, session, max_age=seconds, path="/", httponly=True, samesite="strict", secure=visit.https
    )
    return response


def _local(address: str) -> str:
    """`address` if it stays on this site, else the overview: `//host` and `/\\host` would leave it."""
    if not address.startswith("/") or address[1:2] in ("/", "\\") or not address.isprintable():
        return "/"
    return address


async def _read_form(receive: Receive) -> dict[str, str]:
    """The fields; none if the form is too long to be ours."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_FORM_BYTES or message["type"] == "http.disconnect":
            return {}
        if not message.get("more_body"):
            return dict(parse_qsl(body.decode("latin-1"), keep_blank_values=True))
