"""Attacks on the dashboard: who gets in, what other sites can make a browser do, and what prompts can bring in."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import closing
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode

import msgspec
import pytest
from wire import Answer, ask, get, post

from freehold.config import GatewaySettings, Settings, UpstreamSettings
from freehold.dashboard import create_dashboard
from freehold.dashboard.login import COOKIE
from freehold.dashboard.sessions import SESSION_SECONDS, Keys, Sessions
from freehold.domain.ids import new_id
from freehold.domain.traces import Trace
from freehold.gateway import serve_in_thread
from freehold.store import Store

KEY = "correct-horse-battery-staple"
PAGE = {"accept": "text/html,*/*"}


def settings_in(folder: Path, **gateway: object) -> Settings:
    return Settings(
        gateway=GatewaySettings(port=0, **gateway),  # type: ignore[arg-type]
        upstreams={"rented": UpstreamSettings(base_url="http://127.0.0.1:1/v1")},
        data_dir=str(folder),
    )


def served(settings: Settings) -> Iterator[str]:
    with serve_in_thread(settings, fallback=create_dashboard(settings)) as running:
        yield running.url


@pytest.fixture
def keyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A dashboard behind a key."""
    monkeypatch.setenv("ATTACK_TEST_KEY", KEY)
    yield from served(settings_in(tmp_path, api_key_env="ATTACK_TEST_KEY"))


def cookie_of(answer: Answer) -> str:
    return SimpleCookie(answer.headers["set-cookie"])[COOKIE].value


def token_of(answer: Answer) -> str:
    found = re.search(rb'name="token" value="([^"]+)"', answer.body)
    assert found is not None
    return found[1].decode()


def send_form(url: str, path: str, cookie: str, **fields: str) -> Answer:
    body = urlencode(fields).encode()
    request = post(body, path, cookie=f"other=1; {COOKIE}={cookie}")
    return ask(url, request.replace(b"application/json", b"application/x-www-form-urlencoded"))


def sign_in(url: str, key: str = KEY, after: str = "/") -> Answer:
    page = ask(url, get("/login"))
    return send_form(url, "/login", cookie_of(page), token=token_of(page), key=key, next=after)


def test_people_sign_in_and_out(keyed: str) -> None:
    turned_away = ask(keyed, get("/events?task=task_0123456789abcdef", **PAGE))
    assert turned_away.status == 303
    assert turned_away.headers["location"] == "/login?next=%2Fevents%3Ftask%3Dtask_0123456789abcdef"
    answer = sign_in(keyed, after="/events")
    assert (answer.status, answer.headers["location"]) == (303, "/events")
    marks = {mark.strip().lower() for mark in answer.headers["set-cookie"].split(";")}
    assert {"httponly", "samesite=strict", "path=/", f"max-age={SESSION_SECONDS}"} <= marks
    cookie = cookie_of(answer)
    page = ask(keyed, get("/events", cookie=f"{COOKIE}={cookie}", **PAGE))
    assert page.status == 200 and KEY.encode() not in page.body
    page = ask(keyed, get("/login", cookie=f"{COOKIE}={cookie}"))
    assert b"Sign out" in page.body
    out = send_form(keyed, "/logout", cookie, token=token_of(page))
    assert out.status == 303 and "Max-Age=0" in out.headers["set-cookie"]


def test_only_the_key_opens_it(keyed: str) -> None:
    for wrong in ("", "wrong", KEY[:-1], f"{KEY} ", KEY.upper(), "' OR '1'='1", "\0", "é"):
        answer = sign_in(keyed, wrong)
        assert answer.status == 401 and "set-cookie" not in answer.headers, wrong
        assert b"not the key" in answer.body and KEY.encode() not in answer.body
    page = ask(keyed, get("/login"))
    anonymous = cookie_of(page)
    forged = anonymous.replace("anonymous.", "in.", 1)
    other = Sessions(Keys([b"another key"])).issue(signed_in=True)
    own = Sessions(Keys([KEY.encode()]))
    late = Sessions(Keys([KEY.encode()]), clock=lambda: 0.0).issue(signed_in=True)
    longer = own.issue(signed_in=True).split(".")
    longer[1] = str(int(longer[1]) + 1)
    for cookie in (anonymous, forged, other, late, ".".join(longer), "in.9999999999.x.", "in", "", "..." * 1000):
        answer = ask(keyed, get("/events", cookie=f"{COOKIE}={cookie}"))
        assert answer.status == 401, cookie
    assert ask(keyed, get("/events", cookie=f"{COOKIE}={own.issue(signed_in=True)}")).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "//",
        "/./",
        "/traces/../",
        "/static/../traces",
        "/static/%2e%2e/traces",
        "/static/style.css/../../traces",
        "/login/../traces",
        "/login/",
        "/login%2f..%2ftraces",
        "/Login",
        "/healthz/../traces",
        "/%74races",
        "/traces;/static/style.css",
        "/traces?/static/style.css",
        "http://127.0.0.1/traces",
        "http://localhost/static/../traces",
    ],
)
def test_no_spelling_of_a_path_gets_around_the_key(keyed: str, path: str) -> None:
    claims = {"host": "127.0.0.1", "x-forwarded-for": "127.0.0.1", "x-original-url": "/static/style.css"}
    for headers in ({}, claims, {"x-rewrite-url": "/login", "x-http-method-override": "HEAD", "host": "localhost"}):
        answer = ask(keyed, get(path, **headers))
        assert answer.status in (400, 401, 404, 405), path
        assert b"Traces" not in answer.body and b"Overview" not in answer.body


