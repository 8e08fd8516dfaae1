"""lm-evaluation-harness (EleutherAI), by its models `local-chat-completions` and `local-completions`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from freehold.domain.evaluations import HarnessScore

if TYPE_CHECKING:
    from freehold.evaluate.harness.run import HarnessRun

_STDERR = "_stderr"


class _Samples(msgspec.Struct):
    effective: int = 0


class _Results(msgspec.Struct):
    results: dict[str, dict[str, Any]]
    samples: dict[str, _Samples] = msgspec.field(name="n-samples", default_factory=dict[str, _Samples])


_decoder = msgspec.json.Decoder(_Results)


class LmEvalAdapter:
    """Runs `python -m lm_eval run --config FILE`: in a file, no name needs quoting."""

    package = "lm_eval"
    module = "lm_eval"

    def command(self, run: HarnessRun, folder: Path) -> list[str]:
        """See `Adapter`."""
        config = folder / "config.yaml"  # JSON is YAML
        config.write_bytes(msgspec.json.encode(self.config(run, folder)))
        return [sys.executable, "-m", "lm_eval", "run", "--config", str(config)]

    def config(self, run: HarnessRun, folder: Path) -> dict[str, Any]:
        """The configuration it is given."""
        path = "completions" if run.completions else "chat/completions"
        arguments: dict[str, Any] = {
            "model": run.model,
            "base_url": f"{run.base_url.rstrip('/')}/{path}",
            "num_concurrent": run.concurrent,
            "max_retries": 3,
            "tokenized_requests": False,
        }
        if run.completions and run.tokenizer:
            arguments["tokenizer"] = run.tokenizer
        config: dict[str, Any] = {
            "model": f"local-{path.replace('/', '-')}",
            "model_args": arguments,
            "tasks": list(run.tasks),
            "output_path": str(folder / "results"),
            "apply_chat_template": not run.completions,
            "batch_size": 1,
        }
        if run.include_path:
            config["include_path"] = str(Path(run.include_path).resolve())
        if run.limit is not None:
            config["limit"] = run.limit
        return config

    def environment(self, run: HarnessRun) -> dict[str, str]:
        """See `Adapter`. A key of OpenAI's that lies in the environment is not sent to our endpoint."""
        return {"OPENAI_API_KEY": run.api_key or "none", "TOKENIZERS_PARALLELISM": "false"}

    def scores(self, folder: Path) -> tuple[HarnessScore, ...]:
        """See `Adapter`."""
        return tuple(
            score
            for path in sorted((folder / "results").rglob("results_*.json"))
            for score in _scores(_decoder.decode(path.read_bytes()))
        )


def _scores(found: _Results) -> list[HarnessScore]:
    """`exact_match,strict-match` is a metric and the filter its answers went through; `none` is no filter."""
    scores: list[HarnessScore] = []
    for task, figures in found.results.items():
        for name, value in figures.items():
            metric, _, filtered = name.partition(",")
            if not isinstance(value, int | float) or not filtered or metric.endswith(_STDERR):
                continue
            error = figures.get(f"{metric}{_STDERR},{filtered}")
            scores.append(
                HarnessScore(
                    task=task,
                    metric=metric if filtered == "none" else f"{metric} ({filtered})",
                    value=float(value),
                    stderr=float(error) if isinstance(error, int | float) else None,
                    samples=found.samples[task].effective if task in found.samples else 0,
                )
            )
    return scores
