"""The arithmetic of leases, under every order in which takes, settlements, losses and answers of the store can come."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.access.meters import Meter
from freehold.access.windows import window_of
from freehold.domain.access import MeterName
from freehold.store.control.access_tables import Lease, Want, share

WORKERS = 2
UNDER_WAY = 3
EXCESS = 5
NOW = 1_000_000.0

_operations = st.lists(
    st.tuples(
        st.sampled_from(["lease", "take", "overrun", "settle", "ask", "deliver", "lose", "back", "ahead"]),
        st.integers(0, WORKERS - 1),
        st.integers(1, 12),
    ),
    min_size=20,
    max_size=100,
)


class _World:
    """Some workers, a store, and messages between them that may be late or lost."""

    def __init__(self, limit: int, excess: int) -> None:
        self.limit = limit
        self.excess = excess
        self.used = 0
        self.spent = 0
        self.meters = [Meter("key_1", "tokens", limit) for _ in range(WORKERS)]
        self.under_way: list[list[int]] = [[] for _ in range(WORKERS)]
        self.in_transit: list[tuple[Meter, Want]] = []
        for meter in self.meters:
            meter.turn(NOW)

    def do(self, operation: str, worker: int, number: int) -> None:
        getattr(self, f"_{operation}")(worker, number)

    def _take(self, worker: int, number: int) -> None:
        meter = self.meters[worker]
        if meter.left >= number and len(self.under_way[worker]) < UNDER_WAY:
            meter.left -= number
            self.under_way[worker].append(number)
        else:
            meter.need += number

    def _lease(self, worker: int, number: int) -> None:
        """Ask, and be answered at once."""
        self.meters[worker].need += number
        self._ask(worker, number)
        self._deliver(worker, -1)

    def _overrun(self, worker: int, number: int) -> None:
        """A request that takes all there is, and uses more."""
        self._take(worker, max(1, self.meters[worker].left))
        while self.under_way[worker]:
            self._settle(worker, 9)

    def _settle(self, worker: int, number: int) -> None:
        if self.under_way[worker]:
            estimate = self.under_way[worker].pop(0)
            actual = max(0, estimate + min(self.excess, number) - (number > 9) * estimate)
            self.meters[worker].left -= actual - estimate
            self.spent += actual

    def _ask(self, worker: int, number: int) -> None:
        if not self.meters[worker].asked:  # a worker has one question under way for each meter
            self.in_transit.append((self.meters[worker], self.meters[worker].want(number / 4)))

    def _ahead(self, worker: int, number: int) -> None:
        meter = self.meters[worker]
        if not meter.asked:
            meter.granted(meter.want_ahead(), Lease(number, 0), number / 4)  # of the next window: no use in this one

    def _deliver(self, worker: int, number: int) -> None:
        if self.in_transit:
            meter, want = self.in_transit.pop(number % len(self.in_transit))
            self.used, lease = share(self.used, want)
            meter.granted(want, lease, number / 4)

    def _lose(self, worker: int, number: int) -> None:
        if self.in_transit:
            meter, want = self.in_transit.pop(number % len(self.in_transit))
            meter.failed(want)

    def _back(self, worker: int, number: int) -> None:
        meter = self.meters[worker]
        if meter.left > 0 and not meter.asked:
            self.in_transit.append((meter, meter.give_back(min(number, meter.left))))

    @property
    def committed(self) -> int:
        """What was used, and what requests under way have reserved."""
        return self.spent + sum(sum(each) for each in self.under_way)


@given(st.integers(1, 60), _operations)
def test_with_good_estimates_no_order_of_events_exceeds_the_limit(limit: int, operations: list) -> None:
    world = _World(limit, excess=0)
    for operation in operations:
        world.do(*operation)
        assert world.committed <= limit
        assert world.used <= limit


@given(st.integers(1, 60), _operations)
def test_the_overshoot_is_at_most_what_requests_under_way_used_beyond_their_estimates(
    limit: int, operations: list
) -> None:
    world = _World(limit, excess=EXCESS)
    for operation in operations:
        world.do(*operation)
        assert world.committed <= limit + WORKERS * UNDER_WAY * EXCESS


@given(st.integers(1, 60), _operations)
def test_nothing_is_lost_between_store_and_workers(limit: int, operations: list) -> None:
    world = _World(limit, excess=EXCESS)
    for operation in operations:
        world.do(*operation)
    while world.in_transit:
        world.do("deliver", 0, 0)
    assert world.used - sum(meter.left for meter in world.meters) == world.committed


def test_the_next_window_begins_with_what_was_leased_for_it_and_nothing_else() -> None:
    meter = Meter("key_1", "requests", 100)
    meter.turn(0.0)
    meter.granted(meter.want(0.0), Lease(50, 50), 0.0)
    meter.granted(meter.want_ahead(), Lease(7, 93), 0.0)
    assert (meter.left, meter.ahead) == (50, 7)
    late = meter.want(0.0)
    meter.turn(60.0)
    assert (meter.left, meter.ahead, meter.began, meter.ends) == (7, 0, 60, 120)
    meter.granted(late, Lease(30, 0), 61.0)  # leased of the minute that is over
    assert meter.left == 7
    meter.turn(180.0)
    assert meter.left == 0


def test_a_lease_grows_with_the_pace_and_goes_back_when_it_lies_idle() -> None:
    meter = Meter("key_1", "requests", 1_000_000)
    meter.turn(0.0)
    used, mono, asked = 0, 0.0, 0
    for tick in range(20):  # 1,000 requests a second
        for _ in range(500):
            mono += 0.001
            if meter.left < 1:
                meter.need += 1
                asked += 1
                want = meter.want(mono)
                used, lease = share(used, want)
                meter.granted(want, lease, mono)
            meter.left -= 1
        spare = meter.measure(mono)
        assert spare == 0 or tick < 3
    assert asked <= 30
    for _ in range(20):
        mono += 0.5
        spare = meter.measure(mono)
        if spare:
            used, _ = share(used, meter.give_back(spare))
    assert (meter.left, used) == (0, 10_000)
    assert meter.idle


def test_a_limit_near_its_end_is_handed_out_in_small_pieces() -> None:
    used, lease = share(900, Want("key_1", "requests", 0, 1000, need=1, more=500))
    assert (used, lease) == (906, Lease(6, 94))
    assert share(999, Want("key_1", "requests", 0, 1000, need=5, more=500)) == (1000, Lease(1, 0))
    assert share(1000, Want("key_1", "requests", 0, 1000, need=5)) == (1000, Lease(0, 0))
    assert share(1000, Want("key_1", "requests", 0, 1000, need=0, charge=40)) == (1040, Lease(0, 0))
    assert share(1040, Want("key_1", "requests", 0, 1000, need=0, charge=-50)) == (990, Lease(0, 10))


@pytest.mark.parametrize(
    ("meter", "at", "began", "ends"),
    [
        ("requests", "2026-03-01T10:20:59.9", "2026-03-01T10:20", "2026-03-01T10:21"),
        ("tokens", "2026-03-01T10:21:00", "2026-03-01T10:21", "2026-03-01T10:22"),
        ("day", "2026-12-31T23:59:59", "2026-12-31", "2027-01-01"),
        ("month", "2026-12-31T23:59:59", "2026-12-01", "2027-01-01"),
        ("month", "2028-02-29T00:00:00", "2028-02-01", "2028-03-01"),
    ],
)
def test_windows_are_those_of_the_utc_calendar(meter: MeterName, at: str, began: str, ends: str) -> None:
    assert window_of(meter, _unix(at)) == (_unix(began), _unix(ends))


def _unix(text: str) -> float:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC).timestamp()
