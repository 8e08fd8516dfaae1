"""Asks models through the configured upstreams: for judges."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from freehold.config import Settings
from freehold.domain.errors import UpstreamError, UpstreamTimeout

if TYPE_CHECKING:
    from freehold.scorers import Ask
    from freehold.upstreams.directory import UpstreamDirectory

SECONDS = 15.0
"""A judge that has not answered by then is asked another time: rollbacks of other tasks wait for the turn to end."""


def ask_upstream(directory: UpstreamDirectory) -> Ask:
    """A function that asks a configured upstream's model and gives the text of its answer.

    It raises ModelNotFound where no upstream serves the model, and UpstreamError where it gives no answer.
    """
    from freehold.record.answers import read_answer
    from freehold.upstreams.base import UpstreamRequest

    async def ask(model: str, messages: list[dict[str, str]]) -> str:
        body = msgspec.json.encode({"model": model, "messages": messages, "temperature": 0})
        headers = [(b"content-type", b"application/json")]
        request = UpstreamRequest(method=b"POST", path=b"/chat/completions", headers=headers, body=body)
        name, response = await directory.send(directory.find(model), request)
        parts: list[bytes] = []
        try:
            while not response.at_end:
                parts.append(await response.read())
        finally:
            response.close()
        text = read_answer(b"".join(parts), stream=False).text
        if response.status != 200 or text is None:
            raise UpstreamError(
                f"{name} gave the judge's model {model} no answer (status {response.status}).",
                "Set the upstream's api_key_env, or give the judge another model.",
            )
        return text

    return ask


def ask_in_time(settings: Settings) -> Ask:
    """`ask_upstream` for one call at a time, on whatever event loop, within `SECONDS`.

    It raises UpstreamTimeout where they do not suffice.
    """

    async def ask(model: str, messages: list[dict[str, str]]) -> str:
        from freehold.gateway.runtime import build_directory

        directory = build_directory(settings.upstreams)
        try:
            async with asyncio.timeout(SECONDS):
                return await ask_upstream(directory)(model, messages)
        except TimeoutError as error:
            raise UpstreamTimeout(
                f"The judge's model {model} did not answer within {SECONDS:.0f} s.", "It is asked again."
            ) from error
        finally:
            await directory.aclose()

    return ask
