"""What agents' runs become as training rows, beside one row per request, and what that costs.

    python bench/curate/trajectories.py [--seeds 3]

The traffic is that of `bench/record/agent_traffic.py`, its runs and agents named as a caller would name them, half of
them by Anthropic's Messages. "One row per request" is what a log gives without looking further: the request and its
answer, with loss on every assistant's message. Text is counted in characters of messages (no tokenizer is involved).
Checks on the way that every good answer has loss once, after exactly what its model had read. Prints two Markdown
tables: what becomes of the text (before the cap of rows per run; the last column is what it takes away), and the CPU
time for a step.
"""

from __future__ import annotations

import argparse
import datetime
import statistics
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))

import msgspec
from bench.record.agent_traffic import LEVELS, Level, Stage

from freehold.curate.trajectories import MAX_ROWS_PER_RUN, Rights, Trajectory, build_trajectories, cap_rows
from freehold.curate.trajectories.formats.chat import chat_row
from freehold.domain.episodes import Episode, Message, Step, Turn
from freehold.domain.traces import Trace
from freehold.record.answers import read_answer
from freehold.record.episodes.digests import digest
from freehold.record.episodes.hear import Hearing
from freehold.record.episodes.read import turns_of
from freehold.record.episodes.tree import Exchange, episode_of

RIGHTS = Rights({"up": "own"}, (), datetime.date(2026, 11, 21))


class Figures(NamedTuple):
    """Of one level; sums over seeds."""

    steps: int = 0
    agents: int = 0
    rows: int = 0
    capped: int = 0
    characters: int = 0
    learned: int = 0
    """Characters with loss."""
    naive: int = 0
    """Characters of one row per request."""
    naive_learned: int = 0
    answers: int = 0
    times: int = 0
    """How often the answers have loss in one row per request."""
    most: int = 0
    """… the one most often repeated."""
    left_out: int = 0
    reading: float = 0.0
    building: float = 0.0
    plainly: float = 0.0

    def __add__(self, other: Figures) -> Figures:  # type: ignore[override]
        summed = {name: getattr(self, name) + getattr(other, name) for name in self._fields}
        return Figures(**summed | {"most": max(self.most, other.most)})


def measure(level: Level, seed: int) -> Figures:
    """Play the level, and export its named runs both ways."""
    figures = Figures()
    for name, traces in named(level, seed).items():
        began = time.process_time()
        episode, turns = read(name, traces)
        read_at = time.process_time()
        built = build_trajectories(episode, turns, RIGHTS)
        kept = cap_rows(built.trajectories, MAX_ROWS_PER_RUN)
        rows = [msgspec.json.encode(chat_row(one)) for one in kept]
        built_at = time.process_time()
        for trace in traces:
            msgspec.json.encode(plain_row(trace))
        ended = time.process_time()
        check(episode, turns, built.trajectories)
        naive, naive_learned, times = one_row_each(episode, turns)
        figures += Figures(
            steps=len(traces),
            agents=len(episode.agents),
            rows=len(rows),
            capped=len(built.trajectories) - len(kept),
            characters=sum(length(line.message) for one in built.trajectories for line in one.lines),
            learned=sum(length(line.message) for one in built.trajectories for line in one.lines if line.loss),
            naive=naive,
            naive_learned=naive_learned,
            answers=len(times),
            times=times.total(),
            most=max(times.values()),
            left_out=built.left_out.total(),
            reading=read_at - began,
            building=built_at - read_at,
            plainly=ended - built_at,
        )
    return figures


def named(level: Level, seed: int) -> dict[str, list[Trace]]:
    """The requests of agents' runs, by run, as a gateway records them from callers that name their runs."""
    traffic = Stage(level, seed).play()
    runs: dict[str, list[Trace]] = {}
    for trace in traffic.traces:
        truth = traffic.truth[trace.trace_id]
        if truth.run < level.runs:
            parent = None if truth.parent is None else f"agent-{truth.parent}"
            named = {"episode": f"run-{truth.run}", "agent": f"agent-{truth.agent}", "parent": parent}
            runs.setdefault(f"run-{truth.run}", []).append(msgspec.structs.replace(trace, **named))
    return runs


def read(name: str, traces: list[Trace]) -> tuple[Episode, dict[str, Turn]]:
    """A run as it is read back from a store, without the store."""
    hearing = Hearing()
    exchanges = [Exchange(_step(trace), hearing(trace)) for trace in traces]
    return episode_of(name, None, exchanges, []), turns_of(traces)


