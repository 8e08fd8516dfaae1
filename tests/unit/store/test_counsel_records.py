"""Decisions and fulfilments count only as this installation's key signed them, and only for as long as they say."""

from __future__ import annotations

import datetime
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from counsel_fixtures import decided

from freehold.domain.counsel import Decision, Fulfilment, decision_bytes
from freehold.domain.errors import NotFound, RightsError
from freehold.store import Store
from freehold.store.counsel import decisions, fulfilments, ids_in_force, listed, put_signed, withdraw


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store.open(tmp_path, f"sqlite:///{tmp_path / 'control.sqlite'}")
    yield made
    made.close()


def edit(store: Store, body: str) -> None:
    """Write to the database past Freehold."""
    with closing(sqlite3.connect(store.data / "control.sqlite")) as database, database:
        assert database.execute("UPDATE decisions SET body = ?", (body,)).rowcount == 1


def states(store: Store) -> list[str]:
    return [item.state for item in listed(store, "decisions")]


def test_a_signed_decision_is_in_force_until_the_end_of_its_day(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put_signed(store, decided("xai", "distil", "2026-12-31"))
    for day, wanted in (("2026-12-31", "in force"), ("2027-01-01", "expired")):
        monkeypatch.setattr("freehold.store.counsel.today", lambda day=day: datetime.date.fromisoformat(day))
        assert states(store) == [wanted] and len(decisions(store)) == (wanted == "in force")
        assert bool(ids_in_force(store)) == (wanted == "in force")


def test_a_withdrawn_decision_never_comes_back(store: Store) -> None:
    kept = put_signed(store, decided("xai", "distil", "2999-01-01"))
    gone = withdraw(store, kept.decision_id)
    assert gone.withdrawn_ns and states(store) == ["withdrawn"] and not decisions(store)
    assert withdraw(store, kept.decision_id) == gone
    edit(store, msgspec.json.encode(msgspec.structs.replace(gone, withdrawn_ns=0)).decode())
    assert states(store) == ["forged"], "whoever edits the row breaks the signature"
    with pytest.raises(NotFound):
        withdraw(store, "cd_nothing")


@pytest.mark.parametrize(
    "change",
    [{"allow": True}, {"until": "3000-01-01"}, {"terms": "openai-api"}, {"task": ""}, {"purpose": "train_classifier"}],
)
def test_an_edited_decision_counts_for_nothing(store: Store, change: dict[str, Any]) -> None:
    kept = put_signed(store, decided("xai", "distil", "2999-01-01", allow=False, task="task_1"))
    assert decisions(store, "task_1") == (kept,)
    edit(store, msgspec.json.encode(msgspec.structs.replace(kept, **change)).decode())
    assert states(store) == ["forged"] and not decisions(store, "task_1")
    with pytest.raises(RightsError, match=kept.decision_id):
        withdraw(store, kept.decision_id)


def test_what_another_key_signed_or_nobody_counts_for_nothing(store: Store, tmp_path: Path) -> None:
    store.control.decisions.put(decided("xai", "distil", "2999-01-01"))
    assert states(store) == ["forged"] and not store.key_path.exists(), "looking makes no key"
    other = Store.open(tmp_path / "other", f"sqlite:///{tmp_path / 'other.sqlite'}")
    theirs = put_signed(other, decided("xai", "distil", "2999-01-01"))
    other.close()
    store.control.decisions.put(theirs)
    assert store.keys.public_key() != theirs.public_key and states(store) == ["forged"]
    mine = msgspec.structs.replace(theirs, public_key=store.keys.public_key())
    store.control.decisions.put(msgspec.structs.replace(mine, signature=other.keys.sign(decision_bytes(mine))))
    assert states(store) == ["forged"]


def test_what_cannot_be_read_is_named_and_keeps_nothing_else_back(store: Store) -> None:
    broken = put_signed(store, decided("xai", "distil", "2999-01-01"))
    edit(store, '{"decision_id": 7}')
    good = put_signed(store, decided("mistral", "distil", "2999-01-01"))
    assert decisions(store) == (good,)
    assert [(item.record_id, item.state) for item in listed(store, "decisions")] == [
        (good.decision_id, "in force"),
        (broken.decision_id, "forged"),
    ]


def test_scopes(store: Store) -> None:
    for number, scope in enumerate(({}, {"task": "task_1"}, {"asset": "st_1"}, {"task": "task_1", "asset": "st_1"})):
        found: Decision = msgspec.structs.replace(
            decided("xai", "distil", "2999-01-01"), decision_id=f"cd_{number}", **scope
        )
        put_signed(store, found)

    def ids(*scope: str) -> list[int]:
        return [int(one.decision_id[3:]) for one in decisions(store, *scope)]

    assert (ids(), ids("task_1"), ids("task_2", "st_1"), ids("task_1", "st_1")) == ([0], [0, 1], [0, 2], [0, 1, 2, 3])


def test_fulfilments_are_signed_as_well(store: Store) -> None:
    made = Fulfilment(
        fulfilment_id="fu_1", duty="display", text="x", evidence="y", fulfilled_by="z", task="task_1", created_ns=1
    )
    assert fulfilments(store, "task_1") == () and fulfilments(store) == ()
    kept = put_signed(store, made)
    assert fulfilments(store, "task_1") == (kept,) and not fulfilments(store, "task_2")
    store.control.fulfilments.put(msgspec.structs.replace(kept, task=""))
    assert fulfilments(store, "task_1") == () and listed(store, "fulfilments")[0].state == "forged"
