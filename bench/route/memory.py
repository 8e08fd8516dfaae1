"""Memory and CPU of `freehold plan` on a file of a million rows: one row per prompt and model.

Run: `python bench/route/memory.py [--prompts 500000] [--folder DIR]`. Writes the same made-up outcomes of two models
as Parquet and as JSON lines into a temporary folder, a batch at a time, plans on each in a process of its own and
prints a Markdown table. Peak memory is the process's largest resident set, as the kernel counted it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import polars as pl

BATCH = 10_000
"""Prompts made at a time."""
WORDS = 60
"""Of a prompt; an answer has two thirds as many."""
TASKS = {"extraction": 0.92, "triage": 0.88, "summaries": 0.7, "proofs": 0.3}
"""How often the cheap model is right; the dear one is in 90 of 100."""
MODELS = {"dear": 0.01, "cheap": 0.001}
"""Dollars per request, on average."""


class Measured(NamedTuple):
    """What planning on one file took."""

    file_mb: float
    cpu_seconds: float
    peak_mib: float
    saving: float


def batches(prompts: int) -> Iterator[pl.DataFrame]:
    """Rows of both models, seeded; every prompt is another."""
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(1)
    vocabulary = np.array(["".join(rng.choice(list("aeioulnrstkm"), rng.integers(3, 10))) for _ in range(5000)])
    for begin in range(0, prompts, BATCH):
        number = min(BATCH, prompts - begin)
        tasks = rng.choice(list(TASKS), number)
        words = vocabulary[rng.integers(len(vocabulary), size=(number, WORDS))]
        asked = [
            f"{task}: {' '.join(line)} {begin + at}" for at, (task, line) in enumerate(zip(tasks, words, strict=True))
        ]
        chances = {"dear": np.full(number, 0.9), "cheap": np.array([TASKS[task] for task in tasks])}
        for model, dollars in MODELS.items():
            said = vocabulary[rng.integers(len(vocabulary), size=(number, WORDS * 2 // 3))]
            yield pl.DataFrame(
                {
                    "prompt_id": [f"p{begin + at}" for at in range(number)],
                    "task": tasks,
                    "prompt": asked,
                    "model": [model] * number,
                    "is_open_weight": [model == "cheap"] * number,
                    "response": [" ".join(line) for line in said],
                    "score": (rng.random(number) < chances[model]).astype(float),
                    "input_tokens": [2 * WORDS] * number,
                    "output_tokens": [WORDS] * number,
                    "cost_usd": dollars * rng.uniform(0.5, 1.5, number),
                }
            )


def write(folder: Path, prompts: int) -> None:
    """`outcomes.parquet` and `outcomes.jsonl`, never holding more than a batch."""
    import polars as pl

    parts = folder / "parts"
    parts.mkdir()
    with (folder / "outcomes.jsonl").open("wb") as lines:
        for number, batch in enumerate(batches(prompts)):
            batch.write_parquet(parts / f"{number:06d}.parquet")
            batch.write_ndjson(lines)
    pl.scan_parquet(parts / "*.parquet").sink_parquet(folder / "outcomes.parquet")


def plan(path: Path) -> Measured:
    """Plan in a process of its own, and ask the kernel what it took."""
    command = [sys.executable, "-m", "freehold.cli.main", "plan", str(path), "--incumbent", "dear"]
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen([*command, "--candidate", "cheap", "--json"], stdout=out)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        said = out.read()
    if process.returncode:
        sys.exit(f"`freehold plan {path}` ended with {process.returncode}: {said.decode()}")
    found: dict[str, Any] = json.loads(said)
    # Linux counts ru_maxrss in KiB.
    return Measured(path.stat().st_size / 1e6, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, found["saving"])


def main() -> None:
    parser = argparse.ArgumentParser(description="Memory and CPU of `freehold plan` on a large file.")
    parser.add_argument("--prompts", type=int, default=500_000)
    parser.add_argument("--folder", help="where the temporary files go (about 1.5 KB a row)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="freehold-bench-", dir=arguments.folder) as name:
        folder = Path(name)
        # In a process that ends: a child's peak begins with what its parent holds.
        writer = multiprocessing.get_context("spawn").Process(target=write, args=(folder, arguments.prompts))
        writer.start()
        writer.join()
        if writer.exitcode:
            sys.exit("The files could not be written.")
        print("| file | MB | rows | CPU s | peak MiB | saving |\n|---|---|---|---|---|---|")
        for kind in ("parquet", "jsonl"):
            found = plan(folder / f"outcomes.{kind}")
            print(
                f"| {kind} | {found.file_mb:,.0f} | {arguments.prompts * len(MODELS):,} | {found.cpu_seconds:.1f} "
                f"| {found.peak_mib:.0f} | {found.saving:.2f} |"
            )


if __name__ == "__main__":
    main()
