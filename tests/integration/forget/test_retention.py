"""Nothing is kept longer than asked, and a clock that jumps deletes nothing that it should not."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from forget_fixtures import MARKER, UPSTREAMS, House, exchange, places_with

from freehold.config import RetentionSettings
from freehold.domain.ids import new_id
from freehold.domain.traces import Feedback
from freehold.record.retention import DAY_NS, MAX_ADVANCE_NS, count_older, enforce
from freehold.record.sealer import Sealer
from freehold.store.traces.read import read_traces

NOW = time.time_ns()
YEAR = 365 * DAY_NS


@pytest.fixture
def aged(tmp_path: Path) -> House:
    """A trace of each of the last 60 days, in an agent run, with feedback; all of them hold the marker."""
    house = House(tmp_path / "data")
    writer = house.store.open_journal()
    for days in range(60, -1, -1):
        trace = exchange(days, at_ns=NOW - days * DAY_NS, episode=f"run-{days}", marked=True)
        writer.append(trace)
        writer.append(Feedback(feedback_id=new_id("fb"), trace_id=trace.trace_id, at_ns=trace.at_ns, score=1.0))
    writer.close()
    Sealer(house.store, UPSTREAMS).seal_once()
    return house


def days_left(house: House) -> int:
    return house.store.traces.scan().collect().height


def test_what_is_too_old_goes_with_all_that_belongs_to_it(aged: House) -> None:
    settings = RetentionSettings(traces_days=30.0)
    kept = enforce(aged.store, settings, NOW)
    assert kept is not None and not kept.held_back and kept.removed == {"traces": 30, "feedback": 30}
    assert days_left(aged) == 31 and aged.store.feedback.scan().collect().height == 31
    assert set(aged.store.messages.scan().collect()["episode"]) == {f"run-{days}" for days in range(31)}
    assert enforce(aged.store, settings, NOW + DAY_NS // 2) is None, "once a day"
    assert enforce(aged.store, settings, NOW + DAY_NS) is not None
    assert [event.kind for event in aged.store.control.events()] == ["retention-enforced"]


def test_bodies_are_blanked_and_counts_stay(aged: House) -> None:
    kept = enforce(aged.store, RetentionSettings(bodies_days=30.0, feedback_days=10.0), NOW)
    assert kept is not None and kept.removed == {"bodies": 30, "feedback": 50}
    rows = aged.store.traces.scan().collect().sort("at_ns")
    assert rows.height == 61 and rows["answer"].null_count() == 30 and set(rows["request"].head(30)) == {b""}
    assert (rows["input_tokens"] > 0).all() and (rows["status"] == 200).all()
    assert places_with(aged.data, MARKER)
    assert enforce(aged.store, RetentionSettings(bodies_days=1e-6), NOW + 8 * DAY_NS) is not None
    assert enforce(aged.store, RetentionSettings(bodies_days=1e-6), NOW + 60 * DAY_NS, at_once=True) is not None
    rows = read_traces(aged.store)
    assert rows.height == 61 and rows["request"][:-1].to_list() == [b""] * 60
    assert MARKER.encode() in rows["request"][-1]
    assert aged.store.messages.scan().collect()["episode"].unique().to_list() == ["run-0"]


def test_a_clock_that_is_ahead_deletes_no_more_than_the_newest_record_says(aged: House) -> None:
    kept = enforce(aged.store, RetentionSettings(traces_days=30.0), NOW + 10 * YEAR)
    assert kept is not None and days_left(aged) == 31
    # Back again: nothing more than before, and a day later it goes on as if nothing had been.
    assert enforce(aged.store, RetentionSettings(traces_days=30.0), NOW) is None
    assert enforce(aged.store, RetentionSettings(traces_days=30.0), NOW + DAY_NS) is not None
    assert days_left(aged) == 31


def test_a_clock_that_is_ahead_with_records_to_match_costs_a_week_a_day(aged: House) -> None:
    settings = RetentionSettings(traces_days=50.0)
    assert enforce(aged.store, settings, NOW) is not None and days_left(aged) == 51
    writer = aged.store.open_journal()
    writer.append(exchange(0, at_ns=NOW + 10 * YEAR))
    writer.close()
    Sealer(aged.store, UPSTREAMS).seal_once()
    kept = enforce(aged.store, settings, NOW + 10 * YEAR)
    assert kept is not None and kept.held_back and days_left(aged) == 52 - MAX_ADVANCE_NS // DAY_NS
    assert "Less than the settings say" in aged.store.control.events(1)[0].message


def test_somebody_who_asks_gets_it_at_once(aged: House) -> None:
    settings = RetentionSettings(traces_days=5.0, feedback_days=5.0)
    assert count_older(aged.store, settings, NOW) == {"traces": 55, "feedback": 55}
    assert days_left(aged) == 61
    kept = enforce(aged.store, settings, NOW, at_once=True)
    assert kept is not None and kept.removed == {"traces": 55, "feedback": 55} and days_left(aged) == 6
    assert enforce(aged.store, RetentionSettings(), NOW + 2 * DAY_NS) is None, "nothing is asked for"
