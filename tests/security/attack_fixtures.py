"""A gateway process that asks for a key, its upstream, and a server that nobody must ever reach."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from chaos import Chaos, plain, says, well_behaved
from gateway_process import GatewayProcess, configure
from wire import Answer, ask

KEY = "gw-5ecret-of-the-gateway"
PROVIDER_KEY = "sk-5ecret-of-the-provider"


class Target(NamedTuple):
    """What is attacked."""

    gateway: GatewayProcess
    upstream: Chaos
    canary: Chaos
    """Nothing may ever connect to it."""

    @property
    def url(self) -> str:
        return self.gateway.url

    @property
    def asked(self) -> int:
        """Requests that the upstream has had."""
        return sum(map(len, self.upstream.asked.values()))

    def ask(self, request: bytes) -> Answer:
        return ask(self.url, request)


def auth(key: str = KEY) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("attacks")
    with Chaos({"canary": well_behaved}) as canary:
        redirect = plain(b"{}", "307 Temporary Redirect", f"location: {canary.base_url('canary')}/chat/completions\r\n")
        with Chaos({"good": well_behaved, "redirects": says(redirect)}) as upstream:
            urls = {name: upstream.base_url(name) for name in upstream.scripts}
            gateway = 'api_key_env = "ATTACK_KEY"\nmax_body_bytes = 2_000_000'
            configure(folder, urls, gateway=gateway, api_key_env="PROVIDER_KEY")
            config = folder / "freehold.toml"
            config.write_text(f'{config.read_text()}\n[telemetry]\nlog = "requests"\n')
            env = {"ATTACK_KEY": KEY, "PROVIDER_KEY": PROVIDER_KEY}
            with GatewayProcess(folder, env=env) as process:
                yield Target(process, upstream, canary)
            assert canary.connections.total() == 0 and not canary.unread
            assert not any(key in process.log.read_text() for key in (KEY, PROVIDER_KEY))
            for path in (path for path in process.data.rglob("*") if path.is_file()):
                assert not any(key.encode() in path.read_bytes() for key in (KEY, PROVIDER_KEY)), path
