"""False certificates and false alarms over thousands of simulated streams, ours beside what others do.

Run: `python bench/stats/coverage.py [--streams N] [--seed S] [--json]`. Prints Markdown tables (or one JSON object),
progress on standard error.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from math import log

import numpy as np
from coverage_methods import Method
from coverage_streams import DELTA, EPSILON, SCENARIOS, Scenario, evidence_of
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from freehold.stats import ConfidenceSequence
from freehold.stats.checks import FloatArray
from freehold.stats.confidence import log_wealth_above
from freehold.stats.drift import detector_stakes, detector_step
from freehold.stats.special import binomial_cdf

AUDITS, CHUNK = 2000, 100
BASELINE, ARL, WATCHED, WINDOW = 0.02, 10_000.0, 1000, 50


@dataclass(frozen=True)
class Certificates:
    """What one method did in one scenario, as shares of streams."""

    scenario: str
    method: str
    streams: int
    false: float
    """Streams in which a threshold whose true risk is above ε was put in force."""
    right: float
    moved: float
    """Share of traffic served under a true certificate, mean over streams (0 where there is none)."""


@dataclass(frozen=True)
class Alarms:
    """How often a monitor that looks at every audit raised a false alarm, and how soon it raised true ones."""

    scenario: str
    method: str
    streams: int
    false: float
    allowed: float
    delays: dict[str, float | None]
    """True loss → median audits until the alarm; None: not in most streams."""


def certificates(scenario: Scenario, name: str, method: Method, streams: int, seed: int) -> Certificates:
    """Every method sees the same streams. The first threshold that is put in force ends a stream."""
    false = right = 0
    moved: list[float] = []
    reference = scenario.draw(np.random.default_rng(seed), 20_000)[0]
    for stream in range(streams):
        threshold = None
        for attempt, evidence in enumerate(evidence_of(scenario, np.random.default_rng((seed, stream))), 1):
            threshold = method(evidence, EPSILON, DELTA, attempt)
            if threshold is not None:
                break
        wrong = threshold is not None and scenario.risk(threshold) > EPSILON
        false += wrong
        right += threshold is not None and not wrong
        moved.append(0.0 if threshold is None or wrong else float((reference >= threshold).mean()))
    return Certificates(scenario.name, name, streams, false / streams, right / streams, float(np.mean(moved)))


def first_hits(hit: NDArray[np.bool_]) -> FloatArray:
    """When each stream (row) first hits, counted from 1; infinity if never."""
    return np.where(hit.any(axis=1), hit.argmax(axis=1) + 1.0, np.inf)


def sequence_hits(errors: FloatArray) -> FloatArray:
    """The audit at which the confidence sequence's lower bound passes ε."""
    hits: list[FloatArray] = []
    knots = np.array([0.0, 1.0])
    n = np.arange(1, errors.shape[1] + 1)
    for rows in np.array_split(errors, max(1, len(errors) // CHUNK)):
        k = np.cumsum(rows, axis=1)
        wealth = log_wealth_above(knots, np.stack((n - k, k), axis=-1), EPSILON)
        hits.append(first_hits(wealth >= log(2 / DELTA)))
    return np.concatenate(hits)


def fixed_time_hits(errors: FloatArray) -> FloatArray:
    """The audit at which a Clopper–Pearson lower bound, made for one look, passes ε."""
    n = np.arange(1, errors.shape[1] + 1)
    k = np.arange(0, errors.shape[1] + 1)
    refuted = 1.0 - binomial_cdf(k[None, :] - 1.0, n[:, None], EPSILON) <= DELTA / 2
    refuted[:, 0] = False
    needed = np.where(refuted.any(axis=1), refuted.argmax(axis=1), np.inf)
    return first_hits(np.cumsum(errors, axis=1) >= needed)


def hoeffding_hits(errors: FloatArray) -> FloatArray:
    """The audit at which Hoeffding's lower bound, made for one look, passes ε."""
    n = np.arange(1, errors.shape[1] + 1)
    return first_hits(np.cumsum(errors, axis=1) / n - np.sqrt(log(2 / DELTA) / (2 * n)) > EPSILON)


def rate_hits(errors: FloatArray) -> FloatArray:
    """The audit at which the mean loss passes ε, from the 30th on."""
    n = np.arange(1, errors.shape[1] + 1)
    return first_hits((np.cumsum(errors, axis=1) > EPSILON * n) & (n >= 30))


def detector_hits(errors: FloatArray) -> FloatArray:
    """The audit at which the e-detector raises its alarm."""
    stakes = detector_stakes(BASELINE, EPSILON)
    wealth = np.zeros((len(errors), stakes.size))
    at = np.full(len(errors), np.inf)
    for step in range(errors.shape[1]):
        wealth = detector_step(wealth, stakes, errors[:, step : step + 1] / BASELINE)
        at[np.isinf(at) & (wealth.mean(axis=1) >= ARL)] = step + 1
        wealth[np.isfinite(at)] = 0.0
    return at


def window_hits(errors: FloatArray) -> FloatArray:
    """The audit at which the mean of the last 50 passes twice ε."""
    sums = np.cumsum(np.pad(errors, ((0, 0), (1, 0))), axis=1)
    late = np.zeros(errors.shape, dtype=bool)
    late[:, WINDOW - 1 :] = sums[:, WINDOW:] - sums[:, :-WINDOW] > 2 * EPSILON * WINDOW
    return first_hits(late)


def median_delay(hits: FloatArray) -> float | None:
    middle = float(np.median(hits))
    return None if np.isinf(middle) else middle


def monitoring(streams: int, seed: int) -> list[Alarms]:
    rng = np.random.default_rng((seed, 1))
    in_order = (rng.random((streams, AUDITS)) < EPSILON).astype(float)
    harmed = {str(loss): (rng.random((streams, 500)) < loss).astype(float) for loss in (0.1, 0.2, 0.4)}
    rows: list[Alarms] = []
    for name, hits in (
        ("Freehold: confidence sequence", sequence_hits),
        ("Clopper–Pearson at every look", fixed_time_hits),
        ("Hoeffding at every look", hoeffding_hits),
        ("mean above ε", rate_hits),
    ):
        delays = {loss: median_delay(hits(errors)) for loss, errors in harmed.items()}
        false = float(np.isfinite(hits(in_order)).mean())
        rows.append(Alarms(f"roll back: {AUDITS} audits, loss ε", name, streams, false, DELTA / 2, delays))
    return rows


def drift(streams: int, seed: int) -> list[Alarms]:
    rng = np.random.default_rng((seed, 2))
    before = (rng.random((streams, WATCHED)) < BASELINE).astype(float)
    rows: list[Alarms] = []
    for name, hits in (
        ("Freehold: e-detector, ARL 10,000", detector_hits),
        ("mean of the last 50 above 2 ε", window_hits),
    ):
        false = float(np.isfinite(hits(before)).mean())
        delays: dict[str, float | None] = {}
        for loss in (0.1, 0.2, 0.4):
            after = (np.random.default_rng((seed, 3)).random((streams, 1000)) < loss).astype(float)
            at = hits(np.hstack((before[:, :200], after)))
            delays[str(loss)] = median_delay(at[at > 200] - 200)
        rows.append(Alarms(f"drift from {BASELINE}: {WATCHED} audits", name, streams, false, WATCHED / ARL, delays))
    return rows


def measure(streams: int, seed: int) -> dict[str, list[Certificates] | list[Alarms]]:
    """All rows. Scenarios with 30 looks get a quarter of the streams."""
    jobs = [(s, name, method) for s in SCENARIOS for name, method in s.methods.items()]
    found: list[Certificates] = []
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("streams", total=len(jobs) + 2)
        for scenario, name, method in jobs:
            progress.update(bar, description=f"{scenario.name}: {name}")
            runs = streams if scenario.looks == 1 else max(1, streams // 4)
            found.append(certificates(scenario, name, method, runs, seed))
            progress.advance(bar)
        progress.update(bar, description="monitoring at every look")
        alarms = monitoring(streams, seed)
        progress.advance(bar)
        alarms += drift(streams, seed)
        progress.advance(bar)
    return {"certificates": found, "alarms": alarms}


def noise(allowed: float, streams: int) -> float:
    """Two standard errors of a share that is exactly what is allowed."""
    return 2 * (allowed * (1 - allowed) / streams) ** 0.5


def markdown(rows: dict[str, list[Certificates] | list[Alarms]]) -> str:
    lines = [
        f"ε = {EPSILON}, δ = {DELTA}. False: streams with a rung in force whose true risk is above ε; **bold**: beyond",
        "δ and two standard errors of it. Moved: share of all traffic served under a true certificate.",
        "",
        "| scenario | method | streams | false | right | moved |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for row in rows["certificates"]:
        assert isinstance(row, Certificates)
        false = shown(row.false, DELTA, row.streams)
        lines.append(f"| {row.scenario} | {row.method} | {row.streams} | {false} | {row.right:.3f} | {row.moved:.3f} |")
    lines += [
        "",
        "Monitors that look after every audit; median audits until the alarm where the true loss is 0.1, 0.2, 0.4.",
        "",
        "| scenario | method | streams | false alarms | allowed | at 0.1 | at 0.2 | at 0.4 |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows["alarms"]:
        assert isinstance(row, Alarms)
        delays = " | ".join("–" if delay is None else f"{delay:.0f}" for delay in row.delays.values())
        false = shown(row.false, row.allowed, row.streams)
        lines.append(f"| {row.scenario} | {row.method} | {row.streams} | {false} | {row.allowed:.3f} | {delays} |")
    return "\n".join(lines)


def shown(share: float, allowed: float, streams: int) -> str:
    return f"**{share:.3f}**" if share > allowed + noise(allowed, streams) else f"{share:.3f}"


def checked_against_the_class() -> None:
    """The arrays above must say what `ConfidenceSequence` says."""
    errors = (np.random.default_rng(7).random((1, 120)) < 0.2).astype(float)
    sequence, at = ConfidenceSequence(DELTA), np.inf
    for step, error in enumerate(errors[0], 1):
        sequence.update([float(error)])
        if sequence.lower > EPSILON:
            at = step
            break
    if sequence_hits(errors)[0] != at:
        raise AssertionError(f"The vectorised monitor alarms at {sequence_hits(errors)[0]}, the class at {at}.")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    checked_against_the_class()
    started = time.monotonic()
    rows = measure(arguments.streams, arguments.seed)
    seconds = time.monotonic() - started
    if arguments.json:
        plain = {kind: [asdict(row) for row in found] for kind, found in rows.items()}
        print(json.dumps({"epsilon": EPSILON, "delta": DELTA, "seed": arguments.seed, "seconds": seconds, **plain}))
    else:
        print(f"{markdown(rows)}\n\n{seconds:.0f} s, seed {arguments.seed}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
