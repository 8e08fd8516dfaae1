"""Trials side by side on a Ray cluster, by Ray Tune: those whose loss is worse than the others' median are stopped."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple, TypeAlias

from freehold.domain.errors import FreeholdError
from freehold.runners.fleeting import fleeting_folder
from freehold.runners.ray import connect

Files: TypeAlias = "Mapping[str, bytes]"
Tell: TypeAlias = "Callable[[dict[str, Any]], None]"


class Stopping(NamedTuple):
    """When a trial is stopped: Ray's MedianStoppingRule (Golovin et al. 2017, section 3.2.2)."""

    loss: str
    """The figure that is to be small; it and `time` are in everything that a trial tells."""
    time: str
    grace: int
    """Of `time`: before this none is stopped."""
    least: int
    """Other trials that there must be."""


class Told(NamedTuple):
    """One trial's end."""

    last: dict[str, Any]
    """What it told last; empty if nothing."""
    error: str
    """Why it failed; empty if it did not."""


def run_trials(address: str, work: str, trials: Sequence[Files], cpus: Sequence[int], stopping: Stopping) -> list[Told]:
    """Run all trials, as many side by side as the cluster has room for; their ends, in the same order.

    Args:
        address: of the cluster, as `RayBatches` has it.
        work: `module:function` of (folder with the trial's files, tell) → None; it tells of its loss as it goes.
        trials: what each begins with: path below its folder → content.
        cpus: of each trial.
        stopping: which are stopped early; their processes are ended then.

    Raises:
        ConfigError: there is no cluster.
        FreeholdError: it is lost.
    """
    connect(address or os.environ.get("RAY_ADDRESS", ""))
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    tune: Any = import_module("ray.tune")
    schedulers: Any = import_module("ray.tune.schedulers")
    ray: Any = import_module("ray")
    logging.getLogger("ray.tune").setLevel(logging.ERROR)  # it misses the files that nobody asked for
    rule = schedulers.MedianStoppingRule(
        time_attr=stopping.time,
        metric=stopping.loss,
        mode="min",
        grace_period=stopping.grace,
        min_samples_required=stopping.least,
        min_time_slice=math.inf,  # a trial is never set aside for others: it would have to begin again
    )
    files = [ray.put(dict(trial)) for trial in trials]

    def room(config: dict[str, int]) -> Any:
        return tune.PlacementGroupFactory([{"CPU": cpus[config["trial"]]}])

    trainable = tune.with_resources(tune.with_parameters(_trial, work=work, files=files), room)
    with tempfile.TemporaryDirectory(prefix="freehold-tune-") as folder:
        tuner = tune.Tuner(
            trainable,
            param_space={"trial": tune.grid_search(list(range(len(trials))))},
            tune_config=tune.TuneConfig(scheduler=rule),
            run_config=tune.RunConfig(
                storage_path=folder, verbose=0, failure_config=tune.FailureConfig(max_failures=2)
            ),
        )
        try:
            ended = {found.config["trial"]: found for found in tuner.fit()}
        except ray.exceptions.RayError as error:
            raise FreeholdError(
                f"The Ray cluster failed: {str(error).strip().splitlines()[-1]}", "Look at its logs, and run it again."
            ) from error
    return [_told(ended[number]) for number in range(len(trials))]


def _trial(config: dict[str, Any], work: str, files: Sequence[Any]) -> None:
    """One trial, on a node."""
    ray: Any = import_module("ray")
    tune: Any = import_module("ray.tune")
    module, _, function = work.partition(":")
    folder = fleeting_folder("freehold-trial-")  # a trial that is stopped ends without another word
    for name, content in ray.get(files[config["trial"]]).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    getattr(import_module(module), function)(folder, tune.report)


def _told(found: Any) -> Told:
    error = ""
    if found.error is not None:
        cause = getattr(found.error, "cause", None) or found.error
        with contextlib.suppress(IndexError):
            error = str(cause).strip().splitlines()[-1]
    return Told(dict(found.metrics or {}), error or ("failed" if found.error is not None else ""))
