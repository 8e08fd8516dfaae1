"""A recorded or incoming request as the chat completion request that it is or says the same as."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from freehold.domain.chat import ChatRequest, answer_schema, parse_chat, student_can_answer, student_input
from freehold.domain.errors import RequestError, TranslationError
from freehold.upstreams.translate.anthropic_request import request_to_openai
from freehold.upstreams.translate.rules import Options

if TYPE_CHECKING:
    from freehold.domain.traces import Api

READING = Options(extensions=True)
"""For reading: nothing is sent anywhere that might not know `top_k`."""


class Asked(NamedTuple):
    """What a student is asked."""

    prompt: str
    answer_schema: str
    """See `freehold.domain.chat.answer_schema`."""


def asked_of(body: bytes, api: Api) -> Asked | None:
    """What a request asks of a student; None if a student may not answer it."""
    try:
        request = chat_request(body, api)
    except RequestError:
        return None
    prompt = student_input(request) if student_can_answer(request) else None
    return None if prompt is None else Asked(prompt, answer_schema(request))


def prompt_of(body: bytes, api: Api) -> str | None:
    """What a student sees of a request; None if a student may not answer it."""
    asked = asked_of(body, api)
    return None if asked is None else asked.prompt


def chat_request(body: bytes, api: Api) -> ChatRequest:
    """The request that routing, students and scorers look at.

    Raises:
        RequestError: the body is not a request of `api`; the message names the field.
        TranslationError: `api` is none whose requests may belong to tasks, or the request asks for what chat
            completions cannot say.
    """
    if api == "chat":
        return parse_chat(body)
    if api == "messages":
        return parse_chat(request_to_openai(body, READING).body)
    raise TranslationError(f"A request of {api!r} is no chat.", "Look at chat completions and Messages only.")
