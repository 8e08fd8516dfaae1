"""Virtual keys at the running gateway: who is let in, how much of it, what is recorded, and the admin API."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from gateway_fixtures import SSE_HEAD, Scripted, answering, chunk, hang, plain, post, raw, split, traces, upstream
from gateway_fixtures import settings as gateway_settings
from waiting import wait_for

from freehold.config import Price, Settings
from freehold.gateway import serve_in_thread
from freehold.ledger.keys import usage
from freehold.record.derive import Deriver
from freehold.store import Store

ADMIN, OWN = "the-admin-key-is-secret", "the-own-key-is-secret"
USAGE = b'"usage":{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120}'
ANSWER = (
    b'{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"hi"},"finish_reason":"stop"}],' + USAGE + b"}"
)
COST = 100 * 1_000 + 20 * 2_000
"""Nano-dollars of that answer, at a dollar per million tokens in and two per million out."""


def _body(**more: object) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}], **more}).encode()


class Keyed(NamedTuple):
    """A gateway with an admin API."""

    url: str
    settings: Settings
    data: Path

    def admin(self, method: str, path: str, body: object = None, key: str = ADMIN) -> tuple[int, Any]:
        sent = b"" if body is None else json.dumps(body).encode()
        request = post(sent, f"/admin/v1/{path}", f"authorization: Bearer {key}\r\n")
        status, headers, answer = split(raw(self.url, request.replace(b"POST", method.encode(), 1)))
        assert status >= 400 or headers["cache-control"] == "no-store"
        return status, json.loads(answer)

    def make(self, **fields: object) -> tuple[str, str]:
        """A new key that the worker knows: its text and its id."""
        status, made = self.admin("POST", "keys", fields)
        assert status == 201, made
        wrong = "x-freehold-pin: neither\r\n"  # is looked at once the key is known to be good
        wait_for(lambda: self.ask(made["key"], headers=wrong)[0] == 400)
        return made["key"], made["key_id"]

    def ask(
        self, key: str | None, body: bytes | None = None, path: str = "/v1/chat/completions", headers: str = ""
    ) -> tuple[int, dict[str, str], Any]:
        sent = f"authorization: Bearer {key}\r\n" if key is not None else ""
        return split(raw(self.url, post(_body() if body is None else body, path, sent + headers)))


@pytest.fixture
def keyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Callable[..., Keyed], None, None]:
    """Makes a gateway in front of a scripted upstream."""
    monkeypatch.setenv("ADMIN_KEY", ADMIN)
    monkeypatch.setenv("OWN_KEY", OWN)
    running: list[Any] = []

    def start(provider: Scripted, **access: object) -> Keyed:
        prices = {"m": Price(input=1.0, output=2.0)}
        made = gateway_settings(tmp_path, {"main": upstream(provider.base_url, prices=prices)}, api_key_env="OWN_KEY")
        fields = {"admin_key_env": "ADMIN_KEY", "poll_seconds": 0.1, **access}
        made = msgspec.structs.replace(made, access=msgspec.convert(fields, type(made.access)))
        gateway = serve_in_thread(made)
        running.append(gateway)
        return Keyed(gateway.url, made, tmp_path)

    yield start
    for gateway in running:
        gateway.stop()


def test_a_key_is_asked_for_checked_and_never_passed_on(keyed: Callable[..., Keyed]) -> None:
    with Scripted(answering(plain(ANSWER))) as provider:
        gateway = keyed(provider)
        key, key_id = gateway.make(name="k", models=["m", "n*"], tasks=["triage"])
        before = len(provider.requests)
        for wrong in (None, "", "fh-wrong", "*", ADMIN, key + "x", key[:-1]):
            status, _, answer = gateway.ask(wrong)
            assert (status, json.loads(answer)["error"]["type"]) == (401, "authentication_error")
            assert key.encode() not in answer
        status, _, answer = gateway.ask(key, headers="x-freehold-task: other\r\n")
        assert (status, json.loads(answer)["error"]["code"]) == (403, "forbidden")
        status, _, answer = gateway.ask(key, _body(model="gpt-4"), headers="x-freehold-task: triage\r\n")
        assert status == 403 and b"gpt-4" in answer
        assert gateway.ask(key, b"", path="/v1/files")[0] == 403
        for hidden in (b'"model":"gpt-4"', b'"MODEL":"gpt-4"', b'"mod\\u0065l":"gpt-4"'):
            smuggled = _body()[:-1] + b"," + hidden + b"}"
            assert gateway.ask(key, smuggled, headers="x-freehold-task: triage\r\n")[0] in (400, 403)
        assert len(provider.requests) == before  # nothing of all this went anywhere
        status, _, answer = gateway.ask(key, headers="x-freehold-task: triage\r\nx-custom: 1\r\n")
        assert (status, answer) == (200, ANSWER)
        assert raw(gateway.url, post(_body(), headers=f"x-api-key: {key}\r\nx-freehold-task: triage\r\n")).endswith(
            ANSWER
        )
        assert gateway.ask(OWN)[0] == 200
        for request in provider.requests[before:]:
            assert "authorization" not in request.headers and "x-api-key" not in request.headers
        recorded = [trace for trace in traces(gateway.data) if trace.status == 200]
        assert [trace.key for trace in recorded] == [key_id, key_id, None]
        assert key not in repr(traces(gateway.data)) and OWN not in repr(traces(gateway.data))


def test_requests_are_limited_and_the_headers_say_how(keyed: Callable[..., Keyed]) -> None:
    theirs = "X-RateLimit-Limit-Requests: 9999\r\nx-ratelimit-remaining-tokens: 8888\r\n"
    with Scripted(answering(plain(ANSWER, headers=theirs))) as provider:
        gateway = keyed(provider)
        key, key_id = gateway.make(name="k", requests_per_minute=3, tokens_per_minute=100_000)
        used = len(provider.requests)
        if time.time() % 60 > 50:  # all within one minute
            wait_for(lambda: time.time() % 60 < 50, 15)
        outcomes = [gateway.ask(key) for _ in range(5)]
        statuses = [status for status, _, _ in outcomes]
        assert statuses == [200, 200, 200, 429, 429]
        assert len(provider.requests) - used == 3
        assert "9999" not in str(outcomes) and "8888" not in str(outcomes)  # that is of the key that all share
        unlimited = gateway.ask(OWN)[1]
        assert (unlimited["x-ratelimit-limit-requests"], unlimited["x-ratelimit-remaining-tokens"]) == ("9999", "8888")
        good, bad = outcomes[0][1], outcomes[-1][1]
        assert (good["x-ratelimit-limit-requests"], good["x-ratelimit-limit-tokens"]) == ("3", "100000")
        assert bad["x-ratelimit-remaining-requests"] == "0" and bad["x-ratelimit-reset-requests"].endswith("s")
        assert 1 <= int(bad["retry-after"]) <= 61
        error = json.loads(outcomes[-1][2])["error"]
        assert (error["code"], error["type"]) == ("rate_limit_exceeded", "rate_limit_error")
        assert "3 requests per minute" in error["message"]
        refused = [trace for trace in traces(gateway.data) if trace.status == 429]
        assert refused and all(trace.key == key_id and trace.answered_by == "" for trace in refused)


def test_dollars_are_settled_with_what_the_answer_says(keyed: Callable[..., Keyed]) -> None:
    events = (
        b'data: {"choices":[{"delta":{"content":"hi"}}]}\n\ndata: {"choices":[],' + USAGE + b"}\n\ndata: [DONE]\n\n"
    )
    with Scripted(answering(plain(ANSWER))) as provider:
        gateway = keyed(provider)
        status, team = gateway.admin("POST", "teams", {"name": "t", "dollars_per_month": 1000})
        assert status == 201
        key, key_id = gateway.make(name="k", team="t", dollars_per_day=10 * COST / 1e9)
        for _ in range(4):
            assert gateway.ask(key, _body(max_tokens=20))[0] == 200
        provider.script = answering(SSE_HEAD + chunk(events) + chunk(b""))
        assert gateway.ask(key, _body(stream=True, max_tokens=20))[0] == 200
        provider.script = answering(plain(b'{"error": {}}', status="500 Bad"))
        assert gateway.ask(key, _body(max_tokens=20))[0] == 500  # costs nothing
        provider.script = answering(plain(ANSWER))
        status, _, answer = gateway.ask(key, _body(max_tokens=1000))  # may cost more than what is left
        assert (status, json.loads(answer)["error"]["code"]) == (429, "budget_exceeded")
        while gateway.ask(key, _body(max_tokens=20))[0] == 200:
            pass
        spent = _spent(gateway)
        # The last one passed on its estimate, which leaves out what the prompt's 100 tokens cost above it.
        assert 9 * COST <= spent[key_id] <= 11 * COST and spent[key_id] % COST == 0
        assert spent[team["team_id"]] == spent[key_id]
        store = Store.open(gateway.data, gateway.settings.control_url)
        kept = usage(store, 0, derive=Deriver(gateway.settings.upstreams))
        assert round(kept.keys[key_id].dollars * 1e9) == spent[key_id]
        assert kept.by_team({key_id: "t"})["t"] == kept.keys[key_id]
        assert list(kept.days.values()) == list(kept.keys.values())
        status, live = gateway.admin("GET", "usage?by=team")
        assert (status, live["data"][0]["name"]) == (200, "t")
        assert round(live["data"][0]["dollars"] * 1e9) == spent[key_id]
        store.close()


def test_a_budget_needs_a_known_price(keyed: Callable[..., Keyed]) -> None:
    with Scripted(answering(plain(ANSWER))) as provider:
        gateway = keyed(provider)
        key, _ = gateway.make(name="k", dollars_per_day=1.0)
        before = len(provider.requests)
        status, _, answer = gateway.ask(key, _body(model="nobody-knows-this"))
        assert status == 403 and b"price of 'nobody-knows-this' is unknown" in answer
        assert len(provider.requests) == before
        free, _ = gateway.make(name="free", requests_per_minute=100)
        assert gateway.ask(free, _body(model="nobody-knows-this"))[0] == 200


def test_a_caller_that_leaves_is_settled_and_keys_see_their_models_only(keyed: Callable[..., Keyed]) -> None:
    with Scripted(hang) as provider:
        gateway = keyed(provider)
        key, key_id = gateway.make(name="k", models=["m*"], tokens_per_minute=1000)
        sent = post(_body(), headers=f"authorization: Bearer {key}\r\n", close=False)
        raw(gateway.url, sent, read=False)  # it may leave at the gate already
        host, _, port = gateway.url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(sent)
            wait_for(lambda: provider.requests)
        wait_for(lambda: len([trace for trace in traces(gateway.data) if trace.error and trace.key == key_id]) == 2)
        used = _used(gateway)
        assert (used["requests"] in (1, 2), used["tokens"], used["dollars"]) == (True, 0, 0.0)
        provider.script = answering(plain(b'{"data": [{"id": "m-1"}, {"id": "secret-model"}]}'))
        listing = f"GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {key}\r\n\r\n"
        assert [row["id"] for row in json.loads(split(raw(gateway.url, listing.encode()))[2])["data"]] == ["m-1"]


def test_changes_over_http_act_within_two_seconds(keyed: Callable[..., Keyed]) -> None:
    with Scripted(answering(plain(ANSWER))) as provider:
        gateway = keyed(provider, poll_seconds=0.5)
        key, key_id = gateway.make(name="k")
        assert gateway.ask(key)[0] == 200
        assert gateway.admin("PATCH", f"keys/{key_id}", {"models": ["other"]})[0] == 200
        wait_for(lambda: gateway.ask(key)[0] == 403, 2.0)
        status, rotated = gateway.admin("POST", "keys/k/rotate", {})
        assert status == 200 and rotated["key"] != key
        wait_for(lambda: gateway.ask(key)[0] == 401, 2.0)
        assert gateway.ask(rotated["key"])[0] == 403
        assert gateway.admin("DELETE", f"keys/{key_id}")[0] == 200
        wait_for(lambda: gateway.ask(rotated["key"])[0] == 401, 2.0)


def test_nobody_but_the_admin_makes_keys(keyed: Callable[..., Keyed]) -> None:
    with Scripted(answering(plain(ANSWER))) as provider:
        gateway = keyed(provider)
        key, _ = gateway.make(name="k")
        for wrong in (key, OWN, "", "*"):
            for method, path in (
                ("POST", "keys"),
                ("GET", "keys"),
                ("PATCH", "keys/k"),
                ("GET", "usage"),
                ("GET", "x"),
            ):
                assert gateway.admin(method, path, {"name": "mine", "models": ["*"]}, key=wrong)[0] == 401
        for path in ("/v1/../admin/v1/keys", "/admin%2fv1/keys", "//admin/v1/keys", "/v1/admin/v1/keys"):
            status, _, answer = split(raw(gateway.url, post(b'{"name":"x"}', path, f"authorization: Bearer {key}\r\n")))
            assert status != 201 and b'"key"' not in answer
        hosted = post(b'{"name":"x"}', "/admin/v1/keys", "x-forwarded-for: 127.0.0.1\r\nx-original-url: /healthz\r\n")
        assert split(raw(gateway.url, hosted))[0] == 401
        assert [row["name"] for row in gateway.admin("GET", "keys")[1]["data"]] == ["k"]
        assert gateway.admin("POST", "keys", {"name": "n", "secrets": []})[0] == 400
        assert gateway.admin("GET", "keys/none")[0] == 404
        assert gateway.admin("POST", "keys", {"name": "k"})[0] == 409


def test_without_an_admin_key_there_is_no_admin_api(keyed: Callable[..., Keyed]) -> None:
    with Scripted(answering(plain(ANSWER))) as provider:
        gateway = keyed(provider, admin_key_env="")
        for key in (OWN, "", ADMIN):
            assert gateway.admin("GET", "keys", key=key)[0] == 404


def _used(gateway: Keyed) -> dict[str, Any]:
    wait_for(lambda: gateway.admin("GET", "usage")[1]["data"])
    return gateway.admin("GET", "usage")[1]["data"][0]


def _spent(gateway: Keyed) -> dict[str, int]:
    """What workers have reported, once they have reported all that was answered."""
    store = Store.open(gateway.data, gateway.settings.control_url)
    answered = sum(trace.key is not None and trace.status not in (403, 429) for trace in traces(gateway.data))
    wait_for(
        lambda: sum(row.requests for row in store.control.access.spent(0) if row.holder.startswith("key")) >= answered
    )
    found = {row.holder: row.nanousd for row in store.control.access.spent(0)}
    store.close()
    return found
