"""Decontamination: overlaps planted in rows, found or not, and what it costs.

    python -m bench.curate.decontaminate [ROWS]

Of ROWS (100,000 by default), made by bench/curate/documents.py, a tenth is held out to certify on. Into 1,000 of the
others a run of 13 to 30 words is planted, from a held-out row or from a benchmark's file, with other case, punctuation
and surroundings; into 1,000 more a run of only 12 words, which is none. The benchmark is of generated documents, and,
where they lie at ../shared/data, of real ones too, which are read but not planted from.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

import polars as pl
from bench.curate.documents import curated_row, documents

from freehold.config.curate_settings import Decontaminate
from freehold.curate.pipeline import run_pipeline
from freehold.curate.rows import ROW_COLUMNS
from freehold.runners import LocalBatches

PLANTED = 1_000
WORDS = 13
REAL = tuple(
    Path(__file__).parents[3] / "shared/data" / name for name in ("livecodebench.parquet", "routellm_gsm8k.parquet")
)


def _planted(draw: random.Random, host: str, source: str, length: int) -> str:
    """The host with `length` words of the source inside, written otherwise."""
    words = source.split()
    start = draw.randrange(len(words) - length)
    run = words[start : start + length]
    dressed = [word.upper() if draw.random() < 0.3 else word + draw.choice(("", "", ",", ";", " -")) for word in run]
    around = host.split()
    place = draw.randrange(len(around))
    return " ".join([*around[:place], *dressed, *around[place:]])


def make(count: int, folder: Path) -> tuple[pl.DataFrame, set[str], set[str], Path]:
    """Rows, the ids of those with an overlap and of those with almost one, and the benchmark's file."""
    draw = random.Random(7)
    texts = [document.text for document in documents(count + PLANTED, seed=5, near=0.0, exact=0.0)]
    benchmark, texts = texts[:PLANTED], texts[PLANTED:]
    path = folder / "benchmark.jsonl"
    path.write_text("".join(json.dumps({"question": text}) + "\n" for text in benchmark))
    held = count // 10
    hosts = draw.sample(range(held, count), 2 * PLANTED)
    for place, host in enumerate(hosts):
        source = draw.choice(texts[:held] if place % 2 else benchmark)
        length = draw.randint(WORDS, 30) if place < PLANTED else WORDS - 1
        texts[host] = _planted(draw, texts[host], source, length)
    rows = [curated_row(number, text, "certify" if number < held else "fit") for number, text in enumerate(texts)]
    ids = [f"r{host:08}" for host in hosts]
    return pl.DataFrame(rows, schema=ROW_COLUMNS), set(ids[:PLANTED]), set(ids[PLANTED:]), path


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        rows, planted, almost, path = make(count, Path(folder))
        real = [str(one) for one in REAL if one.exists()]
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.process_time()
        done = run_pipeline(rows, (Decontaminate(benchmarks=(str(path), *real)),), LocalBatches(4096))
        seconds = time.process_time() - started
    gone = set(done.left_out.get_column("row"))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"`python -m bench.curate.decontaminate {count}`\n")
    print(
        "| rows | planted | found | 12 words only | taken for copies | others taken | rows per CPU second | MB more |"
    )
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    others = len(gone - planted - almost)
    print(
        f"| {count:,} | {len(planted):,} | {len(gone & planted):,} | {len(almost):,} | {len(gone & almost):,} "
        f"| {others:,} | {count / seconds:,.0f} | {grown:.0f} |"
    )
    print(f"\nReal benchmarks read as well: {', '.join(Path(one).name for one in real) or 'none are here'}.")


if __name__ == "__main__":
    main()
