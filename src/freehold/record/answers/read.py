"""Which reader goes with an API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freehold.record.answers import chat
from freehold.record.answers.parts import Answer

if TYPE_CHECKING:
    from freehold.domain.traces import Api


def read_answer(response: bytes, *, stream: bool, api: Api = "chat") -> Answer:
    """Read a response of `api` (or the stream of one) as far as it can be understood. Never raises."""
    streamed = stream and not response.lstrip().startswith(b"{")  # an error to a streamed request is plain JSON
    if api == "messages":
        from freehold.record.answers import messages

        return messages.read_stream(response) if streamed else messages.read_whole(response)
    if api == "responses":
        from freehold.record.answers import responses

        return responses.read_stream(response) if streamed else responses.read_whole(response)
    return chat.read_stream(response) if streamed else chat.read_whole(response)
