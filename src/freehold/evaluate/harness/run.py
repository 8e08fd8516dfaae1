"""Run a harness in a folder of its own, and read what it wrote there."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import msgspec

from freehold.domain.errors import ConfigError, EvidenceError
from freehold.domain.evaluations import Harness, HarnessReport, HarnessScore

_TAIL = 1_500
"""Characters of a failed harness's output that the error shows."""


class HarnessRun(msgspec.Struct, frozen=True, kw_only=True):
    """What to run, and against what."""

    harness: Harness
    tasks: tuple[str, ...]
    """lm-eval: names of tasks. inspect: files (`FILE` or `FILE@TASK`) or names of packaged tasks."""
    base_url: str
    """Of an OpenAI-compatible endpoint, `/v1` included."""
    model: str
    api_key: str = ""
    limit: int | None = None
    """Samples of each task; None: all."""
    include_path: str = ""
    """lm-eval: a folder with tasks of one's own."""
    completions: bool = False
    """lm-eval: ask `/v1/completions`, which tasks that compare log-probabilities need."""
    tokenizer: str = ""
    """lm-eval with `completions`: a folder or hub name of the model's tokenizer."""
    concurrent: int = 8
    """Requests under way at once."""
    offline: bool = False
    """Fetch nothing from the Hugging Face hub: what is not here already fails."""
    timeout_seconds: float | None = None


class Adapter(Protocol):
    """One harness: its package, how it is called, and what it leaves behind."""

    package: str
    module: str

    def command(self, run: HarnessRun, folder: Path) -> list[str]:
        """Its command line; files that it needs are written into `folder`, where it leaves its results too."""
        ...

    def environment(self, run: HarnessRun) -> dict[str, str]:
        """Variables it needs: keys are given so, since a command line is seen by all."""
        ...

    def scores(self, folder: Path) -> tuple[HarnessScore, ...]:
        """What it measured; empty if it left nothing.

        Raises:
            msgspec.DecodeError: what it left cannot be understood.
        """
        ...


def run_harness(run: HarnessRun) -> HarnessReport:
    """Carry out a run, and read its scores.

    Raises:
        ConfigError: the harness is not installed, or no task was named.
        EvidenceError: it failed, took too long or left no scores; the message holds the end of what it said.
    """
    from freehold.evaluate.harness.inspect import InspectAdapter
    from freehold.evaluate.harness.lm_eval import LmEvalAdapter

    adapter: Adapter = LmEvalAdapter() if run.harness == "lm-eval" else InspectAdapter()
    if find_spec(adapter.module) is None:
        raise ConfigError(f"{run.harness} is not installed.", "Install it: `pip install freehold[harness]`.")
    if not run.tasks:
        raise ConfigError("No task was named.", "Name one: `--task NAME`.")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="freehold-harness-") as name:
        folder = Path(name)
        said = _run(adapter, run, folder)
        try:
            scores = adapter.scores(folder)
        except (msgspec.DecodeError, OSError) as error:
            raise EvidenceError(
                f"What {run.harness} left cannot be understood: {error}.",
                "Install a release that pyproject.toml allows.",
            ) from error
    if not scores:
        raise EvidenceError(
            f"{run.harness} measured nothing. It ended with:\n{said[-_TAIL:].strip()}",
            "Look at its tasks and the endpoint.",
        )
    return HarnessReport(
        harness=run.harness,
        version=_version(adapter.package),
        model=run.model,
        base_url=run.base_url,
        scores=scores,
        seconds=time.monotonic() - began,
    )


def _run(adapter: Adapter, run: HarnessRun, folder: Path) -> str:
    """What it said, both streams together."""
    output = folder / "output.txt"
    environment = {**os.environ, **adapter.environment(run)}
    if run.offline:
        environment |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    with output.open("wb") as file:
        try:
            done = subprocess.run(
                adapter.command(run, folder),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment,
                timeout=run.timeout_seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise EvidenceError(
                f"{run.harness} had not ended after {run.timeout_seconds:.0f} seconds.",
                "Give a `--limit`, or more time.",
            ) from error
    said = output.read_text(encoding="utf-8", errors="replace")
    if run.api_key:
        said = said.replace(run.api_key, "…")
    if done.returncode:
        raise EvidenceError(
            f"{run.harness} ended with status {done.returncode}:\n{said[-_TAIL:].strip()}",
            "Check the names of its tasks, the endpoint and the model.",
        )
    return said


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
