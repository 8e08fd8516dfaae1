"""`python -m freehold.upstreams.recorded FILE`: serve recorded answers; the address is printed as one JSON line."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from freehold.domain.errors import FreeholdError
from freehold.upstreams.recorded.answers import load_answers
from freehold.upstreams.recorded.app import Pacing
from freehold.upstreams.recorded.server import serve


def main() -> int:
    """Run until interrupted; the exit code is that of the error, if any."""
    parser = argparse.ArgumentParser(prog="freehold.upstreams.recorded", description=__doc__)
    parser.add_argument("file", type=Path, help="JSONL or Parquet with the columns prompt and response")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="before the first byte of each answer")
    parser.add_argument("--chunk-ms", type=float, default=0.0, help="between the chunks of a streamed answer")
    parser.add_argument("--model-name", help="the model to serve, or the name to serve it under")
    options = parser.parse_args()
    try:
        answers = load_answers(options.file, model=options.model_name)
        pacing = Pacing(latency_ms=options.latency_ms, chunk_ms=options.chunk_ms)

        def say(base_url: str) -> None:
            line = msgspec.json.encode({"base_url": base_url, "models": answers.models, "prompts": len(answers)})
            sys.stdout.write(line.decode() + "\n")
            sys.stdout.flush()

        serve(answers, host=options.host, port=options.port, pacing=pacing, on_ready=say)
    except FreeholdError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
