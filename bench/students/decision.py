"""How long a student takes to decide: 77 intents, real bank customers' messages it has not seen.

The messages (banking77, PolyAI, CC BY 4.0) are read from ../shared/data, which is not part of this repository.

    OMP_NUM_THREADS=1 python bench/students/decision.py [--seed N] [--fit-rows N] [--decisions N]

prints one JSON object: microseconds per decision, by wall clock and by CPU, each at p50 and p95, and the agreement
with the true label, so that a faster student that answers worse does not pass for a better one. The first pass over
the messages is measured: words are met for the first time as in traffic.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from freehold.train.classifier import fit_classifier
from freehold.upstreams.student import Classifier, Manifest, build_classifier
from freehold.upstreams.student.rendering import Style

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "banking77.parquet"
WARM_UP = 200


def main() -> int:
    """Fit, measure, print."""
    parser = argparse.ArgumentParser(description="Decision time of a classical student.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fit-rows", type=int, default=6000)
    parser.add_argument("--decisions", type=int, default=4000)
    options = parser.parse_args()
    if not DATA.is_file():
        print(f"Skipped: {DATA} is not there; put banking77.parquet in that place to measure.", file=sys.stderr)
        return 0
    frame = pl.read_parquet(DATA)
    rows = list(zip(frame["text"].to_list(), frame["label"].to_list(), strict=True))
    random.Random(options.seed).shuffle(rows)
    student = _fitted(rows[: options.fit_rows], options.seed)
    unseen = rows[options.fit_rows :][: WARM_UP + options.decisions]
    print(json.dumps({"seed": options.seed, "fit_rows": options.fit_rows, **_measured(student, unseen)}))
    return 0


def _fitted(rows: list[tuple[str, str]], seed: int) -> Classifier:
    fitted = fit_classifier([text for text, _ in rows], [{(): label} for _, label in rows], seed)
    manifest = Manifest(
        task="bench",
        dataset="bench",
        dataset_sha256="",
        seed=seed,
        heads=fitted.heads,
        style=Style(kind="label"),
        input_tokens_fixed=0.0,
        input_tokens_per_character=0.25,
        output_tokens_per_character=0.25,
    )
    return build_classifier(msgspec.to_builtins(manifest), fitted.tensors)


def _measured(student: Classifier, rows: list[tuple[str, str]]) -> dict[str, object]:
    for text, _ in rows[:WARM_UP]:
        student.answer(text)
    wall, cpu, right = [], [], 0
    for text, label in rows[WARM_UP:]:
        wall_before, cpu_before = time.perf_counter_ns(), time.thread_time_ns()
        answer = student.answer(text)
        cpu_after, wall_after = time.thread_time_ns(), time.perf_counter_ns()
        wall.append(wall_after - wall_before)
        cpu.append(cpu_after - cpu_before)
        right += answer.text == label
    count = len(rows) - WARM_UP
    return {"decisions": count, "agreement": right / count, "wall_us": _percentiles(wall), "cpu_us": _percentiles(cpu)}


def _percentiles(nanoseconds: list[int]) -> dict[str, float]:
    p50, p95 = np.percentile(nanoseconds, [50, 95]) / 1e3
    return {"p50": round(float(p50), 1), "p95": round(float(p95), 1)}


if __name__ == "__main__":
    sys.exit(main())
