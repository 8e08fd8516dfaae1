"""What recorded outcomes say could be moved: the result of `freehold plan`."""

from __future__ import annotations

from typing import Literal

import msgspec


class CurvePoint(msgspec.Struct, frozen=True):
    """One way of routing, as measured on rows that did not choose it."""

    cost: float
    """Dollars, as a share of always asking the incumbent."""
    score: float
    """Mean score of what was answered."""


class ModelFacts(msgspec.Struct, frozen=True):
    """One model, asked everything."""

    model: str
    score: float
    dollars: float
    """Per request."""
    owned: bool
    """Its weights are open."""


class TaskPlan(msgspec.Struct, frozen=True):
    """What the plan does with one task, as seen on the certify rows."""

    task: str
    rows: int
    served: dict[str, float]
    """Model → share of the task's requests it answers."""
    incumbent_score: float
    score: float
    saving: float
    """Share of the task's dollars."""


class MoreEvidence(msgspec.Struct, frozen=True):
    """What a larger sample would probably bring."""

    rows: int
    """Scored prompts in all."""
    saving: float
    """Share of dollars that would then probably be certified."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What could move, what it would save, and what it rests on."""

    incumbent: str
    candidates: tuple[str, ...]
    epsilon: float
    delta: float
    risk: Literal["traffic", "served"]
    loss: Literal["signed", "harm"]
    signal: Literal["prompt", "cascade"]
    rows: int
    """Prompts with a score of every model."""
    left_out: dict[str, int]
    """Reason → rows of the file that were not used."""
    parts: dict[str, int]
    """Rows to fit, tune and certify."""
    certified: bool
    reason: str
    """Why nothing is certified, or the statement that is."""
    rungs: tuple[str, ...]
    """Models in the order they are tried, the incumbent last."""
    test: str
    """Name of the test."""
    p_value: float | None
    loss_estimate: float | None
    loss_upper: float | None
    """With confidence 1 − δ; at most ε."""
    served_share: float
    saving: float
    """Share of always asking the incumbent, certify rows."""
    dollars: float
    """Saved per 1,000 requests."""
    incumbent_dollars: float
    """Spent per 1,000 requests when the incumbent answers all."""
    limit: float
    """The largest saving that any valid test could have certified on these rows with even chances: see the report."""
    gate_share: float
    """Share of requests that the novelty gate sends to the incumbent."""
    gate_cost: float
    """Saving that it forgoes."""
    models: tuple[ModelFacts, ...]
    tasks: tuple[TaskPlan, ...]
    curve: tuple[CurvePoint, ...]
    """The ladder's own walk, strict to lax."""
    random_mix: tuple[CurvePoint, ...]
    """Between always the incumbent and always the best-saving candidate."""
    best_possible: tuple[CurvePoint, ...]
    """With the outcome of each request known beforehand."""
    operating_point: CurvePoint | None
    more: tuple[MoreEvidence, ...]
    needed: int | None
    """Scored prompts until anything is probably certified; None: no number will do, or something is already."""
    cost_sources: dict[str, str] = {}
    """Model → whose dollars its costs are: the file's, a price given, a list price."""
