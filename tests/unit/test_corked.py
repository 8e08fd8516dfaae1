"""Writes of one turn of the loop go out as one, in order, and none after the connection is closing."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from freehold.gateway.corked import CorkedTransport


class Wire:
    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.sent.append(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


def test_one_turn_is_one_write() -> None:
    async def turns() -> list[bytes]:
        wire = Wire()
        transport = CorkedTransport(cast(Any, wire), asyncio.get_running_loop())
        transport.write(b"head")
        transport.write(b"body")
        assert wire.sent == []
        await asyncio.sleep(0)
        transport.write(b"event")
        await asyncio.sleep(0)
        return wire.sent

    assert asyncio.run(turns()) == [b"headbody", b"event"]


def test_closing_sends_what_is_held_first_and_nothing_later() -> None:
    async def turns() -> Wire:
        wire = Wire()
        transport = CorkedTransport(cast(Any, wire), asyncio.get_running_loop())
        transport.write(b"last")
        transport.close()
        transport.write(b"too late")
        await asyncio.sleep(0)
        assert transport.is_closing()
        return wire

    wire = asyncio.run(turns())
    assert wire.sent == [b"last"] and wire.closed
