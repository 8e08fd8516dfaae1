from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import tiny_runs
import torch
from waiting import wait_for

from freehold.domain.errors import TrainingError
from freehold.train.generative.checkpoint import State, read_checkpoint, write_checkpoint
from freehold.train.generative.loop import train
from freehold.train.generative.spec import CHECKPOINT, PROGRESS, read_json, write_json
from freehold.train.generative.worker import TIED
from freehold.train.progress import Progress

COMMAND = (sys.executable, "-m", "freehold.train.generative.worker", "--folder")
LONG: dict[str, Any] = {"epochs": 12, "checkpoint_every": 3, "evaluate_every": 4}


def _started(run: Path, **environment: str) -> subprocess.Popen[bytes]:
    told = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.Popen([*COMMAND, str(run)], env=told, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)


def test_a_run_that_is_killed_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    recipe = tiny_runs.recipe_of(**LONG)
    whole = train(*tiny_runs.lay_out(tmp_path / "whole", recipe))
    run, spec = tiny_runs.lay_out(tmp_path / "killed", recipe)
    step = random.randrange(4, 40)
    with _started(run) as process:
        wait_for(lambda: (told := read_json(run / PROGRESS, Progress)) is not None and told.step >= step, seconds=120)
        process.send_signal(signal.SIGKILL)
    found = read_checkpoint(run, "cpu")
    assert found is not None and 0 < found[0].step < 1000
    assert not (tmp_path / "killed" / "model").exists()
    resumed = train(run, spec)
    assert whole is not None and resumed is not None
    assert resumed.sha256 == whole.sha256, f"killed after step {step}"
    assert (resumed.steps, resumed.tune_loss, resumed.fit_loss, resumed.tokens) == (
        whole.steps,
        whole.tune_loss,
        whole.fit_loss,
        whole.tokens,
    )


def test_a_run_goes_on_from_every_checkpoint_with_dropout_and_adamw(tmp_path: Path) -> None:
    from freehold.train.recipes import Adapter

    base = tiny_runs.base_folder(tmp_path / "base")
    recipe = tiny_runs.recipe_of(
        scratch=False, muon=False, adapter=Adapter(rank=2, dropout=0.2), checkpoint_every=5, evaluate_every=4
    )
    run, spec = tiny_runs.lay_out(tmp_path / "run", recipe, start=base)
    whole, again = train(run, spec), train(run, spec)  # from its last checkpoint, which is left there
    assert whole is not None and again is not None and whole.sha256 == again.sha256
    found = read_checkpoint(run, "cpu")
    assert found is not None and found[0].step % 5 == 0 and any(name.startswith("best/") for name in found[1])


def test_a_model_from_random_weights_goes_on_with_the_same_dropout(tmp_path: Path) -> None:
    plain = tiny_runs.recipe_of(checkpoint_every=5, evaluate_every=4)
    recipe = msgspec.structs.replace(plain, model=msgspec.structs.replace(tiny_runs.SHAPE, dropout=0.2))
    run, spec = tiny_runs.lay_out(tmp_path / "run", recipe)
    whole, again = train(run, spec), train(run, spec)  # from its last checkpoint, which is left there
    without = train(*tiny_runs.lay_out(tmp_path / "without", plain))
    assert whole is not None and again is not None and without is not None
    assert whole.sha256 == again.sha256 != without.sha256


def test_under_other_conditions_a_run_begins_anew_and_says_why(tmp_path: Path) -> None:
    run, spec = tiny_runs.lay_out(tmp_path, tiny_runs.recipe_of(checkpoint_every=2))
    first = train(run, spec)
    found = read_checkpoint(run, "cpu")
    assert first is not None and found is not None
    state, tensors = found
    write_checkpoint(run, msgspec.structs.replace(state, environment={**state.environment, "threads": "7"}), tensors)
    again = train(run, spec)
    assert again is not None and again.sha256 == first.sha256
    assert again.environment["begun again"] == "threads: 7, now 1"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit is Linux's")
def test_a_full_disk_leaves_the_checkpoint_before_as_it_was(tmp_path: Path) -> None:
    tensors = {"weights/a": torch.arange(100_000.0)}
    write_checkpoint(tmp_path, State(step=1), tensors)
    before = (tmp_path / CHECKPOINT).read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))  # a file that would be larger is refused
    try:
        with pytest.raises(TrainingError, match=r"checkpoint\.safetensors cannot be written.*Make room"):
            write_checkpoint(tmp_path, State(step=2), tensors)
        with pytest.raises(TrainingError, match="Make room"):
            write_json(tmp_path / "progress.json", ["x" * 60_000])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / CHECKPOINT).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]


def test_workers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    run, _ = tiny_runs.lay_out(tmp_path, tiny_runs.recipe_of(epochs=1000, batch_tokens=64))
    with _started(run, **{TIED: "1"}) as process:
        assert process.stdin is not None
        process.stdin.close()  # as the system does when the parent is gone, however it went
        assert process.wait(60) == 1
