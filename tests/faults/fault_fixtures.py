"""A gateway process with one upstream per fault, for all tests here."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest
from chaos import Chaos, Script, closes_the_second_time, events_for_ever, sends, well_behaved
from fault_cases import CASES
from gateway_process import GatewayProcess, configure
from waiting import wait_for
from wire import Answer, ask, body_for, new_nonce, post

from freehold.domain.traces import Trace

FLOOD = 32 * 1024 * 1024
EXTRA: dict[str, Script] = {
    "good": well_behaved,
    "closes-kept-connections": closes_the_second_time,
    "events-for-ever": events_for_ever,
    "flood": sends(FLOOD),
}


class Stand(NamedTuple):
    """The gateway under test, and the upstream that misbehaves."""

    gateway: GatewayProcess
    chaos: Chaos

    @property
    def url(self) -> str:
        return self.gateway.url

    def trace_of(self, nonce: str) -> Trace:
        """The trace of the request that carried `nonce`; there must be one, and only one."""
        found = wait_for(lambda: [trace for trace in self.gateway.traces() if nonce.encode() in trace.request])
        assert len(found) == 1
        return found[0]

    def good(self, stream: bool = False) -> Answer:
        """A request that nothing is wrong with; its answer is checked to be its own."""
        nonce = new_nonce()
        answer = ask(self.url, post(body_for("good", nonce, stream=stream)))
        assert answer.status == 200 and answer.whole and nonce.encode() in answer.body
        return answer


def refusing_url() -> str:
    """Where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


@pytest.fixture(scope="session")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    folder = tmp_path_factory.mktemp("faults")
    scripts = {name: case.script for name, case in CASES.items() if case.script is not None}
    with Chaos({**scripts, **EXTRA}) as chaos:
        urls = {name: chaos.base_url(name) for name in chaos.scripts}
        configure(folder, {"refuses": refusing_url(), **urls}, gateway="max_recorded_response_bytes = 1_000_000")
        with GatewayProcess(folder) as gateway:
            yield Stand(gateway, chaos)
            gateway.stop()
        assert "Traceback" not in gateway.log.read_text()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(32) as made:
        yield made
