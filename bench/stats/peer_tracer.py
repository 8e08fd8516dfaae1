"""Drives the closest peer, tracer-llm 0.3.3, through its documented API; runs in the peer's own environment.

    python -m venv PEER && PEER/bin/pip install tracer-llm==0.3.3

Called by `refits.py --tracer PEER/bin/python`. Prints one line of JSON per stream: the refits made until
a policy was deployed (`fits`), and that policy's true agreement and coverage, or null where none was.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import tracer  # pyright: ignore[reportMissingImports] - lives in a virtual environment of its own
from label_streams import TARGET, Fit, checksum, fits


def deploy(fit: Fit, skip: tuple[str, ...]) -> tuple[float, float] | None:
    """Agreement and coverage of the policy that `tracer.fit` deploys, or None."""
    with tempfile.TemporaryDirectory() as folder:
        traces, artifacts = Path(folder, "traces.jsonl"), Path(folder, "artifacts")
        with traces.open("w") as lines:
            for row, label in enumerate(fit.teacher.tolist()):
                lines.write(json.dumps({"input": f"row {row}", "teacher": str(label)}) + "\n")
        config = tracer.FitConfig(
            target_teacher_agreement=TARGET, frontier_targets=(TARGET,), verbose=False, skip_candidates=skip
        )
        result = tracer.fit(traces, artifacts, embeddings=fit.x, config=config)
        if result.manifest.selected_method is None:
            return None
        answers = tracer.load_router(artifacts).predict_batch(fit.test_x)
    handled = np.asarray(answers["handled"], bool)
    predicted = np.array([-1 if label is None else int(label) for label in answers["labels"]])
    return (fit.agreement(predicted, handled), float(handled.mean())) if handled.any() else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", required=True)
    parser.add_argument("--data")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--streams", type=int, required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--skip", default="")
    arguments = parser.parse_args()
    skip = tuple(filter(None, arguments.skip.split(",")))
    for stream in range(arguments.streams):
        made, found, seen = 0, None, 0.0
        for fit in fits(arguments.kind, arguments.data, arguments.seed, stream, arguments.rows):
            made += 1
            seen = seen if made > 1 else checksum(fit)
            found = deploy(fit, skip)
            if found is not None:
                break
        agreement, coverage = found or (None, None)
        line = {"fits": made, "agreement": agreement, "coverage": coverage, "checksum": seen}
        print(json.dumps(line), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
