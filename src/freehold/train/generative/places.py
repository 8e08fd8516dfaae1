"""Where a run's workers run: on this machine, behind whoever answers callers, or on a Ray cluster."""

from __future__ import annotations

from functools import partial

from freehold.config import Settings
from freehold.runners.yielding import yielding_environment
from freehold.train.generative.launch import TrainBy, train_here


def place_of(settings: Settings) -> TrainBy:
    """As `[runner]` and `[students] yield_share` say: what `fit` takes as `train_by`."""
    if settings.runner.kind == "ray":
        from freehold.train.generative.cluster import RayWorkers  # it needs an extra

        return RayWorkers(settings.runner.address)
    return partial(train_here, environment=yielding_environment(settings.data, settings.students.yield_share))
