"""200 random kills of gateway workers, sealers and curate jobs: nothing acknowledged is lost, and nothing doubled."""

from __future__ import annotations

from pathlib import Path

import pytest
from random_kills import KINDS, drill

KILLS = 200


@pytest.mark.timeout(280)
def test_two_hundred_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    outcome = drill(tmp_path, KILLS, seed=6)
    print(outcome)
    assert (outcome.lost, outcome.doubled, outcome.wrong) == (0, 0, 0), outcome
    assert sum(outcome.kills.values()) == KILLS and all(outcome.kills[kind] > 20 for kind in KINDS), outcome
    assert outcome.acknowledged > 2 * KILLS and outcome.datasets >= 1, outcome
