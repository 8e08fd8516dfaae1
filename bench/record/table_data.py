"""Traces for `bench/record/table.py`: the shared gateway bench's text, 40 tasks, 8 models, 5% of them in agent runs."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

from freehold.config import Price, UpstreamSettings
from freehold.domain.traces import Trace

DAY_NS = 86_400 * 10**9
START_NS = 1_790_000_000 * 10**9
DAYS = 90
UPSTREAM = "up"
MODELS = tuple(f"model-{number}" for number in range(8))
UPSTREAMS = {
    UPSTREAM: UpstreamSettings(
        base_url="http://127.0.0.1:1/v1", prices={name: Price(0.5 * n + 0.1, 2.0 * n) for n, name in enumerate(MODELS)}
    )
}
_SYSTEM = "You are a careful assistant. " * 70
_USER = "Summarise the report. " * 90
"""As `prompt_bytes` of the shared bench's load generator makes them: together about 4 KB."""
_EPISODE_SHARE = 0.05
_AGENTS, _TURNS = 50, 4


def plain_request(model: str, number: int) -> bytes:
    """The shared bench's request, told apart by a number."""
    body = {
        "model": model,
        "messages": [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": f"{_USER}{number}"}],
        "temperature": 0.2,
        "max_tokens": 256,
    }
    return json.dumps(body).encode()


def response(model: str, number: int, rng: random.Random) -> bytes:
    """A chat completion of about 350 bytes whose usage is told."""
    return (
        b'{"id":"chatcmpl-%d","object":"chat.completion","created":1790000000,"model":"%s","choices":[{"index":0,"message":'
        b'{"role":"assistant","content":"The report says %d things.","refusal":null},"logprobs":null,"finish_reason":'
        b'"stop"}],"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":0}}'
        % (number, model.encode(), rng.getrandbits(20), rng.randrange(800, 1000), rng.randrange(5, 200))
    )


def traces(count: int, seed: int = 0) -> Iterator[Trace]:
    """`count` traces in order of time, spread over `DAYS` days."""
    rng = random.Random(seed)
    step = DAYS * DAY_NS // count
    run: list[bytes] = []
    episode = ""
    for number in range(count):
        model = MODELS[rng.randrange(len(MODELS))]
        request, of = b"", None
        if rng.random() < _EPISODE_SHARE:
            if not run:
                episode, run = f"run-{rng.getrandbits(48):012x}", agent_requests(rng)
            request, of = run.pop(), episode
        at = START_NS + number * step
        yield Trace(
            trace_id=f"tr_{at:016x}{rng.getrandbits(48):012x}",
            at_ns=at,
            task=f"task_{rng.randrange(40):02d}",
            fingerprint=f"fp_{number % 40:02d}",
            model=model,
            answered_by=f"{UPSTREAM}/{model}",
            policy=3,
            reason="no-ladder",
            status=200,
            request=request or plain_request(model, number),
            response=response(model, number, rng),
            first_byte_us=rng.randrange(100_000, 900_000),
            duration_us=rng.randrange(1_000_000, 9_000_000),
            key=f"key_{rng.randrange(20):08x}",
            episode=of,
            agent=f"agent-{rng.randrange(_AGENTS)}" if of else None,
        )


def agent_requests(rng: random.Random, agents: int = _AGENTS, turns: int = _TURNS) -> list[bytes]:
    """The requests of one run, last first: each agent sends its whole history, all share instructions and tools."""
    system = {"role": "system", "content": _words(rng, 300)}
    tools = [
        {"type": "function", "function": {"name": f"tool_{n}", "description": _words(rng, 40), "parameters": {}}}
        for n in range(10)
    ]
    histories = [[system, {"role": "user", "content": _words(rng, 60)}] for _ in range(agents)]
    found: list[bytes] = []
    for _ in range(turns):
        for history in histories:
            found.append(json.dumps({"model": "m", "messages": history, "tools": tools}).encode())
            history += [{"role": role, "content": _words(rng, 80)} for role in ("assistant", "user")]
    return found[::-1]


_RNG = random.Random(7)
_VOCABULARY = ["".join(_RNG.choices("aeioulnrstdmpkgb", k=_RNG.randint(2, 9))) for _ in range(4000)]


def _words(rng: random.Random, count: int) -> str:
    return " ".join(rng.choices(_VOCABULARY, k=count))
