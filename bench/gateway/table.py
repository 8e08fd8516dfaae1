"""Writes a run of the shared gateway bench into a Markdown file: python table.py results.jsonl RESULTS.md

The table takes the place of what stands between two marks in that file; without the marks it is added at the end.
Medians over runs. A figure with a limit ("to reach") says whether it keeps it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

BEGIN, END = "<!-- gateway bench: written by bench/gateway/run.sh -->", "<!-- end of the gateway bench -->"
JSON, STREAM = "json16", "sse64"
KEYS = "freehold-keys"
HEAD = (
    "gateway",
    "CPU µs/request, c=16",
    "× nginx",
    "× TensorZero",
    "CPU µs/event, c=64",
    "× nginx",
    "× TensorZero",
    "p50 ms, c=1",
    "added to direct",
    "requests/s, c=16",
    "idle MB",
    "MB after load",
    "cold start s",
    "errors",
)


class Limit(NamedTuple):
    """A figure that shall be reached: at most `most`."""

    name: str
    most: float
    value: Callable[[Results], float | None]


class Results:
    """The lines of one run, by gateway."""

    def __init__(self, lines: list[dict[str, Any]]) -> None:
        self._lines = lines
        self.gateways = list(dict.fromkeys(line["gateway"] for line in lines))

    def figure(self, gateway: str, test: str, name: str) -> float | None:
        """The median of `name` over the runs of `test` (`json16`: whole answers at 16 connections)."""
        found = [line.get(name) for line in self._of(gateway) if f"{line['kind']}{line.get('c', '')}" == test]
        values = [value for value in found if value is not None]
        return median(values) if values else None

    def boot(self, gateway: str) -> tuple[float | None, float | None, float | None]:
        """Megabytes when idle and after all load, seconds from start to first answer."""
        kinds = {line["kind"]: line for line in self._of(gateway)}
        boot, after = kinds.get("boot"), kinds.get("mem_after")
        idle = boot["mem_idle"][0] if boot else None
        return idle, after["mem"][0] if after else None, median(boot["cold_s"]) if boot else None

    def errors(self, gateway: str) -> int:
        """Requests that went wrong, over all tests."""
        return sum(line.get("errors", 0) for line in self._of(gateway))

    def runs(self) -> int:
        """How often each test was run."""
        return 1 + max(line.get("run", 0) for line in self._lines)

    def foreign(self) -> float:
        """Cores taken by other processes of the machine: median over all measurements."""
        return median(line["foreign"] for line in self._lines if "foreign" in line)

    def _of(self, gateway: str) -> list[dict[str, Any]]:
        return [line for line in self._lines if line["gateway"] == gateway]


def ratio(results: Results, gateway: str, other: str, test: str, name: str) -> float | None:
    """How many times `other`'s figure."""
    mine, theirs = results.figure(gateway, test, name), results.figure(other, test, name)
    return mine / theirs if mine and theirs else None


def added(results: Results, gateway: str) -> float | None:
    """Milliseconds that one request takes longer than without a gateway, at one connection."""
    mine, direct = results.figure(gateway, "json1", "p50"), results.figure("direct", "json1", "p50")
    return mine - direct if mine and direct else None


LIMITS = (
    Limit("CPU per request / TensorZero", 0.5, lambda r: ratio(r, "freehold", "tensorzero", JSON, "us_req")),
    Limit("CPU per request / nginx", 3.2, lambda r: ratio(r, "freehold", "nginx", JSON, "us_req")),
    Limit("CPU per event / TensorZero", 0.8, lambda r: ratio(r, "freehold", "tensorzero", STREAM, "us_event")),
    Limit(
        "… with a key and limits, per request / TensorZero", 0.5, lambda r: ratio(r, KEYS, "tensorzero", JSON, "us_req")
    ),
    Limit("… per request / nginx", 3.2, lambda r: ratio(r, KEYS, "nginx", JSON, "us_req")),
    Limit("… per event / TensorZero", 0.8, lambda r: ratio(r, KEYS, "tensorzero", STREAM, "us_event")),
    Limit("added p50 at c=1, ms", 0.3, lambda r: added(r, "freehold")),
    Limit("idle MB", 80.0, lambda r: r.boot("freehold")[0]),
)


def row(results: Results, gateway: str) -> str:
    """One gateway."""
    idle, after, cold = results.boot(gateway)
    cells = (
        text(results.figure(gateway, JSON, "us_req"), 1),
        text(ratio(results, gateway, "nginx", JSON, "us_req"), 2),
        text(ratio(results, gateway, "tensorzero", JSON, "us_req"), 2),
        text(results.figure(gateway, STREAM, "us_event"), 1),
        text(ratio(results, gateway, "nginx", STREAM, "us_event"), 2),
        text(ratio(results, gateway, "tensorzero", STREAM, "us_event"), 2),
        text(results.figure(gateway, "json1", "p50"), 2),
        text(added(results, gateway) if gateway != "direct" else None, 2),
        text(results.figure(gateway, JSON, "rps"), 0),
        text(idle, 0),
        text(after, 0),
        text(cold, 2),
        str(results.errors(gateway)),
    )
    return f"| {gateway} | {' | '.join(cells)} |"


def reached(results: Results) -> list[str]:
    """One line for each limit."""
    lines = ["| freehold, recording on | to reach | measured |", "|---|---|---|"]
    for limit in LIMITS:
        value = limit.value(results)
        verdict = "not measured" if value is None else f"**{value:.2f}**{'' if value <= limit.most else ', missed'}"
        lines.append(f"| {limit.name} | ≤ {limit.most:g} | {verdict} |")
    return lines


def text(value: float | None, digits: int) -> str:
    """A figure, or a dash."""
    return "–" if value is None else f"{value:,.{digits}f}"


def commit() -> str:
    """What was measured."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    return done.stdout.strip() or "no commit"


def section(results: Results) -> str:
    """All that stands between the marks."""
    about = (
        f"{datetime.now(UTC):%Y-%m-%d}, {commit()}; one worker on one core, load and upstream on the other; "
        f"{results.runs()} run(s) of each test, medians; others took "
        f"{results.foreign():.2f} cores meanwhile."
    )
    table = [f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|", *(row(results, one) for one in results.gateways)]
    return "\n".join([BEGIN, "", about, "", *table, "", *reached(results), "", END])


def write(section: str, target: Path) -> None:
    """Put the section in the place of the one before it."""
    before = target.read_text(encoding="utf-8") if target.exists() else "# Results\n"
    head, begin, rest = before.partition(BEGIN)
    if begin:
        _, _, tail = rest.partition(END)
        after = head + section + tail
    else:
        after = f"{head.rstrip()}\n\n## Gateway beside its peers\n\n{section}\n"
    target.write_text(after, encoding="utf-8")


def main() -> None:
    """Read the lines, write the section, print it too."""
    lines = [json.loads(line) for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines() if line.strip()]
    made = section(Results(lines))
    write(made, Path(sys.argv[2]))
    print(made)


if __name__ == "__main__":
    main()
