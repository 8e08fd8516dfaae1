"""A key sends wrong feedback: what a student makes of it, with and without the steps that bound what one key can do.

    python bench/curate/poisoning.py [SEEDS]

Feedback of 20 honest keys (2% of it mistaken) on the demo's urgency task, and of keys that name a wrong label every
time; the best answer to each prompt, as feedback has it, is learned. Held out: 1,000 messages with known answers.
`named` and `honest named`: over all seeds, how many of the dishonest and of the honest keys the report names.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from statistics import fmean
from typing import Any

from freehold.config.poisoning_settings import FeedbackTrust, Influence
from freehold.curate.poisoning.report import suspicions

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "shared"))
ROWS = 1500
CASES: tuple[tuple[str, tuple[str, ...], float], ...] = (
    ("nobody", (), 0.0),
    ("one key, 1%", ("evil",), 0.01),
    ("one key, 5%", ("evil",), 0.05),
    ("one key, 20%", ("evil",), 0.20),
    ("two keys, 5%", ("evil", "foul"), 0.05),
    ("two keys, 20%", ("evil", "foul"), 0.20),
)


def main() -> None:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    made: Any = import_module("poisoned_rows")
    held_out = import_module("loop_fixtures").urgency(99, 1000, mistakes=0.0)
    print(f"`python bench/curate/poisoning.py {seeds}`: {ROWS} judged rows, {seeds} seeds\n")
    columns = ("wrong feedback from", "held-out errors: the others' feedback only", "all of it", "feedback-trust",
               "influence + feedback-trust", "named", "honest named")  # fmt: skip
    print(f"| {' | '.join(columns)} |")
    print("|---|---|---|---|---|---|---|")
    for name, evil, share in CASES:
        errors: list[list[float]] = []
        named = honest = 0
        for seed in range(1, seeds + 1):
            rows = made.rows_with(ROWS, evil, share, seed=seed)
            found = suspicions(rows).named
            named += len(set(found) & set(evil))
            honest += len(set(found) - set(evil))
            sets = (
                made.curated(made.unheard(rows, evil), made.LEARN),
                made.curated(rows, made.LEARN),
                made.curated(rows, FeedbackTrust(), made.LEARN),
                made.curated(rows, Influence(), FeedbackTrust(), made.LEARN),
            )
            errors.append([1.0 - made.accuracy(each, held_out) for each in sets])
        means = " | ".join(f"{fmean(column):.2%}" for column in zip(*errors, strict=True))
        print(
            f"| {name} | {means} | {named} of {len(evil) * seeds} | {honest} of {made.HONEST_KEYS * seeds} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
