"""Outcomes of made-up models on made-up prompts: what is easy for whom is known."""

from __future__ import annotations

import numpy as np

from freehold.signals.outcomes import Outcomes

TOPICS = {
    "sums": "Add {} and {} and give the sum",
    "cities": "Which city lies nearer to place {} than to place {}?",
    "proofs": "Prove that number {} divides the product over {} of all primes",
}
GOOD = {"sums": 0.98, "cities": 0.96, "proofs": 0.2}
"""How often the cheap model is right; the incumbent always is in 95 of 100."""


def make_outcomes(n: int, seed: int, *, graded: bool = False, answers: bool = False) -> Outcomes:
    """n prompts of three tasks, answered by an incumbent and two cheaper models."""
    rng = np.random.default_rng(seed)
    tasks = rng.choice(list(TOPICS), n).tolist()
    prompts = [TOPICS[task].format(*rng.integers(10_000, size=2)) for task in tasks]
    right = np.stack(
        (
            rng.random(n) < 0.95,
            rng.random(n) < [GOOD[task] for task in tasks],
            rng.random(n) < [0.5 * GOOD[task] for task in tasks],
        ),
        1,
    )
    scores = right.astype(float)
    if graded:
        scores = np.clip(scores * rng.uniform(0.7, 1.0, scores.shape), 0.0, 1.0)
    costs = np.array([1e-2, 1e-3, 2e-4]) * rng.uniform(0.5, 1.5, (n, 3))
    said = tuple([f"The answer is {'x' if ok else rng.integers(99)}" for ok in right[:, model]] for model in range(3))
    return Outcomes(
        prompt_ids=[f"p{row}" for row in range(n)],
        prompts=prompts,
        tasks=tasks,
        models=("dear", "cheap", "cheapest"),
        scores=scores,
        costs=costs,
        answers=said if answers else None,
        owned=(False, True, True),
    )
