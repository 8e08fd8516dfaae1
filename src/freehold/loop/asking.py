"""Asks models through the configured upstreams: for judges. Each call is recorded, and so in the ledger."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from freehold.config import Settings
from freehold.domain.errors import UpstreamError, UpstreamTimeout
from freehold.domain.ids import new_id
from freehold.domain.traces import Trace

if TYPE_CHECKING:
    from freehold.scorers import Ask
    from freehold.store import Store
    from freehold.upstreams.directory import UpstreamDirectory

SECONDS = 15.0
"""A judge that has not answered by then is asked another time: rollbacks of other tasks wait for the turn to end."""
Record = Callable[[Trace], object]


@contextmanager
def recording(store: Store) -> Generator[Record]:
    """Where calls are recorded meanwhile: a journal of its own. What cannot be written is shed, and that is logged."""
    from freehold.record import Recorder

    journal = store.open_journal()
    try:
        yield Recorder(journal).record
    finally:
        journal.close()


def ask_upstream(directory: UpstreamDirectory, record: Record, task: str) -> Ask:
    """A function that asks a configured upstream's model about a task's answers, and gives the text that it says.

    It raises ModelNotFound where no upstream serves the model, and UpstreamError where it gives no answer.
    """
    from freehold.record.answers import read_answer

    async def ask(model: str, messages: list[dict[str, str]]) -> str:
        upstream = directory.find(model)
        trace = Trace(
            trace_id=new_id("tr"),
            at_ns=time.time_ns(),
            kind="judge",
            task=task,
            model=model,
            request=msgspec.json.encode({"model": model, "messages": messages, "temperature": 0}),
            error=f"{UpstreamError.code}: it gave no answer, or none in time",
        )
        try:
            trace = await _answered(directory, upstream, trace)
        finally:
            record(trace)
        text = read_answer(trace.response, stream=False).text
        if trace.status != 200 or text is None:
            raise UpstreamError(
                f"{trace.answered_by} gave no answer as a judge (status {trace.status}).",
                "Set the upstream's api_key_env, or give the judge another model.",
            )
        return text

    return ask


async def _answered(directory: UpstreamDirectory, upstream: str, trace: Trace) -> Trace:
    """The trace with the whole answer to its request."""
    from freehold.upstreams.base import UpstreamRequest

    headers = [(b"content-type", b"application/json")]
    request = UpstreamRequest(method=b"POST", path=b"/chat/completions", headers=headers, body=trace.request)
    name, response = await directory.send(upstream, request)
    parts: list[bytes] = []
    try:
        while not response.at_end:
            parts.append(await response.read())
    finally:
        response.close()
    return msgspec.structs.replace(
        trace,
        answered_by=f"{name}/{trace.model}",
        status=response.status,
        response=b"".join(parts),
        error=None,
        duration_us=(time.time_ns() - trace.at_ns) // 1000,
    )


@contextmanager
def asking_in_time(store: Store, settings: Settings, task: str) -> Generator[Ask]:
    """`ask_upstream`, recorded, for one call at a time, on whatever event loop, within `SECONDS`.

    It raises UpstreamTimeout where they do not suffice.
    """
    from freehold.gateway.directory import build_directory

    with recording(store) as record:

        async def ask(model: str, messages: list[dict[str, str]]) -> str:
            directory = build_directory(settings.upstreams)
            try:
                async with asyncio.timeout(SECONDS):
                    return await ask_upstream(directory, record, task)(model, messages)
            except TimeoutError as error:
                raise UpstreamTimeout(
                    f"The judge's model {model} did not answer within {SECONDS:.0f} s.", "It is asked again."
                ) from error
            finally:
                await directory.aclose()

        yield ask
