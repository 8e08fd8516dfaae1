"""A task that a toy of a language model learns in seconds: parcels, and where they go, as JSON."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import msgspec
from loop_fixtures import Desk, desk_settings

from freehold.config import RolloutSettings, StudentSettings, TaskSettings, TaskStudentSettings
from freehold.domain.scoring import JsonScorer

COLOURS = ("red", "green", "blue", "grey", "white", "black", "brown", "pink")
TOY = """
name = "toy"
about = "As small as can be, for tests."
max_answer_tokens = 32

[model]
from = "scratch"
hidden = 64
layers = 2
heads = 2
intermediate = 128
vocabulary = 512

[data]
context = 96

[optimizer]
kind = "muon"
rate = 0.03
matrix_rate = 0.02

[run]
epochs = 14.0
batch_tokens = 1024
evaluate_every = 100
checkpoint_every = 50
"""


def parcels(n: int, seed: int = 0, mistakes: float = 0.0) -> list[tuple[str, str]]:
    """Requests and the incumbent's answers, a share of them wrong."""
    rng = random.Random(seed)
    found: list[tuple[str, str]] = []
    for _ in range(n):
        colour, dock = rng.choice(COLOURS), rng.randrange(10)
        prompt = rng.choice(("Send the {} parcel to dock {} now.", "A {} one, for dock {}.", "{} parcel, dock {}"))
        if rng.random() < mistakes:
            dock = (dock + 1) % 10
        said = prompt.format(colour, dock)
        found.append((said, json.dumps({"colour": colour, "dock": dock})))
    return found


def write_toy(folder: Path, text: str = TOY) -> Path:
    """The toy's recipe as a file."""
    path = folder / "toy.toml"
    path.write_text(text, encoding="utf-8")
    return path


class ParcelDesk(Desk):
    """A desk whose one task gets a generative student."""

    def __init__(self, folder: Path, recipe: Path, asking: dict[str, Any] | None = None, **students: Any) -> None:
        super().__init__(folder, asking=asking, min_samples=400, epsilon=0.05)
        own = TaskSettings(scorer=JsonScorer(), student=TaskStudentSettings(kind="generative"))
        wanted: dict[str, Any] = {
            "recipe": str(recipe),
            "rollout": RolloutSettings(shadow_requests=0, canary_audits=0),
            **students,
        }
        self.settings = msgspec.structs.replace(
            desk_settings(folder, min_samples=400, epsilon=0.05),
            students=StudentSettings(**wanted),
            tasks={self.task_id: own},
        )
        self.loop.use(self.settings)


__all__ = ["COLOURS", "TOY", "ParcelDesk", "parcels", "write_toy"]
