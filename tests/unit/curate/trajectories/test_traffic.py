"""Agents' traffic as both protocols carry it, read back as episodes: each good answer is learned once, in its place."""

from __future__ import annotations

from dataclasses import replace

import pytest
from bench.curate.trajectories import RIGHTS, check, named, read
from bench.record.agent_traffic import LEVELS, Level

from freehold.curate.trajectories import build_trajectories


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
def test_each_good_answer_is_learned_once_in_its_place(level: Level) -> None:
    smaller = replace(level, runs=2, children=9, single=5, chats=3)
    runs = named(smaller, seed=5)
    assert {trace.api for traces in runs.values() for trace in traces} <= {"chat", "messages"}
    for name, traces in runs.items():
        episode, turns = read(name, traces)
        built = build_trajectories(episode, turns, RIGHTS)
        assert not built.refused
        assert len({trajectory.run for trajectory in built.trajectories}) == len(episode.agents)
        check(episode, turns, built.trajectories)
