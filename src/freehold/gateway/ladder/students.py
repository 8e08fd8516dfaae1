"""Reads the files of students and ladders and makes them ready to answer. Called in the policy watch's thread, never in
a request: numpy comes with them, and a gateway that has none starts without it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from freehold.config import Settings, UpstreamSettings
from freehold.domain.errors import StudentError
from freehold.domain.policy import Ladder, LadderModel
from freehold.record.prices import PriceList
from freehold.route import STUDENT, Gate, LadderRung, LoadedLadder, Student, why_unusable
from freehold.upstreams.matching import ModelMap


def load_student(folder: Path, sha256: str) -> Student | Gate:
    """The student in `folder`, the hash of every file that is read checked; of a generative one, its gate.

    Raises:
        StudentError: a file is missing or changed, or they do not fit together.
    """
    from freehold.serving import read_gate
    from freehold.store.artifacts import read_student
    from freehold.upstreams.student import build_classifier

    manifest, tensors = read_student(folder, sha256)
    return read_gate(manifest, tensors) if manifest.get("kind") == "generative" else build_classifier(manifest, tensors)


def load_ladder(settings: Settings, prices: PriceList, ladder: Ladder) -> LoadedLadder:
    """A ladder with its router and students, every file's hash checked, and every model one that may be asked.

    Raises:
        StudentError: a file is missing or changed, they do not fit together, or a model cannot be asked: which, why,
            and what to do.
    """
    from freehold.signals.embed import embedder_for
    from freehold.signals.router import build_router
    from freehold.store.artifacts import read_router

    data, upstreams = settings.data, settings.upstreams
    manifest, tensors = read_router(data / ladder.path, ladder.sha256)
    router = build_router(manifest, tensors, embedder_for(settings.candidates.embedder, manifest))
    numbers = dict(zip(ladder.models, router.manifest.rungs, strict=False))
    incumbent = router.manifest.models[0]
    rungs = tuple(_rung(data, upstreams, model, number, incumbent) for model, number in numbers.items())
    for rung in rungs:
        if rung.student is None:  # list prices take a second to load: not in the first request's time
            prices.cost(rung.upstream, (rung.name,), input=0, cached=0, output=0, at_ns=time.time_ns())
    return LoadedLadder(ladder, router, rungs)


def _rung(
    data: Path, upstreams: Mapping[str, UpstreamSettings], model: LadderModel, number: int, incumbent: str
) -> LadderRung:
    if model.name.startswith(STUDENT):
        student = load_student(data / model.path, model.sha256)
        if not hasattr(student, "answer"):
            raise StudentError(f"{model.name} is generative: a ladder's students answer in the gateway.", "")
        return LadderRung(model.name, number, cast("Student", student))
    problem = why_unusable(upstreams, model.name, incumbent)
    if problem:
        raise StudentError(f"A model of the ladder cannot be asked. {problem}", "")
    found = ModelMap({name: settings.models for name, settings in upstreams.items()}).find(model.name)
    return LadderRung(model.name, number, upstream=found or "")
