"""A real HTTP server that replays recorded answers of real models, for demos, tests and benchmarks.

Public names: `RecordedAnswer`, `RecordedAnswers`, `load_answers`, `Pacing`, `RecordedApp`, `RunningServer`,
`serve_in_thread`. From a shell: `python -m freehold.upstreams.recorded FILE`.
"""

from freehold.upstreams.recorded.answers import RecordedAnswer, RecordedAnswers, load_answers
from freehold.upstreams.recorded.app import Pacing, RecordedApp
from freehold.upstreams.recorded.server import RunningServer, serve_in_thread

__all__ = [
    "Pacing",
    "RecordedAnswer",
    "RecordedAnswers",
    "RecordedApp",
    "RunningServer",
    "load_answers",
    "serve_in_thread",
]
