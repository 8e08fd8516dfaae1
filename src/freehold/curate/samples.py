"""Traces in, samples out: which exchanges are evidence of what the incumbent answers, and of what kind.

Before a task has a rung, every exchange is drawn from all of its traffic: a hash of the prompt says which part it is.
Afterwards escalated requests are always answered by the incumbent but owned ones only when audited; escalated requests
alone are never a fair sample. So a sample may certify (`uniform`) only if it was drawn with one probability whatever
the rung thought of it: audits are, at the audit rate; escalated ones are thinned to the same rate by a hash of their
id. Such rows are scarce and all certify; the rest is for fitting. Equal prompts always share one part: the first's.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from freehold.curate.answers import AnswerRights
from freehold.domain.evidence import Origin, Part, Sample
from freehold.upstreams.translate import asked_of

if TYPE_CHECKING:
    import polars as pl

FIT_SHARE = 0.62
TUNE_SHARE = 0.08
"""The rest certifies."""
ESCALATED = frozenset(("novel", "uncertain"))
"""A rung was in force, and left the request to the incumbent."""
IMPORTED = "imported"
"""Recorded elsewhere. Nobody here knows how it was drawn from all traffic: it fits and tunes, and never certifies."""
UNSELECTED = frozenset(("no-rung", "policy-stale", "student-missing", "ladder-unusable", "shadow", "canary"))
"""The incumbent answered, and would have whatever the request was."""


def collect_samples(frame: pl.DataFrame, rights: AnswerRights) -> tuple[list[Sample], Counter[str]]:
    """Samples of one task, and the rows left out by reason.

    Args:
        frame: traces of the task (kinds request and audit), oldest first.
        rights: says which answers may be learned from.
    """
    left_out: Counter[str] = Counter()
    model = incumbent_model(frame)
    samples: list[Sample] = []
    parts = _Parts()
    for row in frame.iter_rows(named=True):
        reason, uniform = _usable(row, model)
        reason = reason or rights.why_not(row)
        if reason:
            left_out[reason] += 1
            continue
        terms, verdict = rights.verdict(row)
        asked = asked_of(row["request"], row["api"])
        if asked is None:
            left_out["not plain text"] += 1
            continue
        selected = row["kind"] == "audit" or row["reason"] in ESCALATED or row["reason"] == IMPORTED
        part = parts.of(row["task"], asked.prompt, selected=selected, uniform=uniform)
        if part == "certify" and not uniform:
            left_out["escalated, and its prompt certifies"] += 1
            continue
        samples.append(
            Sample(
                trace_id=row["trace_id"],
                at_ns=row["at_ns"],
                prompt=asked.prompt,
                answer=row["answer"],
                part=part,
                terms=terms,
                input_tokens=row["input_tokens"] or 0,
                output_tokens=row["output_tokens"] or 0,
                uniform=uniform,
                answered_by=row["answered_by"],
                source=row["source"],
                origin=_origin(row),
                verdict=verdict.outcome,
                answer_schema=asked.answer_schema,
            )
        )
    return samples, left_out


def _origin(row: Mapping[str, Any]) -> Origin:
    if row["source"]:
        return "import"
    return "audit" if row["kind"] == "audit" else "incumbent"


class _Parts:
    """Which part of the evidence each prompt belongs to, decided when it is first seen."""

    def __init__(self) -> None:
        self._known: dict[str, Part] = {}

    def of(self, task: str, prompt: str, *, selected: bool, uniform: bool) -> Part:
        """The part of `prompt`; `selected`: it was seen while a rung was in force, or elsewhere."""
        folded = fold(prompt)
        part = self._known.get(folded)
        if part is None:
            share = prompt_share(task, prompt)
            part = ("certify" if uniform else _part(share * (FIT_SHARE + TUNE_SHARE))) if selected else _part(share)
            self._known[folded] = part
        return part


def _part(share: float) -> Part:
    if share < FIT_SHARE:
        return "fit"
    return "tune" if share < FIT_SHARE + TUNE_SHARE else "certify"


def fold(prompt: str) -> str:
    """Prompts that fold to the same text count as equal."""
    return " ".join(prompt.casefold().split())


def prompt_share(task: str, prompt: str) -> float:
    """A hash of what a prompt folds to, uniform in [0, 1): it says which part of the evidence the prompt belongs to."""
    return share_of(f"{task}\n{fold(prompt)}")


def share_of(text: str) -> float:
    """A hash of `text`, uniform in [0, 1)."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def incumbent_model(frame: pl.DataFrame) -> str:
    """The model most asked for lately: answers of another model are not this incumbent's."""
    recent = Counter[str](frame.get_column("model").tail(1000).to_list())
    return recent.most_common(1)[0][0] if recent else ""


def _usable(row: Mapping[str, Any], model: str) -> tuple[str, bool]:
    """Why a trace is no evidence (empty if it is), and whether it is a uniform draw from the task's traffic."""
    if row["owned"]:
        return "answered by a student", False
    if row["status"] != 200 or row["error"]:
        return "failed", False
    if row["cached"]:
        return "answered from the cache", False
    if row["truncated"]:
        return "recorded in part", False
    if row["answer"] is None:
        return "no text in the answer", False
    if row["finish_reason"] != "stop":
        return f"not finished ({row['finish_reason'] or 'broken off'})", False
    if row["model"] != model:
        return "another model", False
    if row["source"]:
        return "", False  # nobody here knows how it was chosen
    if row["kind"] == "audit" or row["reason"] in UNSELECTED:
        return "", True
    if row["reason"] in ESCALATED:
        return "", share_of(row["trace_id"]) < row["audit_probability"]
    if row["reason"] in ("pinned", IMPORTED):
        return "", False
    return f"served as {row['reason']}", False
