"""What others than the incumbent answered to the same prompts: rows to compare with, for the step best-answer.

They are never samples of their own: their answers may take the place of the incumbent's in rows to learn from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from freehold.curate.answers import AnswerRights
from freehold.curate.samples import fold
from freehold.curate.steps.best_answer import OTHER
from freehold.domain.evidence import Sample
from freehold.upstreams.translate import prompt_of

if TYPE_CHECKING:
    import polars as pl


def other_answers(
    traces: pl.DataFrame,
    samples: Sequence[Sample],
    rights: AnswerRights,
) -> list[Sample]:
    """Answers to the prompts of `samples` that none of these is, of models whose terms permit learning from them.

    Args:
        traces: of the task: requests, audits and shadows.
        samples: what was collected: see `freehold.curate.samples.collect_samples`.
        rights: says which answers may be learned from.
    """
    known = {sample.trace_id for sample in samples}
    of_prompt = {fold(sample.prompt): sample for sample in reversed(samples)}
    found: list[Sample] = []
    for row in traces.iter_rows(named=True):
        if row["trace_id"] in known or not _is_answer(row) or rights.recalled(row):
            continue
        terms, verdict = rights.verdict(row)
        prompt = prompt_of(row["request"], row["api"]) if verdict.permits else None
        same = of_prompt.get(fold(prompt)) if prompt is not None else None
        if same is None or same.part == "certify":
            continue
        changes: dict[str, Any] = {"trace_id": row["trace_id"], "at_ns": row["at_ns"], "answer": row["answer"]}
        changes |= {"terms": terms, "uniform": False, "answered_by": row["answered_by"], "source": row["source"]}
        found.append(msgspec.structs.replace(same, **changes, origin=OTHER, verdict=verdict.outcome))
    return found


def _is_answer(row: Mapping[str, Any]) -> bool:
    """Whether it is a whole answer of a model that is asked for its own."""
    whole = row["status"] == 200 and not row["error"] and not row["truncated"] and not row["cached"]
    return whole and not row["owned"] and row["answer"] is not None and row["finish_reason"] == "stop"
