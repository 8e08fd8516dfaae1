"""Inspect (UK AI Security Institute), by its provider `openai-api`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from freehold.domain.errors import EvidenceError
from freehold.domain.evaluations import HarnessScore

if TYPE_CHECKING:
    from freehold.evaluate.harness.run import HarnessRun

_STDERR = "stderr"


class _Metric(msgspec.Struct):
    value: float | None = None


class _Score(msgspec.Struct):
    name: str
    metrics: dict[str, _Metric] = {}
    scored_samples: int | None = None


class _Found(msgspec.Struct):
    completed_samples: int = 0
    scores: list[_Score] = []


class _Task(msgspec.Struct):
    task: str


class _Error(msgspec.Struct):
    message: str = ""


class _Log(msgspec.Struct):
    status: str
    eval: _Task
    results: _Found | None = None
    error: _Error | None = None


_decoder = msgspec.json.Decoder(_Log)


class InspectAdapter:
    """Runs `inspect eval`, logging as JSON."""

    package = "inspect_ai"
    module = "inspect_ai"

    def command(self, run: HarnessRun, folder: Path) -> list[str]:
        """See `Adapter`."""
        command = [
            *(sys.executable, "-c", "from inspect_ai._cli.main import main; main()", "eval", *map(_place, run.tasks)),
            *("--model", f"openai-api/freehold/{run.model}", "--log-dir", str(folder / "logs"), "--log-format", "json"),
            *("--display", "plain", "--max-connections", str(run.concurrent), "--max-retries", "3"),
        ]
        return command if run.limit is None else [*command, "--limit", str(run.limit)]

    def environment(self, run: HarnessRun) -> dict[str, str]:
        """See `Adapter`. The provider's name, `freehold`, is the beginning of its variables' names."""
        return {"FREEHOLD_BASE_URL": run.base_url, "FREEHOLD_API_KEY": run.api_key or "none"}

    def scores(self, folder: Path) -> tuple[HarnessScore, ...]:
        """See `Adapter`.

        Raises:
            EvidenceError: a task did not succeed.
        """
        found: list[HarnessScore] = []
        for path in sorted((folder / "logs").rglob("*.json")):
            log = _decoder.decode(path.read_bytes())
            if log.status != "success":
                said = log.error.message if log.error else "no reason is given"
                raise EvidenceError(
                    f"Inspect's task {log.eval.task} ended as {log.status}: {said[:1000]}.", "Mend that."
                )
            found += _scores(log)
        return tuple(found)


def _scores(log: _Log) -> list[HarnessScore]:
    if log.results is None:
        return []
    scores: list[HarnessScore] = []
    for scored in log.results.scores:
        error = scored.metrics.get(_STDERR)
        for name, metric in scored.metrics.items():
            if name == _STDERR or metric.value is None:
                continue
            scores.append(
                HarnessScore(
                    task=log.eval.task,
                    metric=f"{scored.name} {name}",
                    value=metric.value,
                    stderr=error.value if error and name in ("accuracy", "mean") else None,
                    samples=scored.scored_samples or log.results.completed_samples,
                )
            )
    return scores


def _place(task: str) -> str:
    """A file by its path from here, which is all that Inspect understands; anything else as it is."""
    file, separator, name = task.partition("@")
    return f"{os.path.relpath(file)}{separator}{name}" if Path(file).exists() else task