def test_other_sites_cannot_make_a_browser_change_anything(keyed: str) -> None:
    """CSRF: a cookie alone, or Basic, changes nothing; tokens are of one session only."""
    cookie = cookie_of(sign_in(keyed))
    token = token_of(ask(keyed, get("/login", cookie=f"{COOKIE}={cookie}")))
    elsewhere = ask(keyed, get("/login"))
    assert send_form(keyed, "/logout", cookie, token=token_of(elsewhere)).status == 403
    assert send_form(keyed, "/logout", cookie).status == 403
    assert send_form(keyed, "/login", cookie_of(elsewhere), token=token, key=KEY).status == 403
    assert send_form(keyed, "/login", "", token=token, key=KEY).status == 403
    assert send_form(keyed, "/login", cookie_of(elsewhere), token=token_of(elsewhere), key="x" * 10_000).status == 403
    signed_in = f"{COOKIE}={cookie}"
    assert ask(keyed, post(b"", "/events", cookie=signed_in)).status == 403
    assert ask(keyed, post(b"", "/events", cookie=signed_in, x_csrf_token=token_of(elsewhere))).status == 403
    assert ask(keyed, post(b"", "/events", cookie=signed_in, x_csrf_token=token)).status == 405  # it is only read
    basic = base64.b64encode(f"me:{KEY}".encode()).decode()
    assert ask(keyed, get("/events", authorization=f"Basic {basic}")).status == 200
    assert ask(keyed, post(b"", "/events", authorization=f"Basic {basic}")).status == 403
    assert ask(keyed, get("/logout", cookie=signed_in)).status == 405


@pytest.mark.parametrize(
    "address",
    ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "", "/\r\nx: y", "/\t/x"],
)
def test_signing_in_leads_nowhere_else(keyed: str, address: str) -> None:
    answer = sign_in(keyed, after=address)
    assert (answer.status, answer.headers["location"]) == (303, "/")
    page = ask(keyed, get(f"/login?{urlencode({'next': address})}"))
    assert b"evil" not in page.body and b"javascript" not in page.body


def test_without_a_key_other_machines_see_nothing(tmp_path: Path) -> None:
    """The Host header is the caller's to choose: where it listens decides."""
    for url in served(settings_in(tmp_path, host="0.0.0.0")):
        here = url.replace("0.0.0.0", "127.0.0.1")
        for host in ("localhost", "127.0.0.1", "0.0.0.0", "[::1]", ""):
            answer = ask(here, get("/events", host=host))
            assert answer.status == 403 and b"gateway.api_key_env" in answer.body
        assert ask(here, get("/login")).status == 403


def test_without_a_key_nothing_can_be_changed(tmp_path: Path) -> None:
    for url in served(settings_in(tmp_path)):
        assert ask(url, get("/events", host="localhost")).status == 200
        assert ask(url, post(b"", "/events", host="localhost")).status == 405
        assert ask(url, get("/events", host="evil.example")).status == 421
        page = ask(url, get("/login", host="localhost"))
        assert page.status == 200 and b"<form" not in page.body


INJECTIONS = [
    "{{ 1337 * 1337 }}",
    "{% for x in ().__class__.__base__.__subclasses__() %}{{ x }}{% endfor %}",
    "{{ config }}{{ self.__init__.__globals__ }}",
    "${1337*1337} #{1337*1337} <%= 1337*1337 %>",
    "<script>document.title='pwned'</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</pre></section><svg onload=alert(1)>",
    "javascript:alert(1)",
    '<a href="javascript:alert(1)">x</a>',
    "<style>*{display:none}</style><meta http-equiv=refresh content=0;url=//evil.example>",
]


def test_what_callers_write_is_never_markup_nor_a_template(tmp_path: Path) -> None:
    """Stored XSS and template injection, in every field that a caller or an upstream can fill."""
    settings = settings_in(tmp_path)
    traces: list[Trace] = []
    with closing(Store.open(settings.data, settings.control_url)) as store, closing(store.open_journal()) as journal:
        for at_ns, text in enumerate(INJECTIONS, start=1):
            trace = Trace(
                trace_id=new_id("tr"),
                at_ns=at_ns,
                task_name=text,
                model=text,
                answered_by=f"{text}/{text}",
                reason=text,
                error=f"{text}: {text}",
                status=200,
                request=_chat(text),
                response=_chat(text),
                attempts=(text, text),
                key=text,
            )
            journal.append(trace)
            traces.append(trace)
    for url in served(settings):
        for trace, text in zip(traces, INJECTIONS, strict=True):
            page = ask(url, get(f"/traces/{trace.trace_id}", host="localhost"))
            shown = page.body.decode()
            assert page.status == 200 and "1787569" not in shown and "&lt;class" not in shown
            if "<" in text or '"' in text:
                assert text not in shown
            assert not re.search(r"<(script|img src=x|svg|style|meta http)", shown)
            assert not re.search(r"href=[\"']?javascript", shown)
            assert "default-src 'none'" in page.headers["content-security-policy"]
        for text in INJECTIONS:
            query = urlencode({"task": text, "by": text, "kind": text, "before": text, "window": text})
            for path in ("/traces", "/events", "/ledger", "/", "/login"):
                page = ask(url, get(f"{path}?{query}", host="localhost"))
                assert page.status in (200, 404) and "1787569" not in page.body.decode()
                assert "<" not in text or text not in page.body.decode()


def _chat(text: str) -> bytes:
    part = {
        "role": text,
        "content": text,
        "name": text,
        "tool_calls": [{"function": {"name": text, "arguments": text}}],
    }
    return msgspec.json.encode(
        {"model": text, "messages": [part], "choices": [{"message": part, "finish_reason": text}]}
    )
