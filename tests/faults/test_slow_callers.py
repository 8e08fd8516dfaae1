"""Callers who never come to an end: a head or a body that dribbles in holds its connection only for so long."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from chaos import Chaos, well_behaved
from wire import Wire, ask, body_for, new_nonce, post

from freehold.config import GatewaySettings, Settings, UpstreamSettings
from freehold.gateway import serve_in_thread
from freehold.gateway.http import protocol

HEAD_SECONDS = 0.4
LIMIT = 20.0
"""Long beyond what is set: only a connection that is never closed takes it."""


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(protocol, "TICK_SECONDS", 0.05)
    monkeypatch.setattr(protocol, "HEAD_SECONDS", HEAD_SECONDS)
    monkeypatch.setattr(protocol, "BODY_SECONDS", 0.2)
    with Chaos({"good": well_behaved}) as chaos:
        upstreams = {"good": UpstreamSettings(base_url=chaos.base_url("good"))}
        settings = Settings(gateway=GatewaySettings(port=0), upstreams=upstreams, data_dir=str(tmp_path))
        with serve_in_thread(settings) as running:
            yield running.url


def dribble(wire: Wire, data: bytes) -> float:
    """Send `data` again and again, as slowly as the peer's silence allows; seconds until it closes."""
    began = time.monotonic()
    wire.socket.settimeout(0.05)
    while time.monotonic() - began < LIMIT:
        try:
            wire.send(data)
            if not wire.more():
                break
        except TimeoutError:
            continue
        except ConnectionError:
            break
    return time.monotonic() - began


@pytest.mark.parametrize("start", [b"GET /", b"GET /v1/models HTTP/1.1\r\n", post(b"x")[:40]])
def test_a_head_that_dribbles_is_given_up(url: str, start: bytes) -> None:
    with Wire(url) as wire:
        wire.send(start)
        assert HEAD_SECONDS / 2 < dribble(wire, b"x") < LIMIT / 2


def test_a_body_that_stops_is_given_up_and_one_that_goes_on_is_not(url: str) -> None:
    request = post(body_for("good", new_nonce(), size=40))
    with Wire(url) as wire:
        wire.send(request[:-1])
        wire.socket.settimeout(LIMIT)
        assert wire.at_end()
    with Wire(url) as wire:
        wire.socket.settimeout(0.05)
        for byte in request[:-20], *(request[at : at + 1] for at in range(len(request) - 20, len(request))):
            wire.send(byte)
            try:
                assert wire.more()
            except TimeoutError:
                continue
        wire.socket.settimeout(LIMIT)
        assert wire.answer().status == 200
    assert ask(url, request).status == 200
