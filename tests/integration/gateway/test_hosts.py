"""Two gateway hosts with data folders of their own over one PostgreSQL: a change reaches every worker of both."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gateway_fixtures import JSON_ANSWER, Scripted, answering, plain
from gateway_process import GatewayProcess, last_not
from wire import Answer, ask, body_for, post

from freehold.access import KeyDesk
from freehold.access.fields import KeyFields
from freehold.config import load_settings
from freehold.domain.policy import Policy
from freehold.loop.drills import begin_drill, stop_drill
from freehold.store import Store

CONFIG = """
data_dir = "data"
[gateway]
port = 0
[control]
url = "{url}"
[upstreams.main]
base_url = "{main}"
[upstreams.own]
base_url = "{own}"
owned = true
keyless = true
models = ["llama"]
[drill]
stand_in = "llama"
[access]
pepper_env = "FREEHOLD_TEST_PEPPER"
"""
PEPPER = {"FREEHOLD_TEST_PEPPER": "0123456789abcdef" * 4}
"""The same on every host, or a key made on one is unknown on the other."""
OWNED = JSON_ANSWER.replace(b"caf\xc3\xa9", b"owned")
SECONDS = 2.0
"""What changes is in force everywhere within so long."""


class Hosts:
    """Two hosts of two workers each."""

    def __init__(self, folder: Path, url: str, provider: Scripted, owned: Scripted) -> None:
        folders = [folder / name for name in ("one", "two")]
        for each in folders:
            each.mkdir()
            text = CONFIG.format(url=url, main=provider.base_url, own=owned.base_url)
            (each / "freehold.toml").write_text(text)
        self.gateways = [GatewayProcess(each, workers=2, env=PEPPER) for each in folders]
        self.settings = load_settings(folders[0] / "freehold.toml")
        self.store = Store.open(self.settings.data, self.settings.control_url)

    def everywhere(self, condition: Callable[[Answer], bool], **headers: str) -> float:
        """Wait until all workers of both hosts answer so; returns after how many seconds one last did not."""
        request = post(body_for("m", "n"), **headers)
        return last_not(lambda: all(condition(ask(host.url, request)) for host in self.gateways))


@pytest.fixture
def hosts(tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hosts]:
    for name, value in PEPPER.items():
        monkeypatch.setenv(name, value)
    with Scripted(answering(plain())) as provider, Scripted(answering(plain(OWNED))) as owned:
        made = Hosts(tmp_path, postgres_url, provider, owned)
        with made.gateways[0], made.gateways[1]:
            yield made
        made.store.close()


def test_a_policy_and_a_drill_reach_every_worker_of_every_host(hosts: Hosts) -> None:
    for version in (1, 2):
        hosts.store.control.publish_policy(Policy(reason="test"), version - 1)
        took = hosts.everywhere(lambda answer, version=version: answer.headers["x-freehold-policy"] == str(version))
        assert took < SECONDS
    drill = begin_drill(hosts.store, hosts.settings, ("main",), 60, time.time_ns())
    assert hosts.everywhere(lambda answer: answer.headers.get("x-freehold-drill") == drill.drill_id) < SECONDS
    assert hosts.everywhere(lambda answer: answer.body == OWNED) < SECONDS
    stop_drill(hosts.store, time.time_ns())
    assert hosts.everywhere(lambda answer: answer.body == JSON_ANSWER) < SECONDS
    for host in hosts.gateways:
        assert host.stop() == 0, "every worker drains and ends"


def test_keys_scopes_and_limits_change_in_every_worker_of_every_host(hosts: Hosts) -> None:
    desk = KeyDesk(hosts.settings, hosts.store.control, by="command")
    assert hosts.everywhere(lambda answer: answer.status == 200) < SECONDS
    key = desk.create(KeyFields(name="k")).text
    assert hosts.everywhere(lambda answer: answer.status == 401) < SECONDS, "now a key is asked for"
    bearer = {"authorization": f"Bearer {key}"}
    assert hosts.everywhere(lambda answer: answer.status == 200, **bearer) < SECONDS
    desk.update("k", KeyFields(models=("other-*",)))
    assert hosts.everywhere(lambda answer: answer.status == 403, **bearer) < SECONDS
    desk.update("k", KeyFields(models=(), requests_per_minute=7))
    request = post(body_for("m", "n"), **bearer)
    last_not(lambda: all(ask(host.url, request).status == 429 for host in hosts.gateways))
    served = sum(trace.status == 200 and trace.key is not None for host in hosts.gateways for trace in host.traces())
    limited = [trace for host in hosts.gateways for trace in host.traces() if trace.status == 429]
    assert served and limited
    desk.revoke("k")
    assert hosts.everywhere(lambda answer: answer.status == 401, **bearer) < SECONDS
