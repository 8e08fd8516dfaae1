"""Candidate rows of the demo's urgency task, with feedback from honest keys and from some that are not."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import polars as pl
from loop_fixtures import urgency

from freehold.config.curate_settings import BestAnswer, CurateStep
from freehold.curate.pipeline import run_pipeline
from freehold.curate.rows import ROW_COLUMNS
from freehold.runners import LocalBatches
from freehold.train.classifier import fit_classifier
from freehold.upstreams.student.classifier import Classifier, Manifest
from freehold.upstreams.student.rendering import Style

HONEST_KEYS = 20
HONEST_MISTAKES = 0.02
LEARN = BestAnswer()


def rows_with(
    n: int, evil: Sequence[str] = (), share: float = 0.0, *, seed: int = 1, keys: int = HONEST_KEYS, wrong: float = 1.0
) -> pl.DataFrame:
    """`n` judged rows; `share` of the feedback comes from `evil` keys, and `wrong` of theirs names a wrong label."""
    chance = random.Random(seed)
    data = urgency(seed, n, mistakes=0.0)
    values = sorted({answer for _, answer in data})
    bad = set(chance.sample(range(n), round(n * share)))
    rows: list[dict[str, Any]] = []
    for number, (prompt, answer) in enumerate(data):
        key = chance.choice(list(evil)) if number in bad else f"key_{chance.randrange(keys):02d}"
        lies = chance.random() < (wrong if number in bad else HONEST_MISTAKES)
        label = chance.choice([value for value in values if value != answer]) if lies else None
        rows.append(
            {"row": f"tr_{number:08x}", "at_ns": number, "task": "task_t", "key": key, "prompt": prompt,
             "answer": answer, "score": 0.0 if lies else 1.0, "label": label, "part": "fit", "source": "",
             "changed": "", "answer_schema": "", "uniform": True, "origin": "incumbent", "answered_by": "inc/gpt",
             "terms": "own", "verdict": "allow", "model": "gpt", "status": 200, "input_tokens": 0, "output_tokens": 0}
        )  # fmt: skip
    there = {name: kind for name, kind in ROW_COLUMNS.items() if name in rows[0]}
    empty = [pl.lit(None, kind).alias(name) for name, kind in ROW_COLUMNS.items() if name not in there]
    return pl.DataFrame(rows, schema=there).with_columns(empty).select(list(ROW_COLUMNS))


def unheard(rows: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """The rows as if these keys had sent no feedback."""
    silent = pl.col("key").is_in(list(keys))
    return rows.with_columns(pl.when(~silent).then(pl.col(name)).alias(name) for name in ("score", "label", "edit"))


def curated(rows: pl.DataFrame, *steps: CurateStep) -> pl.DataFrame:
    """The rows that the steps leave."""
    return run_pipeline(rows, steps, LocalBatches(10_000)).rows


def accuracy(rows: pl.DataFrame, held_out: Sequence[tuple[str, str]]) -> float:
    """Of a student fitted on the rows, on messages that it has not seen and whose right answers are known."""
    answers = [{(): answer} for answer in rows.get_column("answer").to_list()]
    fitted = fit_classifier(rows.get_column("prompt").to_list(), answers, seed=0)
    manifest = Manifest(
        task="t",
        dataset="ds_0",
        dataset_sha256="",
        seed=0,
        heads=fitted.heads,
        style=Style(kind="label"),
        input_tokens_fixed=0.0,
        input_tokens_per_character=0.25,
        output_tokens_per_character=0.25,
    )
    student = Classifier(manifest, fitted.tensors)
    return sum(student.answer(prompt).text == answer for prompt, answer in held_out) / len(held_out)
