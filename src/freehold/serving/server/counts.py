"""What the server counts, and the page that shows it: Prometheus' text format 0.0.4, as the gateway's."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import accumulate

from freehold.serving.server.worker import Worker

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX = "freehold_student_server_"
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
"""The gateway's."""


class _Histogram:
    def __init__(self) -> None:
        self.sum = 0.0
        self.counts = [0] * (len(_BUCKETS) + 1)

    def add(self, seconds: float) -> None:
        self.sum += seconds
        self.counts[next((place for place, bound in enumerate(_BUCKETS) if seconds <= bound), len(_BUCKETS))] += 1


class Counts:
    """Belongs to the event loop."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._requests: Counter[tuple[str, int]] = Counter()
        self._tokens: Counter[tuple[str, str]] = Counter()
        self._seconds: dict[str, _Histogram] = defaultdict(_Histogram)
        self._first: dict[str, _Histogram] = defaultdict(_Histogram)

    def request(self, model: str, status: int, seconds: float) -> None:
        """A request has ended; `model` is empty where it named none that there is; status 0: the caller left."""
        self._requests[model, status] += 1
        if model:
            self._seconds[model].add(seconds)

    def first(self, model: str, seconds: float) -> None:
        """A stream's first token has come."""
        self._first[model].add(seconds)

    def tokens(self, model: str, read: int, said: int, shared: int) -> None:
        """Tokens of an answer and its prompt; `shared`: of the prompt, those that were not computed again."""
        for kind, count in (("input", read), ("output", said), ("cached", shared)):
            self._tokens[model, kind] += count

    def page(self, models: int) -> str:
        """The text; `models`: how many are loaded."""
        running = sum(engine.running for engine in self._worker.engines)
        waiting = sum(engine.waiting for engine in self._worker.engines)
        lines = [
            *_head("requests_total", "counter", "Requests by model and status (0: the caller left before)."),
            *(_line("requests_total", {"model": model, "status": str(status)}, count)
              for (model, status), count in sorted(self._requests.items())),
            *_head("tokens_total", "counter", "Tokens; kind cached is contained in input."),
            *(_line("tokens_total", {"model": model, "kind": kind}, count)
              for (model, kind), count in sorted(self._tokens.items())),
            *_head("running", "gauge", "Requests that are being answered."), _line("running", {}, running),
            *_head("waiting", "gauge", "Requests that wait for a slot."), _line("waiting", {}, waiting),
            *_head("models", "gauge", "Models that are loaded, adapters included."), _line("models", {}, models),
            *_histograms("request_seconds", "Time from request read to answer sent.", self._seconds),
            *_histograms("first_token_seconds", "Time from request read to a stream's first token.", self._first),
        ]  # fmt: skip
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, about: str) -> tuple[str, str]:
    return f"# HELP {_PREFIX}{name} {about}", f"# TYPE {_PREFIX}{name} {kind}"


def _histograms(name: str, about: str, found: dict[str, _Histogram]) -> Iterator[str]:
    yield from _head(name, "histogram", about)
    for model, one in sorted(found.items()):
        counts: Sequence[int] = list(accumulate(one.counts))
        for bound, count in zip((*map(str, _BUCKETS), "+Inf"), counts, strict=True):
            yield _line(f"{name}_bucket", {"model": model, "le": bound}, count)
        yield _line(f"{name}_sum", {"model": model}, one.sum)
        yield _line(f"{name}_count", {"model": model}, counts[-1])


def _line(name: str, labels: dict[str, str], value: float) -> str:
    inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{_PREFIX}{name}{'{' + inside + '}' if labels else ''} {value!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
