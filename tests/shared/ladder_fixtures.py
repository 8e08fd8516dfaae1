"""A task whose incumbent and candidates answered the same requests, recorded as the gateway records them."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from freehold.config import CandidateSettings, LoopSettings, Price, Settings, UpstreamSettings
from freehold.domain.chat import parse_chat
from freehold.domain.fingerprint import shape_of, task_id_of_fingerprint
from freehold.domain.tasks import Task
from freehold.domain.traces import Trace
from freehold.store import Store

SYSTEM = "Answer the question with one word."
INCUMBENT, CHEAP, MIDDLE = "large", "small", "medium"
PRICES = {INCUMBENT: 10.0, MIDDLE: 3.0, CHEAP: 0.5}
_CITIES = ("Paris", "Rome", "Oslo", "Bern", "Lima", "Cairo")
_WORDS = ("river", "bridge", "market", "garden", "station", "harbour", "castle", "museum")


class Question(NamedTuple):
    """One request and what each model says to it."""

    prompt: str
    answers: dict[str, str]


def questions(seed: int, n: int, *, easy: float = 0.6, skill: float = 0.99) -> Iterator[Question]:
    """Easy ones, which the cheap model gets right with probability `skill`, and hard ones, where it guesses."""
    rng = random.Random(seed)
    for _ in range(n):
        right = rng.choice(_CITIES)
        place = f"{rng.choice(_WORDS)} {rng.choice(_WORDS)} {rng.randrange(10_000)}"
        is_easy = rng.random() < easy
        hard = f"Prove step by step, then name the city: {place} {rng.randrange(900)}"
        prompt = f"Which city has the {place}?" if is_easy else hard
        chances = {MIDDLE: 0.995 if is_easy else 0.7, CHEAP: skill if is_easy else 0.3}
        answers = {name: right if rng.random() < chance else "unknown" for name, chance in chances.items()}
        yield Question(prompt, {INCUMBENT: right, **answers})


def ladder_settings(
    data: Path, *, terms: str = "own", candidates: tuple[str, ...] = (CHEAP, MIDDLE), **loop: Any
) -> Settings:
    """One upstream with three models; ε = 5% per served request unless `loop` says otherwise."""
    prices = {name: Price(input=price, output=price) for name, price in PRICES.items()}
    upstream = UpstreamSettings(base_url="http://127.0.0.1:1/v1", terms=terms, prices=prices, keyless=True)
    looped: dict[str, Any] = {"epsilon": 0.05, "delta": 0.1, "min_samples": 100_000, **loop}
    return Settings(
        upstreams={"inc": upstream},
        loop=LoopSettings(**looped),
        candidates=CandidateSettings(models=candidates, rate=0.5),
        data_dir=str(data),
    )


class Recorded:
    """A data folder with a task and what was recorded of it."""

    def __init__(self, settings: Settings, **task: Any) -> None:
        self.open(settings)
        fields: dict[str, Any] = {"epsilon": settings.loop.epsilon, "delta": settings.loop.delta, **task}
        self.store.control.tasks.put(
            Task(task_id=self.task_id, name="cities", fingerprints=(self.fingerprint,), state="learning", **fields)
        )

    @classmethod
    def at(cls, settings: Settings) -> Recorded:
        """What was recorded before, to be added to."""
        made = object.__new__(cls)
        made.open(settings, "more")
        return made

    def open(self, settings: Settings, name: str = "first") -> None:
        """Open the data folder."""
        self.settings = settings
        self.store = Store.open(settings.data, settings.control_url)
        self._journal = self.store.open_journal()
        self._number = itertools.count()
        self._name = name
        self.fingerprint = shape_of(parse_chat(body("x"))).fingerprint
        self.task_id = task_id_of_fingerprint(self.fingerprint)

    @property
    def task(self) -> Task:
        task = self.store.control.tasks.get(self.task_id)
        assert task is not None
        return task

    def record(
        self, question: Question, *, models: tuple[str, ...] = (CHEAP, MIDDLE), rate: float = 0.5, **changes: Any
    ) -> Trace:
        """A request that the incumbent answered, and the candidates' answers to it."""
        trace = self.trace(question, INCUMBENT, **changes)
        for model in models:
            self.trace(question, model, kind="shadow", of=trace.trace_id, reason="", audit_probability=rate)
        return trace

    def trace(self, question: Question, model: str, asked: str = INCUMBENT, **changes: Any) -> Trace:
        """One trace of a model's answer, where the caller asked for `asked`; ids depend on the order of calls alone."""
        given = question.answers.get(model)
        fields: dict[str, Any] = {
            "trace_id": "tr_" + hashlib.sha256(f"{self._name} {next(self._number)}".encode()).hexdigest()[:28],
            "at_ns": time.time_ns(),
            "task": self.task_id,
            "fingerprint": self.fingerprint,
            "model": asked,
            "answered_by": f"inc/{model}",
            "reason": "no-rung",
            "status": 200,
            "request": body(question.prompt, model),
            "response": completion(given),
        }
        trace = Trace(**{**fields, **changes})
        self._journal.append(trace)
        return trace

    def seal(self) -> None:
        """Put what was recorded into the trace table."""
        from freehold.record.sealer import Sealer

        Sealer(self.store, self.settings.upstreams).seal_once()

    def close(self) -> None:
        self._journal.close()
        self.store.close()


def body(prompt: str, model: str = INCUMBENT) -> bytes:
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt}]
    return msgspec.json.encode({"model": model, "messages": messages})


def completion(text: str | None) -> bytes:
    choice = {"message": {"content": text}, "finish_reason": "stop"}
    return json.dumps({"choices": [choice], "usage": {"prompt_tokens": 40, "completion_tokens": 2}}).encode()