def _step(trace: Trace) -> Step:
    answer = read_answer(trace.response, stream=False, api=trace.api)
    return Step(
        trace_id=trace.trace_id,
        at_ns=trace.at_ns,
        api=trace.api,
        model=trace.model,
        answered_by=trace.answered_by,
        owned=False,
        status=trace.status,
        error=trace.error,
        duration_us=trace.duration_us,
        finish_reason=answer.finish_reason,
        input_tokens=0,
        output_tokens=0,
        tokens_source="",
        cost_nanousd=0,
        price_source="none",
        linked="header",
    )


def plain_row(trace: Trace) -> dict[str, Any]:
    """One row of a request and its answer, both decoded once: the least that any export must do."""
    request, response = msgspec.json.decode(trace.request), msgspec.json.decode(trace.response)
    return {"messages": [*request["messages"], response]}


def one_row_each(episode: Episode, turns: dict[str, Turn]) -> tuple[int, int, Counter[bytes]]:
    """Characters, those with loss, and how often each answer has loss, with one row per good request."""
    every = learned = 0
    times: Counter[bytes] = Counter()
    answers = {turn.answer_digest for turn in turns.values() if turn.answer is not None}
    for step in episode.steps:
        turn = turns[step.trace_id]
        if turn.answer is None or step.failed:
            continue
        for message, key in zip((*turn.messages, turn.answer), (*turn.digests, turn.answer_digest), strict=True):
            every += length(message)
            if message["role"] == "assistant":
                learned += length(message)
                times[key] += key in answers
    return every, learned, times


def check(episode: Episode, turns: dict[str, Turn], trajectories: tuple[Trajectory, ...]) -> None:
    """Each good answer has loss once, and the lines before it are what its model had read."""
    good = [step.trace_id for step in episode.steps if not step.failed and turns[step.trace_id].answer is not None]
    learned: list[str] = []
    for trajectory in trajectories:
        digests = tuple(digest(line.message) for line in trajectory.lines)
        for place, line in enumerate(trajectory.lines):
            if line.loss:
                learned.append(line.trace_id)
                if digests[:place] != turns[line.trace_id].digests:
                    raise SystemExit(f"{line.trace_id} is learned after something else than its model had read")
    if Counter(learned) != Counter(good):
        raise SystemExit(f"{len(good)} answers, {len(learned)} learned, {len(set(learned))} of them different")


def length(message: Message) -> int:
    """Characters of text and tool calls."""
    content = message.get("content")
    calls = message.get("tool_calls") or ()
    text = len(content) if isinstance(content, str) else sum(len(part.get("text", "")) for part in content or ())
    return text + sum(len(call["function"]["name"]) + len(call["function"]["arguments"]) for call in calls)


def main() -> None:
    """Measure all levels and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    seeds = range(1, parser.parse_args().seeds + 1)
    found = {level.name: [measure(level, seed) for seed in seeds] for level in LEVELS}
    command = " ".join(("python", *sys.argv))
    print(f"`{command}`\n")
    print("| traffic | steps | agents | rows, one per request | each answer learned | most | share with loss |", end="")
    print(" trajectories | each answer learned | share with loss | text kept | beyond the cap |")
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    for name, each in found.items():
        one = sum(each, Figures())
        print(
            f"| {name} | {one.steps:,} | {one.agents:,} | {one.answers:,} | {one.times / one.answers:.1f} times "
            f"| {one.most} | {one.naive_learned / one.naive:.0%} | {one.rows + one.capped:,} | once "
            f"| {one.learned / one.characters:.0%} | {one.characters / one.naive:.0%} | {one.capped:,} |"
        )
    print("\n| CPU for a step | µs (median of levels and seeds) |\n|---|---|")
    every = [one for each in found.values() for one in each]
    for what, spent in (
        ("reading: messages, digests, the tree", [one.reading / one.steps for one in every]),
        ("cutting, rights, cap, chat rows as JSON", [one.building / one.steps for one in every]),
        ("one row per request: JSON decoded and encoded, nothing else", [one.plainly / one.steps for one in every]),
    ):
        print(f"| {what} | {statistics.median(spent) * 1e6:.0f} |")


if __name__ == "__main__":
    main()
