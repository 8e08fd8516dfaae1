"""Counts of one worker, and the Prometheus page about all workers. Counting must cost next to nothing.

In `freehold.gateway.telemetry`: `counts` has where the numbers lie, `gather` how they come together, `families` what
each of them says.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, TypeVar, cast

import structlog

from freehold.gateway.telemetry.counts import Counts, Slots
from freehold.gateway.telemetry.families import BUCKETS, FIRST_BYTE_SLOT, REQUEST_SLOTS
from freehold.gateway.telemetry.gather import WorkerCounts, fold_dead, gather, start_anew
from freehold.gateway.telemetry.page import Price, page
from freehold.runners.yielding import FOLDER as BUSY
from freehold.runners.yielding import Pulse
from freehold.upstreams.matching import is_glob

MAX_MODELS = 200
"""Model names of callers that get a label of their own, besides configured ones: callers can invent any number."""
MAX_LABEL = 128
FOLDER = "metrics"
"""In the data folder."""
OTHER = "other"
_MAX_ROWS = 8192
_LIMITS = frozenset(("rate_limit_exceeded", "budget_exceeded"))
_FIRST = FIRST_BYTE_SLOT
_NANO = 1e9

K = TypeVar("K", bound=Hashable)
Gauge = Callable[[], float]
Row = tuple[str, str, str, int, str, bool]
"""What a request is counted by: its API, the model as its caller named it, `upstream/model` that answered, the HTTP
status sent (0 if the caller left before), why that one answered, and whether its model is owned."""

_log = structlog.get_logger()


class Tally(Counter[K]):
    """A Counter whose numbers are kept in the worker's counts as well; a key is a label's value, or a tuple of them."""

    def __init__(self, counts: Counts, family: str) -> None:
        super().__init__()
        self._counts = counts
        self._family = family

    def __setitem__(self, key: K, value: int) -> None:
        super().__setitem__(key, value)
        labels = tuple(map(str, cast("tuple[object, ...]", key))) if isinstance(key, tuple) else (str(key),)
        slots = self._counts.slots(self._family, labels)
        slots.view[slots.at] = value


class UpstreamState(NamedTuple):
    """One deployment of an upstream, as this worker sees it."""

    upstream: str
    deployment: str
    state: int
    """0: asked; 1: one request tries it; 2: left alone after failures; 3: it said 429, others go first."""
    in_flight: int


class Metrics:
    """What one worker counts, from its first request on."""

    def __init__(self, worker: str, *, models: Iterable[str] = (), price: Price | None = None) -> None:
        """`models`: names and globs in the settings; `price` says what tokens cost, asked for when a page is drawn."""
        self.worker = worker
        self._counts = counts = Counts()
        self._folder: Path | None = None
        self._price = price
        self._models = {""}
        self.know(models)
        self._room = MAX_MODELS
        self._rows: dict[Row, Slots] = {}
        self._tokens: dict[tuple[str, bool], Slots] = {}
        self._tries: dict[str, Slots] = {}
        self._gauges: dict[str, Gauge] = {}
        self._states: Callable[[], Iterable[UpstreamState]] = tuple
        self._known_states: set[tuple[str, str]] = set()
        self.in_flight = 0
        """Callers' requests being answered; those who answer count."""
        self.pulse = Pulse()
        """Beats with every caller's request: training on this machine waits for them."""
        self.streams = 0
        """Of these, streams that have begun."""
        self._records = counts.slots("records", ())
        self._shed = counts.slots("records_shed", ())
        self._student_failures = counts.slots("student_failures", ())
        self.errors: Tally[str] = Tally(counts, "errors")
        """Code of what went wrong → requests."""
        self.limited: Tally[str] = Tally(counts, "rate_limited")
        """Code of the limit → requests refused."""
        self.cache: Tally[str] = Tally(counts, "cache")
        """hit, miss, bypass → requests."""
        self.audits: Tally[str] = Tally(counts, "audits")
        """queued, dropped, done, failed."""
        self.shadows: Tally[str] = Tally(counts, "shadows")
        """The same of candidates asked about the incumbent's answers; and `unaffordable`: not asked, to save money."""
        self.rungs: Tally[tuple[str, str]] = Tally(counts, "rungs")
        """(model, accepted, refused, failed or resting) → times a ladder came to it."""
        self.otlp: Tally[tuple[str, str]] = Tally(counts, "otlp_items")
        """(traces or logs, recorded, waiting, ignored or rejected) → spans and log records."""
        self.dropped: Tally[str] = Tally(counts, "telemetry_dropped")
        """spans, lines → how many were lost."""
        for outcome in ("queued", "dropped", "done", "failed"):
            self.audits[outcome] = self.shadows[outcome] = 0
        self.shadows["unaffordable"] = 0
        for what in ("spans", "lines"):
            self.dropped[what] = 0
        self.gauge("requests_in_flight", lambda: self.in_flight)
        self.gauge("streams_open", lambda: self.streams)
        self.gauge("metrics_private", lambda: counts.private)
        self.gauge("metrics_full", lambda: counts.full)
        self.gauge("resident_bytes", _resident_bytes)
        started = time.time()
        self.gauge("started_seconds", lambda: started)

    def open(self, folder: Path) -> None:
        """Keep the counts in a file of `folder` from now on; where that cannot be, only this worker shows them."""
        try:
            fold_dead(folder)
        except OSError as error:
            _log.warning("metrics-not-folded", folder=str(folder), error=error.strerror)
        self._counts.open(folder, self.worker)
        self.pulse.open(folder.parent / BUSY, self.worker)
        self._folder = folder
        self.refresh()

    def close(self) -> None:
        """This worker's gauges are not shown any more; what it counted is, until the gateway starts anew."""
        self._counts.close()
        self.pulse.close()

    def know(self, models: Iterable[str]) -> None:
        """Names and globs that are configured now: they have labels of their own."""
        self._models.update(model for model in models if not is_glob(model))

    # Counting.

    def request(self, row: Row, error: str | None, seconds: float, first_byte: float = 0.0) -> None:
        """Count one caller's request.

        Args:
            row: what it is counted by.
            error: begins with its code and a colon.
            seconds: from the request read to the answer recorded.
            first_byte: seconds to a streamed answer's first byte; 0 if none came, or it was not streamed.
        """
        slots = self._rows.get(row)
        if slots is None:
            slots = self._row(*row)
        view, at = slots.view, slots.at
        view[at] += 1  # one after another, as `families.REQUEST_SLOTS` says
        view[at + 1] += int(seconds * _NANO)
        view[at + 2 + bisect_left(BUCKETS, seconds)] += 1
        if first_byte:
            view[at + _FIRST] += int(first_byte * _NANO)
            view[at + _FIRST + 1 + bisect_left(BUCKETS, first_byte)] += 1
        if error is not None:
            self._failed(error.partition(":")[0])

    def used(self, answered_by: str, owned: bool, tokens_in: int, cached: int, tokens_out: int) -> None:
        """Count the tokens of one answer of `answered_by` (`upstream/model`); `cached` ones are among those in."""
        slots = self._tokens.get((answered_by, owned))
        if slots is None:
            upstream, _, model = answered_by.partition("/")
            slots = self._counts.slots("tokens", (self._label(model, True), upstream, "01"[owned]), 3)
            if len(self._tokens) < _MAX_ROWS:
                self._tokens[answered_by, owned] = slots
        view, at = slots.view, slots.at
        view[at] += tokens_in
        view[at + 1] += cached
        view[at + 2] += tokens_out

    def tried(self, attempts: Sequence[str]) -> None:
        """Count the tries at upstreams that a request took: `upstream: status or error code`, in order."""
        for attempt in attempts:
            slots = self._tries.get(attempt)
            if slots is None:
                upstream, _, outcome = attempt.partition(": ")
                slots = self._tries[attempt] = self._counts.slots("upstream_attempts", (upstream, outcome))
            slots.view[slots.at] += 1
        if len(attempts) > 1:
            names = [attempt.partition(": ")[0] for attempt in attempts]
            for before, name in pairwise(names):
                slots = self._counts.slots("upstream_retries" if name == before else "upstream_fallbacks", (name,))
                slots.view[slots.at] += 1

    def recorded(self, kept: bool) -> None:
        """Count a record that was kept, or shed."""
        slots = self._records if kept else self._shed
        slots.view[slots.at] += 1

    @property
    def student_failures(self) -> int:
        """Students that raised while answering."""
        return self._student_failures.view[self._student_failures.at]

    @student_failures.setter
    def student_failures(self, count: int) -> None:
        self._student_failures.view[self._student_failures.at] = count

    @property
    def owned(self) -> int:
        """Requests answered by owned models, at this worker."""
        found = self._counts.snapshot().items()
        return sum(slots[0] for (family, labels), slots in found if family == "exchanges" and labels[-1] == "1")

    # Gauges: read about once a second, and when this worker draws a page.

    def gauge(self, name: str, read: Callable[[], float]) -> None:
        """Show what `read` returns as the gauge `name` of `families` (whole numbers; it has no labels)."""
        self._gauges[name] = read

    def upstream_states(self, read: Callable[[], Iterable[UpstreamState]]) -> None:
        """Show what `read` says of the upstreams' deployments."""
        self._states = read

    def refresh(self) -> None:
        """Read the gauges, so that other workers' pages show them; call it about once a second."""
        for name, read in self._gauges.items():
            slots = self._counts.slots(name, ())
            slots.view[slots.at] = int(read())
        gone = set(self._known_states)
        for upstream, deployment, state, in_flight in self._states():
            self._show_state((upstream, deployment), state, in_flight)
            self._known_states.add((upstream, deployment))
            gone.discard((upstream, deployment))
        for labels in gone:  # no deployment of the settings any more
            self._show_state(labels, 0, 0)

    def _show_state(self, labels: tuple[str, str], state: int, in_flight: int) -> None:
        for name, value in (("upstream_state", state), ("upstream_in_flight", in_flight)):
            slots = self._counts.slots(name, labels)
            slots.view[slots.at] = value

    # The page.

    def text(self) -> str:
        """Prometheus' text about all workers of the data folder, this one's gauges as `refresh` found them.

        It reads files, which takes milliseconds: call it in a thread.
        """
        if self._folder is not None and not self._counts.private:
            try:
                return page(*gather(self._folder), self._price)
            except OSError as error:
                _log.warning("metrics-not-gathered", folder=str(self._folder), error=error.strerror)
        return page([WorkerCounts(self.worker, True, self._counts.snapshot())], {}, self._price)

    # What happens the first time.

    def _row(self, api: str, model: str, answered_by: str, status: int, reason: str, owned: bool) -> Slots:
        label = self._label(model, 200 <= status < 300)
        upstream = answered_by.partition("/")[0] or "none"
        labels = (api, label, upstream, str(status), reason or "none", "01"[owned])
        slots = self._counts.slots("exchanges", labels, REQUEST_SLOTS)
        if label != OTHER and len(self._rows) < _MAX_ROWS:
            self._rows[api, model, answered_by, status, reason, owned] = slots
        return slots

    def _label(self, model: str, answered: bool) -> str:
        """The name, if it is configured, or was answered while there is room; callers can invent any number of them."""
        if model in self._models:
            return model
        if not answered or self._room == 0 or len(model) > MAX_LABEL or not model.isprintable():
            return OTHER
        self._room -= 1
        self._models.add(model)
        return model

    def _failed(self, code: str) -> None:
        self.errors[code] += 1
        if code in _LIMITS:
            self.limited[code] += 1


def forget_former(data: Path) -> None:
    """Called before the first worker starts: counters begin anew, unless another gateway's worker lives."""
    try:
        start_anew(data / FOLDER)
    except OSError as error:
        _log.warning("metrics-not-cleared", folder=str(data / FOLDER), error=error.strerror)


def _resident_bytes() -> float:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * 4096
