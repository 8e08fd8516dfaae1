"""Streamed answers: server-sent events, each a JSON document, `[DONE]` after the last."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from starlette.responses import StreamingResponse

from freehold.domain.errors import FreeholdError
from freehold.serving.server.replies import encode, error_document


class EventStream(StreamingResponse):
    """Ends its generator when the caller leaves, so that the answer is not computed to its end for nobody."""

    def __init__(self, events: AsyncGenerator[dict[str, Any], None]) -> None:
        """An error that `events` raises is sent as the last event."""
        headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
        super().__init__(_lines(events), media_type="text/event-stream", headers=headers)


async def _lines(events: AsyncGenerator[dict[str, Any], None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(events):
        try:
            async for event in events:
                yield b"data: " + encode(event) + b"\n\n"
        except FreeholdError as error:
            yield b"data: " + encode(error_document(error)) + b"\n\n"
    yield b"data: [DONE]\n\n"
