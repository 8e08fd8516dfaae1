"""The demo's customers: an invented shop's support messages from our own grammar, with the right answers.

Everything is a pure function of the seed. The right answer (`Message.truth`) is for measuring only; a request built by
`chat_request` does not hold it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import islice
from random import Random
from typing import Any

import msgspec

from freehold.demo.composers import desk_tasks
from freehold.demo.phrases import say
from freehold.domain.errors import ConfigError

DEFAULT_MIX: Mapping[str, float] = {"triage": 0.35, "urgency": 0.3, "extraction": 0.2, "reply": 0.15}
"""Relative weights of the tasks in traffic."""

_OPENING = datetime(2026, 3, 2, 8, 0)


class Message(msgspec.Struct, frozen=True):
    """One call of the desk's software, with the answer the grammar knows to be right."""

    task: str
    system: str
    user: str
    truth: str
    response_format: dict[str, Any] | None = None


class SupportDesk:
    """Messages of one support desk, the same for the same seed on every machine."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.tasks = desk_tasks()

    def messages(self, task: str, n: int, drifted: bool = False) -> Iterator[Message]:
        """The first `n` messages of `task`: asking again gives the same ones.

        Raises:
            ConfigError: there is no such task.
        """
        return islice(self.stream(task, drifted), n)

    def stream(self, task: str, drifted: bool = False) -> Iterator[Message]:
        """Messages of `task` without end. Only `urgency` changes when `drifted`; see its lexicon.

        Raises:
            ConfigError: there is no such task.
        """
        if task not in self.tasks:
            raise ConfigError(f"The support desk has no task {task!r}.", f"Choose one of {', '.join(self.tasks)}.")
        return self._stream(task, drifted)

    def _stream(self, task: str, drifted: bool) -> Iterator[Message]:
        kind = self.tasks[task]
        rng = Random(f"{self.seed}/{task}/{'drifted' if drifted else 'before'}")
        now = _OPENING
        while True:
            now += timedelta(seconds=rng.randint(20, 400))
            composed = kind.compose(rng, drifted)
            system = kind.system(f"{now:%A %Y-%m-%d, %H:%M}", say("SD-@@@@@@", rng))
            yield Message(task, system, composed.user, composed.truth, kind.response_format)


def traffic(
    seed: int,
    total: int,
    mix: Mapping[str, float] = DEFAULT_MIX,
    drift_task: str | None = None,
    drift_at: float = 0.5,
) -> list[Message]:
    """`total` messages of the tasks in `mix`, interleaved at random by weight.

    From the share `drift_at` in [0, 1] of the whole list on, the messages of `drift_task` are drifted ones.

    Raises:
        ConfigError: the mix or `drift_task` names a task the desk does not have.
    """
    desk = SupportDesk(seed)
    streams = {task: desk.stream(task) for task in mix}
    drifted = desk.stream(drift_task, drifted=True) if drift_task else None
    rng = Random(f"{seed}/traffic")
    order = rng.choices(list(mix), list(mix.values()), k=total)
    turn = round(drift_at * total)
    return [
        next(drifted if drifted and task == drift_task and index >= turn else streams[task])
        for index, task in enumerate(order)
    ]


def chat_request(message: Message, model: str) -> dict[str, Any]:
    """The OpenAI chat completion request of `message`, as an application would send it: without the right answer."""
    request: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "system", "content": message.system}, {"role": "user", "content": message.user}],
    }
    if message.response_format is not None:
        request["response_format"] = message.response_format
    return request
