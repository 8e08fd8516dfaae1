"""How near each test comes to the normal limit: the extra gap below ε it needs for power 0.8, in units of σ/√n.

Run: `python bench/stats/power.py [--runs N] [--sizes 300,1000,3000] [--kinds …]`. Prints a Markdown table. The limit is
the test that knows σ and takes the mean as normal, on the same samples (which no test of unknown σ can be).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from math import log, sqrt

import numpy as np
from coverage_methods import hoeffding_bentkus

from freehold.stats import betting_p_value, binomial_p_value
from freehold.stats.checks import FloatArray
from freehold.stats.special import normal_quantile
from freehold.stats.trinomial import trinomial_count_p_value

EPSILON, DELTA = 0.05, 0.05
GAPS = (2.0, 2.3, 2.5, 2.7, 2.9, 3.2, 3.6, 4.2, 5.0, 6.0)
Sampler = Callable[[np.random.Generator, tuple[int, int], float], FloatArray]
Test = Callable[[FloatArray, float, float], bool]


def errors(rng: np.random.Generator, shape: tuple[int, int], mean: float) -> FloatArray:
    return (rng.random(shape) < mean).astype(float)


def signed(differing: float) -> Sampler:
    def draw(rng: np.random.Generator, shape: tuple[int, int], mean: float) -> FloatArray:
        u = rng.random(shape)
        return np.where(u < (differing + mean) / 2, 1.0, np.where(u > 1 - (differing - mean) / 2, -1.0, 0.0))

    return draw


def harm(rng: np.random.Generator, shape: tuple[int, int], mean: float) -> FloatArray:
    return np.where(rng.random(shape) < 2 * mean, rng.beta(2, 2, shape), 0.0)


def signed_graded(rng: np.random.Generator, shape: tuple[int, int], mean: float) -> FloatArray:
    return np.where(rng.random(shape) < 0.3, np.clip(rng.normal(0, 0.35, shape), -0.8, 0.8), 0.0) + mean


def signed_tenths(rng: np.random.Generator, shape: tuple[int, int], mean: float) -> FloatArray:
    differ = np.where(rng.random(shape) < 0.25, rng.integers(-10, 11, shape) / 10, 0.0)
    return np.where(rng.random(shape) < abs(mean), np.sign(mean), differ * (1 - abs(mean)))


KINDS: dict[str, tuple[Sampler, float]] = {
    "errors (0/1)": (errors, 0.0),
    "signed 20/18%": (signed(0.38), -1.0),
    "signed 10/10%": (signed(0.20), -1.0),
    "signed 5/1%": (signed(0.06), -1.0),
    "graded harm": (harm, 0.0),
    "graded signed": (signed_graded, -1.0),
    "signed in tenths": (signed_tenths, -1.0),
}


def agrapa(losses: FloatArray, low: float) -> bool:
    """Waudby-Smith and Ramdas (2024), aGRAPA: bets on the mean and variance so far, at most 3/4 of the largest."""
    mean, target = (EPSILON - low) / (1 - low), log(1 / DELTA)
    wealth, total, squares = 0.0, 0.5, 0.25
    for seen, loss in enumerate(((losses - low) / (1 - low)).tolist(), 1):
        gap = mean - total / seen
        bet = min(max(gap / (squares / seen + gap * gap), 0.0), 0.75 / (1 - mean))
        wealth += log(1 + bet * (mean - loss))
        if wealth >= target:
            return True
        total += loss
        squares += (loss - total / (seen + 1)) ** 2
    return False


def empirical_bernstein(losses: FloatArray, low: float) -> bool:
    """Maurer and Pontil, "Empirical Bernstein bounds and sample variance penalization", COLT (2009)."""
    n, range_, level = losses.size, 1 - low, log(2 / DELTA)
    return losses.mean() + sqrt(2 * losses.var(ddof=1) * level / n) + 7 * range_ * level / (3 * (n - 1)) <= EPSILON


def tests_for(kind: str, low: float) -> dict[str, Test]:
    """(losses, σ, E[(X − ε)²]) → rejected?"""
    known: dict[tuple[int, int], bool] = {}

    def trinomial(x: FloatArray, _s: float, _m: float) -> bool:
        counts = (int((x == 1.0).sum()), int((x == -1.0).sum()))
        if counts not in known:
            known[counts] = trinomial_count_p_value(*counts, x.size, EPSILON, delta=DELTA) <= DELTA
        return known[counts]

    def betting(factor: float | None) -> Test:
        def test(x: FloatArray, _s: float, moment: float) -> bool:
            forecast = None if factor is None else factor * moment
            return betting_p_value(x, EPSILON, delta=DELTA, low=low, second_moment=forecast) <= DELTA

        return test

    z = normal_quantile(1 - DELTA)
    found: dict[str, Test] = {"limit": lambda x, s, _m: bool(x.mean() <= EPSILON - z * s / sqrt(x.size))}
    if low == 0.0 and kind.startswith("errors"):
        found["exact"] = lambda x, _s, _m: binomial_p_value(int(x.sum()), x.size, EPSILON) <= DELTA
    elif low < 0.0 and "%" in kind:
        found["exact"] = trinomial
    found |= {
        "betting": betting(None),
        "with forecast": betting(1.0),
        "forecast halved": betting(0.5),
        "forecast doubled": betting(2.0),
        "aGRAPA": lambda x, _s, _m: agrapa(x, low),
        "empirical Bernstein": lambda x, _s, _m: empirical_bernstein(x, low),
        "Hoeffding–Bentkus": lambda x, _s, _m: (
            hoeffding_bentkus((x - low) / (1 - low), (EPSILON - low) / (1 - low)) <= DELTA
        ),
    }
    return found


def mean_at(draw: Sampler, gap: float, n: int) -> tuple[float, float] | None:
    """The mean that lies `gap`·σ/√n below ε, and σ there; None: a loss that is never negative has no such mean."""
    rng, mean, sigma = np.random.default_rng(0), EPSILON, 0.0
    for _ in range(12):
        try:
            sample = draw(rng, (20, 10_000), mean)
        except ValueError:
            return None
        sigma = float(sample.std())
        mean = EPSILON - gap * sigma / sqrt(n)
        if mean <= 0.0 and sample.min() >= 0.0:
            return None
    return mean, sigma


def gaps_needed(kind: str, n: int, runs: int) -> dict[str, float | None]:
    """Test → the gap in σ/√n at power 0.8, interpolated; None: more than the largest tried."""
    draw, low = KINDS[kind]
    tests = tests_for(kind, low)
    power: dict[str, list[float]] = {name: [] for name in tests}
    tried: list[float] = []
    for gap in GAPS:
        found = mean_at(draw, gap, n)
        if found is None:
            break
        mean, sigma = found
        samples = draw(np.random.default_rng((n, round(gap * 10))), (runs, n), mean)
        moment = float(((samples - EPSILON) ** 2).mean())
        tried.append(gap)
        for name, test in tests.items():
            sure = bool(power[name]) and power[name][-1] > 0.95
            power[name].append(1.0 if sure else float(np.mean([test(x, sigma, moment) for x in samples])))
    at: dict[str, float | None] = {}
    for name, shares in power.items():
        rising = np.maximum.accumulate(shares)
        at[name] = float(np.interp(0.8, rising, tried)) if rising[-1] >= 0.8 else None
    return at


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=600)
    parser.add_argument("--sizes", default="300,1000,3000")
    parser.add_argument("--kinds", default=",".join(KINDS))
    arguments = parser.parse_args()
    names = ["exact", "betting", "with forecast", "forecast halved", "forecast doubled", "aGRAPA"]
    names += ["empirical Bernstein", "Hoeffding–Bentkus"]
    print("| loss | n | " + " | ".join(names) + " |\n|---|--:|" + "--:|" * len(names), flush=True)
    for kind in arguments.kinds.split(","):
        for n in map(int, arguments.sizes.split(",")):
            needed = gaps_needed(kind, n, arguments.runs)
            limit = needed["limit"]
            cells: list[str] = []
            for name in names:
                gap = needed.get(name)
                shown = f"> {GAPS[-1] - limit:.1f}" if limit is not None else "–"
                cells.append(
                    "" if name not in needed else shown if gap is None or limit is None else f"{gap - limit:.2f}"
                )
            print(f"| {kind} | {n} | " + " | ".join(cells) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
