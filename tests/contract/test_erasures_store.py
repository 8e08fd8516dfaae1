"""Requests to forget and quarantines in the control store, on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import msgspec
import pytest

from freehold.domain.erasures import Erasure, Quarantine
from freehold.store import ControlStore


@pytest.fixture(params=["sqlite", "postgres"])
def control(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[ControlStore]:
    url = f"sqlite:///{tmp_path / 'control.sqlite'}"
    store = ControlStore.open(url if request.param == "sqlite" else request.getfixturevalue("postgres_url"))
    yield store
    store.close()


def test_every_put_changes_the_state_whatever_the_clock_says(control: ControlStore) -> None:
    states = [control.erasures.state()]
    assert states == [(0, 0)]
    far = 2**62
    for number, at in enumerate((far, far - 1, 5, 5)):
        control.erasures.put(Erasure(erasure_id=f"er_{number}", kind="subject", who="x", at_ns=at, updated_ns=at))
        states.append(control.erasures.state())
    first = control.erasures.get("er_0")
    assert first is not None
    control.erasures.put(msgspec.structs.replace(first, state="done", updated_ns=far - 7))
    states.append(control.erasures.state())
    assert len(set(states)) == len(states)
    assert [item.erasure_id for item in control.erasures.list(newest_first=True)][:2] == ["er_0", "er_1"]


def test_a_quarantine_is_lifted_in_place(control: ControlStore) -> None:
    made = Quarantine(quarantine_id="qu_1", kind="key", value="key_a", reason="Why.", created_ns=1, updated_ns=1)
    control.quarantines.put(made)
    lifted = msgspec.structs.replace(made, lifted_ns=2, updated_ns=2)
    control.quarantines.put(lifted)
    assert control.quarantines.list() == [lifted]
