"""The figures of docs/scale.md, computed from what one record costs.

    python -m bench.record.scale              # prints the tables from bench/record/costs.json
    python -m bench.record.scale --measure    # measures what curating a row costs first, and keeps it there (a minute)
    python -m bench.record.scale --write      # puts the tables into docs/scale.md

costs.json names where each cost was measured; change it when a bench gives another figure.
"""

from __future__ import annotations

import argparse
import re
import time
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
from bench.curate.decontaminate import PLANTED
from bench.curate.documents import curated_row, documents

from freehold.config.curate_settings import CurateStep
from freehold.curate.pipeline import run_pipeline
from freehold.curate.rows import ROW_COLUMNS
from freehold.runners import LocalBatches

COSTS = Path(__file__).with_name("costs.json")
PAGE = Path(__file__).parents[2] / "docs" / "scale.md"
RATES = (1_000, 100_000, 10_000_000)
"""Requests per hour."""
PEAK = 3.0
"""Traffic at its busiest, as a multiple of its mean: what has to be provided for."""
ROWS = 20_000
STEPS: tuple[dict[str, Any], ...] = (
    {"step": "filter", "min_score": 0.5},
    {"step": "exact-duplicates"},
    {"step": "near-duplicates"},
    {"step": "decontaminate"},
    {"step": "secrets"},
    {"step": "redact", "mode": "mask"},
    {"step": "length"},
    {"step": "language", "languages": ["en"], "unknown": True},
    {"step": "balance"},
    {"step": "split"},
    {"step": "best-answer"},
)


class Cost(msgspec.Struct):
    """What something costs for one record."""

    value: float
    unit: str
    source: str = msgspec.field(name="from")


def read_costs() -> dict[str, Cost]:
    return msgspec.json.decode(COSTS.read_bytes(), type=dict[str, Cost])


def measure(costs: dict[str, Cost]) -> None:
    """What each step of curating costs for one row of about 60 words, as CPU time of this process."""
    made = documents(ROWS + PLANTED, seed=9)[:ROWS]
    rows = pl.DataFrame(
        [
            curated_row(n, one.text, "certify" if n % 10 == 0 else "fit", answer=("yes", "no")[n % 2])
            for n, one in enumerate(made)
        ],
        schema=ROW_COLUMNS,
    )
    for asked in STEPS:
        [settings] = msgspec.convert([asked], tuple[CurateStep, ...])
        run_pipeline(rows.head(100), (settings,), LocalBatches(4096))  # what it imports is not counted
        started = time.process_time()
        run_pipeline(rows, (settings,), LocalBatches(4096))
        spent = (time.process_time() - started) / ROWS * 1e6
        source = f"python -m bench.record.scale --measure, {ROWS:,} rows"
        costs[f"curate {asked['step']}"] = Cost(round(spent, 1), "µs CPU per row of 60 words", source)
    COSTS.write_bytes(msgspec.json.format(msgspec.json.encode(costs), indent=2) + b"\n")


def tables(costs: dict[str, Cost]) -> str:
    lines = ["| what one record costs | | measured by |", "|---|---:|---|"]
    lines += [
        f"| {name.replace('_', ' ')} | {cost.value:g} {cost.unit} | {cost.source} |" for name, cost in costs.items()
    ]
    curate = sum(cost.value for name, cost in costs.items() if name.startswith("curate "))
    lines += ["", f"| requests per hour | {' | '.join(f'{rate:,}' for rate in RATES)} |", "|---|---:|---:|---:|"]
    lines += [_line(name, costs, work) for name, work in _WORK.items()]
    figures = (f"{_minutes(rate * 24 * curate / 6e7)}" for rate in RATES)
    lines.append(f"| every step of curating over a day's rows, one core | {' | '.join(figures)} |")
    return "\n".join(lines)


def _line(name: str, costs: dict[str, Cost], work: tuple[str, ...]) -> str:
    total = sum(costs[one].value for one in work)
    if work[0].endswith("_bytes"):
        figures = (f"{rate * 24 * total / 1e9:,.2f} GB" for rate in RATES)
    else:
        cores = (rate / 3600 * PEAK * total / 1e6 for rate in RATES)
        figures = ("< 0.01" if one < 0.01 else f"{one:.2f}" for one in cores)
    return f"| {name} | {' | '.join(figures)} |"


_WORK: dict[str, tuple[str, ...]] = {
    f"cores for the gateway, at {PEAK:g} times the mean": ("gateway",),
    f"of these for the journal, at {PEAK:g} times the mean": ("journal",),
    f"cores for sealing, at {PEAK:g} times the mean": ("sealing",),
    "journals written per day": ("journal_bytes",),
    "table grows per day": ("table_bytes",),
}


def _minutes(minutes: float) -> str:
    if minutes < 1:
        return f"{minutes * 60:.0f} s"
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--measure", action="store_true")
    arguments.add_argument("--write", action="store_true")
    given = arguments.parse_args()
    costs = read_costs()
    if given.measure:
        measure(costs)
    made = tables(costs)
    print(made)
    if given.write:
        page = PAGE.read_text(encoding="utf-8")
        marked = re.compile(r"(<!-- figures -->\n).*?(\n<!-- end of figures -->)", re.S)
        PAGE.write_text(marked.sub(lambda found: f"{found[1]}\n{made}\n{found[2]}", page), encoding="utf-8")


if __name__ == "__main__":
    main()
