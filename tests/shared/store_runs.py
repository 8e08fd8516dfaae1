"""Agent runs for the tests of the store: conversations that grow, each request sending all of it again."""

from __future__ import annotations

import json
import random

import msgspec
from store_fixtures import make_trace

from freehold.domain.traces import Trace

_WORDS = ("agent", "reads", "file", "runs", "tests", "looks", "at", "what", "failed", "and", "edits", "a", "line")


def agent_run(episode: str, agents: int, turns: int, *, seed: int = 0, words: int = 40) -> list[Trace]:
    """`agents` that work at once, `turns` requests each; the same instructions and tools for all of them."""
    rng = random.Random(seed)
    tools = [{"type": "function", "function": {"name": f"tool_{n}", "description": _text(rng, 60)}} for n in range(4)]
    system = {"role": "system", "content": _text(rng, 3 * words)}
    histories = [[system, {"role": "user", "content": _text(rng, words)}] for _ in range(agents)]
    found: list[Trace] = []
    for _ in range(turns):
        for number, history in enumerate(histories):
            body = json.dumps({"model": "m", "messages": history, "tools": tools}).encode()
            found.append(msgspec.structs.replace(make_trace(), request=body, episode=episode, agent=f"agent-{number}"))
            history += [{"role": role, "content": _text(rng, words)} for role in ("assistant", "user")]
    return found


def _text(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(_WORDS, k=words)) + f" {rng.getrandbits(64):x}"
