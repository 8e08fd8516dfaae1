"""One limit as one worker sees it: a lease at hand, spent locally, renewed before it runs out. Pure arithmetic."""

from __future__ import annotations

import math

from freehold.access.windows import window_of
from freehold.domain.access import MeterName
from freehold.store.control.access_tables import Lease, Want

UNIT: dict[MeterName, int] = {"requests": 0, "tokens": 1, "day": 2, "month": 2}
"""Which of (requests, tokens, nano-dollars) a meter counts."""
LEASE_SECONDS = 2.0
"""A lease is as large as what was spent lately in so many seconds."""
FRESH_SECONDS = 0.5
"""For so long a worker believes what it heard of a limit that is used up, before it asks again."""
_SHORTEST = 0.5
"""Seconds below which a pace is not measured: a single request says nothing of the next."""


class Meter:
    """Used by one event loop. `left` may be negative: that much was used beyond the lease and is to be charged."""

    __slots__ = (
        "_base",
        "_measured_at",
        "_pace",
        "ahead",
        "asked",
        "began",
        "ends",
        "free",
        "holder",
        "left",
        "limit",
        "looked_at",
        "low",
        "name",
        "need",
        "unit",
    )  # fmt: skip

    def __init__(self, holder: str, name: MeterName, limit: int) -> None:
        self.holder = holder
        self.name: MeterName = name
        self.limit = limit
        self.unit = UNIT[name]
        self.began = 0
        self.ends = 0
        """Zero: no window yet, so that the first use turns to the present one."""
        self.left = 0
        self.low = 0
        """Below this much it is time to ask for the next lease."""
        self.free = 0
        """What was left for any worker when last heard of, at `looked_at`."""
        self.looked_at = -math.inf
        self.asked = False
        """Whether a lease is on its way."""
        self.need = 0
        """What requests wait for."""
        self.ahead = 0
        """Leased for the window after this one."""
        self._base = 0
        self._measured_at = -math.inf
        self._pace = 0.0

    def turn(self, now: float) -> None:
        """Go over to the window of unix time `now`: what is left of the last one's lease ends with it."""
        before = self.ends
        self.began, self.ends = window_of(self.name, now)
        self.left = self.ahead if self.began == before else 0
        self.low = self.left // 2
        self._base = self.left
        self.ahead = self.need = self.free = 0
        self.looked_at = -math.inf

    def want(self, mono: float) -> Want:
        """What to ask the store for; what was used beyond the lease goes along as a charge.

        Args:
            mono: monotonic seconds.
        """
        need = max(0, self.need - max(0, self.left))
        more = need + int(max(self._pace, self._current(mono)) * LEASE_SECONDS)
        charge = max(0, -self.left)
        self.left += charge
        self._base += charge
        self.need = 0
        self.asked = True
        return Want(self.holder, self.name, self.began, self.limit, need, more, charge)

    def want_ahead(self) -> Want:
        """What to ask for the next window, so that no request waits when it begins."""
        self.asked = True
        return Want(self.holder, self.name, self.ends, self.limit, 0, max(1, int(self._pace * LEASE_SECONDS)))

    def give_back(self, amount: int) -> Want:
        """Part with what is not used; take it back with `failed` if the store cannot be told."""
        self.left -= amount
        self._base -= amount
        self.low = min(self.low, self.left // 2)
        self.asked = True
        return Want(self.holder, self.name, self.began, self.limit, 0, 0, -amount)

    def granted(self, want: Want, lease: Lease, mono: float) -> None:
        """Take in the answer to `want`."""
        self.asked = False
        self.need = 0  # who waits looks again now, and says anew what is missing
        if want.began == self.began:
            self.left += lease.given
            self._base += lease.given
            self.free = lease.left
            self.looked_at = mono
            if self._measured_at < 0:
                self._measured_at = mono
            if lease.given:
                self.low = self.left // 2
        elif want.began == self.ends:
            self.ahead += lease.given

    def failed(self, want: Want) -> None:
        """The store could not be asked: what was to be charged or given back stays with us."""
        self.asked = False
        self.need = 0
        if want.began == self.began:
            self.left -= want.charge
            self._base -= want.charge

    def forget(self) -> None:
        """Believe nothing that was heard of the limit: it has changed."""
        self.looked_at = -math.inf

    def refuses(self, amount: int, mono: float) -> bool:
        """Whether it is known that `amount` cannot be had in this window."""
        known = mono - self.looked_at < FRESH_SECONDS
        return amount > self.limit or (known and max(0, self.left) + self.free < amount)

    def measure(self, mono: float) -> int:
        """Note the pace of use since the last call; returns how much of the lease had better be given back."""
        self._pace = max(self._current(mono), self._pace / 4)
        self._base, self._measured_at = self.left, mono
        spare = self.left - int(self._pace * 2 * LEASE_SECONDS)
        return spare if spare > self.left // 2 else 0

    @property
    def idle(self) -> bool:
        """Nothing at hand, nothing owed, nothing used lately."""
        return self.left == 0 and self.ahead == 0 and self._pace < 1 / LEASE_SECONDS

    @property
    def busy(self) -> bool:
        """Used lately, so that it will be in the next window, too."""
        return self._pace * LEASE_SECONDS >= 1

    def _current(self, mono: float) -> float:
        return max(0, self._base - self.left) / max(_SHORTEST, mono - self._measured_at)
