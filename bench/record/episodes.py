"""How well agent runs are found from messages alone, against generated truth, and what it costs.

    python bench/record/episodes.py [--seeds 3]

Nothing in the traffic says which run a request is of. For each level (see `agent_traffic`), precision and recall of
(a) pairs of requests of the same agent, (b) links from a sub-agent to the agent that started it, (c) pairs of requests
of the same episode; and the CPU time for a record, reading its bodies included. Prints a Markdown table.

Part of each traffic are chats whose first words and first answer are everyone's: which second step goes on from which
first one, nothing in them tells. What the first levels lack in (a) is that.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))

from bench.record.agent_traffic import LEVELS, Level, Stage, Traffic

from freehold.record.episodes.group import grouped
from freehold.record.episodes.hear import Hearing
from freehold.record.episodes.infer import inferred


class Score(NamedTuple):
    """Found and right, found, and there to be found."""

    right: int
    found: int
    there: int

    @property
    def precision(self) -> float:
        """1 if nothing was found."""
        return self.right / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        """1 if there is nothing to find."""
        return self.right / self.there if self.there else 1.0


class Scores(NamedTuple):
    """Of one traffic."""

    agents: Score
    parents: Score
    episodes: Score
    records: int
    seconds: float


def measure(traffic: Traffic) -> Scores:
    """Find the runs in a traffic, and compare."""
    began = time.process_time()
    hearing = Hearing()
    heard = [hearing(trace) for trace in traffic.traces]
    episode_of = inferred(heard).episode_of
    seconds = time.process_time() - began
    runs = grouped(heard).runs  # the same again: `inferred` keeps no agents
    truth = [traffic.truth[one.trace_id] for one in heard]
    found_agent = {step: number for number, run in enumerate(runs) for step in run.steps}
    agents = _pairs((found_agent[at], one.agent) for at, one in enumerate(truth))
    names = [episode_of.get(one.trace_id, one.trace_id) for one in heard]
    episodes = _pairs(zip(names, (one.run for one in truth), strict=True))
    links = {(truth[run.steps[0]].agent, truth[run.parent_step].agent) for run in runs if run.parent_step is not None}
    real = {(one.agent, one.parent) for one in truth if one.parent is not None}
    return Scores(agents, Score(len(links & real), len(links), len(real)), episodes, len(heard), seconds)


def _total(measured: Sequence[Scores]) -> Scores:
    def added(scores: Iterable[Score]) -> Score:
        return Score(*(sum(counts) for counts in zip(*scores, strict=True)))

    return Scores(
        added(scores.agents for scores in measured),
        added(scores.parents for scores in measured),
        added(scores.episodes for scores in measured),
        sum(scores.records for scores in measured),
        sum(scores.seconds for scores in measured),
    )


def _pairs(labels: Iterable[tuple[object, object]]) -> Score:
    """Pairs that are together in what was found, in truth, and in both."""
    both = Counter(labels)
    found: Counter[object] = Counter()
    there: Counter[object] = Counter()
    for (one, other), count in both.items():
        found[one] += count
        there[other] += count
    return Score(*(sum(count * (count - 1) // 2 for count in counts.values()) for counts in (both, found, there)))


def _line(level: Level, scores: Scores) -> str:
    shares = (
        f"{score.precision:.4f} / {score.recall:.4f}" for score in (scores.agents, scores.parents, scores.episodes)
    )
    return f"| {level.name} | {scores.records:,} | {' | '.join(shares)} | {scores.seconds / scores.records * 1e6:.0f} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    seeds = parser.parse_args().seeds
    print(f"`python bench/record/episodes.py --seeds {seeds}`\n")
    print("| level | records | same agent: precision / recall | parent | same episode | µs CPU per record |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for level in LEVELS:
        print(_line(level, _total([measure(Stage(level, seed).play()) for seed in range(seeds)])), flush=True)


if __name__ == "__main__":
    main()
