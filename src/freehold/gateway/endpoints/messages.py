"""`POST /v1/messages`: Anthropic's protocol in.

The request is read as the chat completion that says the same: so it may be a task's, and students and ladders may
answer it. The incumbent gets the caller's own bytes, translated only where its upstream speaks another protocol.
"""

from __future__ import annotations

from freehold.domain.chat import ChatRequest, parse_chat
from freehold.domain.errors import RequestError
from freehold.gateway.endpoints.chat import answer, passing
from freehold.gateway.http import Reply, Request
from freehold.gateway.passing import Passing
from freehold.gateway.runtime import Runtime
from freehold.gateway.turn import Turn


def messages(runtime: Runtime, request: Request, reply: Reply) -> None:
    """Answer one message; every failure is in its trace, and in the caller's answer if none had begun."""
    turn = Turn(runtime, request, reply)
    turn.exchange.api = "messages"
    answer(turn, _read)


def _read(body: bytes) -> tuple[ChatRequest | Passing, bytes]:
    from freehold.upstreams.translate import READING, request_to_openai  # most gateways never need it

    try:
        asked = request_to_openai(body, READING).body
        return parse_chat(asked), asked
    except RequestError as error:  # malformed, or more than chat completions can say: no task, then
        return passing(body, error), body
