"""A process that trains: `python -m freehold.train.generative.worker --folder FOLDER`.

`fit` starts one, or several; so may torchrun (`torchrun --nproc-per-node 8 -m freehold.train.generative.worker
--folder FOLDER`). It ends with the process that started it: its standard input is a pipe that nobody writes to.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from pathlib import Path

from freehold.domain.errors import FreeholdError, TrainingError
from freehold.runners.yielding import ENVIRONMENT, step_back
from freehold.train.generative.spec import FAILURE, RESULT, SPEC, Failure, Fit, Spec, read_json, write_json

TIED = "FREEHOLD_TIED"
"""Environment variable: set where standard input is the pipe that tells of the parent's end."""


def main() -> int:
    """Train what the folder's spec says; the exit code is 0, or that of the error that `failure.json` holds."""
    parser = argparse.ArgumentParser(description="Train a generative student.")
    parser.add_argument("--folder", type=Path, required=True)
    run: Path = parser.parse_args().folder
    if os.environ.get(TIED):
        threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        work(run)
    except FreeholdError as error:
        if not (run / FAILURE).exists():  # the first to fail knows why; the others only miss it
            write_json(run / FAILURE, Failure(error.message, error.hint))
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def work(run: Path) -> Fit | None:
    """Train in this process, as one worker of as many as the environment says; the first one writes `result.json`.

    Raises:
        TrainingError: it cannot be begun or carried on.
    """
    spec = read_json(run / SPEC, Spec)
    if spec is None:
        raise TrainingError(f"{run} holds no run of training.", "Start it by `freehold train`.")
    if os.environ.get(ENVIRONMENT):
        step_back()
    # Before torch is loaded: waiting threads that spin take from other processes what they do not use.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ["OMP_NUM_THREADS"] = str(spec.recipe.run.threads)
    from freehold.train.generative.failures import translated

    with translated(spec):
        result = _train(run, spec)
    if result is not None:
        write_json(run / RESULT, result)
    return result


def _train(run: Path, spec: Spec) -> Fit | None:
    if spec.recipe.method == "dpo":
        from freehold.train.generative.dpo import train_preferences

        return train_preferences(run, spec)
    from freehold.train.generative.loop import train

    return train(run, spec)


def _end_with_parent() -> None:
    """The pipe's other end is closed when the parent ends, however it does."""
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
