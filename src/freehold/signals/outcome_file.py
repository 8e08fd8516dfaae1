"""Scored outcomes as the bytes of a Parquet file.

One row per request: `row` (its trace), `prompt`, `task`, `part` of the evidence, and of each model m `answer_m`,
`score_m` and `cost_m` in dollars. Where more is known of answers, `calls`, `samples` (the same in every row), and of
each model `logprob_m`, `consistency_m` and `validity_m`.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from freehold.signals.outcomes import Floats, Hints, Outcomes

_HINTS = ("logprob", "consistency", "validity")


def encode_outcomes(outcomes: Outcomes, parts: Sequence[str]) -> bytes:
    """The file, with the part of the evidence that each row belongs to."""
    columns: dict[str, Any] = {
        "row": list(outcomes.prompt_ids),
        "prompt": list(outcomes.prompts),
        "task": list(outcomes.tasks),
        "part": list(parts),
    }
    for number, _ in enumerate(outcomes.models):
        answers = outcomes.answers[number] if outcomes.answers is not None else [None] * len(outcomes)
        columns[f"answer_{number}"] = pl.Series(list(answers), dtype=pl.String)
        columns[f"score_{number}"] = outcomes.scores[:, number]
        columns[f"cost_{number}"] = outcomes.costs[:, number]
    hints = outcomes.hints
    if hints is not None:
        columns |= {"calls": hints.calls, "samples": np.full(len(outcomes), hints.samples)}
        for name, values in zip(_HINTS, (hints.logprobs, hints.consistency, hints.validity), strict=True):
            columns |= {f"{name}_{number}": values[:, number] for number, _ in enumerate(outcomes.models)}
    buffer = io.BytesIO()
    pl.DataFrame(columns).write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def decode_outcomes(body: bytes, models: tuple[str, ...], owned: tuple[bool, ...] = ()) -> tuple[Outcomes, list[str]]:
    """What `encode_outcomes` was given.

    Raises:
        PolarsError: it is no such file.
    """
    frame = pl.read_parquet(io.BytesIO(body))

    def each(name: str) -> Floats:
        return np.stack([frame.get_column(f"{name}_{number}").to_numpy() for number in range(len(models))], axis=1)

    hints = None
    if "calls" in frame.columns and frame.height:
        samples = int(frame.get_column("samples")[0])
        logprobs, consistency, validity = map(each, _HINTS)
        hints = Hints(logprobs, consistency, validity, frame.get_column("calls").to_numpy(), samples)
    outcomes = Outcomes(
        prompt_ids=frame.get_column("row").to_list(),
        prompts=frame.get_column("prompt").to_list(),
        tasks=frame.get_column("task").to_list(),
        models=models,
        scores=each("score"),
        costs=each("cost"),
        answers=tuple(frame.get_column(f"answer_{number}").to_list() for number in range(len(models))),
        owned=owned,
        hints=hints,
    )
    return outcomes, frame.get_column("part").to_list()
