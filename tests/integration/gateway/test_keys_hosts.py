"""Two hosts with two workers each over one PostgreSQL: keys and limits are the same at all of them."""

from __future__ import annotations

import http.client
import os
import time
from pathlib import Path

import pytest
from gateway_fixtures import Scripted, answering, plain
from gateway_process import GatewayProcess, last_not
from waiting import wait_for

from freehold.access import KeyDesk
from freehold.access.fields import KeyFields
from freehold.config import load_settings
from freehold.store import ControlStore

BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
PEPPER = "a-pepper-of-thirty-two-characters-or-more"
ACTS_WITHIN = 2.0
LIMIT = 40


def _ask(url: str, key: str) -> int:
    """Status of one request on a connection of its own."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
    try:
        headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
        connection.request("POST", "/v1/chat/completions", BODY, headers)
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


@pytest.mark.timeout(240)
def test_keys_and_limits_hold_over_hosts(tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEPPER", PEPPER)
    with Scripted(answering(plain())) as provider:
        for host in ("one", "two"):
            (tmp_path / host).mkdir()
            (tmp_path / host / "freehold.toml").write_text(
                f'data_dir = "data"\n[gateway]\nport = 0\n[control]\nurl = "{postgres_url}"\n'
                f'[access]\nrequired = true\npepper_env = "PEPPER"\n'
                f'[upstreams.main]\nbase_url = "{provider.base_url}"\n'
            )
        settings = load_settings(tmp_path / "one" / "freehold.toml")
        control = ControlStore.open(settings.control_url)
        desk = KeyDesk(settings, control, by="command")
        with (
            GatewayProcess(tmp_path / "one", workers=2, env=dict(os.environ)) as one,
            GatewayProcess(tmp_path / "two", workers=2, env=dict(os.environ)) as two,
        ):
            urls = (one.url, two.url)
            limited = desk.create(KeyFields(name="limited", requests_per_minute=LIMIT)).text
            key = desk.create(KeyFields(name="k")).text
            assert last_not(lambda: all(_ask(url, key) == 200 for url in urls)) < ACTS_WITHIN
            desk.update("k", KeyFields(models=("other",)))
            assert last_not(lambda: all(_ask(url, key) == 403 for url in urls)) < ACTS_WITHIN
            desk.revoke("k")
            assert last_not(lambda: all(_ask(url, key) == 401 for url in urls)) < ACTS_WITHIN

            wait_for(lambda: time.time() % 60 < 35, 30)  # all within one minute
            before = len(provider.requests)
            minute = time.time() // 60
            statuses: list[int] = []
            last = time.monotonic()
            while time.monotonic() - last < 4.0:  # what one worker holds idle goes back, and another gets it
                found = [_ask(url, limited) for url in urls]
                statuses += found
                if 200 in found:
                    last = time.monotonic()
            assert time.time() // 60 == minute, "too slow a machine for one minute"
            assert set(statuses) == {200, 429}
            assert len(provider.requests) - before == LIMIT
        control.close()
