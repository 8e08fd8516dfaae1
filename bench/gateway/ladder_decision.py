"""What deciding by a ladder costs a gateway worker: CPU microseconds per request, as one JSON object.

The router has the size of one fitted on 4,096 prompts or more (its tensors are random: only their shapes cost time) and
three candidates. `decide_*` is `freehold.route.decide` with an identified request; `rewrite` replaces the model in its
body. Prompts are those of `--file` (Parquet with a column `prompt`), else made of random words.

    OPENBLAS_NUM_THREADS=1 python bench/gateway/ladder_decision.py [--file FILE] [--requests 2000]
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from freehold.domain.chat import ChatRequest, parse_chat
from freehold.domain.fingerprint import TemplateIndex
from freehold.domain.policy import Ladder, LadderModel, Policy, TaskPolicy
from freehold.gateway.background.asking import rewritten
from freehold.route import Identifier, Identity, LadderRung, LoadedLadder, PolicyView, decide
from freehold.signals.ladder import Step
from freehold.signals.prompts import STACKED, PromptManifest
from freehold.signals.router import Router, RouterManifest
from freehold.signals.text import BUCKETS, STRUCTURE

CANDIDATES, DIMENSIONS, REFERENCES = 3, 64, 4096
NAMES = tuple(f"model-{number}" for number in range(1, CANDIDATES + 1))


def router() -> Router:
    """A router of full size with random tensors."""
    draw, targets = np.random.default_rng(0), 2 * CANDIDATES + 1
    shapes = {
        "idf": (BUCKETS,),
        "linear": (BUCKETS, targets),
        "structure": (STRUCTURE + 1, targets),
        "projection": (BUCKETS, DIMENSIONS),
        "references": (REFERENCES, DIMENSIONS),
        "neighbours": (REFERENCES, targets),
        "task_means": (1, targets),
        "stack": (STACKED, targets),
    }
    tensors = {name: draw.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    manifest = RouterManifest(
        models=("big", *NAMES),
        rungs=(1, 2, 3),
        signal="prompt",
        spreads=(0.0,) * 3,
        novelty_limit=1e9,
        mean_cost=0.01,
        step=Step(price=0.1, offset=0.0),
        prompts=PromptManifest(candidates=CANDIDATES, tasks=()),
    )
    return Router(manifest, dict(tensors))


def bodies(file: Path | None, requests: int) -> list[bytes]:
    """Chat requests."""
    if file is not None:
        import polars as pl

        found = pl.read_parquet(file, columns=["prompt"])["prompt"].unique(maintain_order=True).head(requests)
        prompts = found.to_list()
    else:
        draw = random.Random(0)
        words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 9))) for _ in range(5000)]
        prompts = [" ".join(draw.choices(words, k=draw.randint(10, 300))) for _ in range(requests)]
    system = {"role": "system", "content": "Answer."}
    return [
        json.dumps({"model": "big", "messages": [system, {"role": "user", "content": prompt}]}).encode()
        for prompt in prompts
    ]


def microseconds(run: Callable[[int], object], count: int) -> dict[str, float]:
    """CPU µs per call: mean, median and 95th percentile over calls."""
    run(0)
    spent = np.empty(count)
    for number in range(count):
        began = time.process_time_ns()
        run(number)
        spent[number] = (time.process_time_ns() - began) / 1e3
    return {
        "mean": round(float(spent.mean()), 1),
        "p50": round(float(np.median(spent)), 1),
        "p95": round(float(np.quantile(spent, 0.95)), 1),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", type=Path)
    parser.add_argument("--requests", type=int, default=2000)
    options = parser.parse_args()
    sent = bodies(options.file, options.requests)
    parsed: list[ChatRequest] = [parse_chat(body) for body in sent]
    index, identifier = TemplateIndex(()), Identifier()
    known: list[Identity] = [identifier.identify(request, "", index) for request in parsed]
    task = known[0].task
    ladder = Ladder(
        router="ro_1",
        path="",
        sha256="",
        models=tuple(LadderModel(name=name) for name in NAMES),
        signal="prompt",
        certificate="ce_1",
        fingerprints=(known[0].fingerprint,),
    )
    rungs = tuple(LadderRung(name, number, upstream="x") for number, name in enumerate(NAMES, 1))
    loaded = LoadedLadder(ladder, router(), rungs)
    bare = PolicyView(Policy(tasks={task: TaskPolicy(task=task)}), index, {})
    entry = TaskPolicy(task=task, ladder=ladder)
    laddered = PolicyView(Policy(tasks={task: entry}), index, {}, ladders={task: loaded})
    moved = 0

    def run(view: PolicyView, number: int) -> None:
        nonlocal moved
        decision = decide(
            view,
            known[number],
            parsed[number],
            pinned=False,
            recorded=True,
            buffered=False,
            stale=False,
            chance=random.random,
        )
        moved += decision.climb is not None

    count = len(sent)
    figures = {
        "requests": count,
        "prompt_bytes_p50": int(np.median([len(body) for body in sent])),
        "decide_without_ladder_us": microseconds(lambda number: run(bare, number), count),
        "decide_with_ladder_us": microseconds(lambda number: run(laddered, number), count),
        "rewrite_us": microseconds(lambda number: rewritten(sent[number], model="model-1", whole=False), count),
        "moved_share": round(moved / count, 3),
    }
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
