"""What was verified of a release, up to which level, and why not more."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import msgspec

from freehold.domain.errors import EvidenceError, ReleaseError, RightsError, ScorerError, StoreError, StudentError
from freehold.domain.evidence import Check

NAMES = (
    "hashes and signature",
    "evaluation run again",
    "dataset rebuilt",
    "a part of the training replayed",
    "trained again to the same bytes",
)
"""Of the levels, from 0."""
FOUND = (ReleaseError, EvidenceError, StoreError, StudentError, ScorerError, RightsError)
"""What a check raises that finds something wrong."""


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """One level, and what was looked at for it."""

    level: int
    name: str
    checks: tuple[Check, ...]
    seconds: float

    @property
    def reached(self) -> bool:
        """Whether every check was done and held."""
        return all(check.passed for check in self.checks)


class ItemVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """One item of the inventory."""

    role: str
    path: str
    """Empty: it is only told of."""
    declared: str
    """The state that the inventory claims, which nobody need believe."""
    state: str
    """What was found: `declared`, `present` (as signed) or `verified`."""
    level: int | None
    """At which it was verified."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All that was verified."""

    folder: str
    release_id: str
    manifest_sha256: str
    key: str
    asked: int
    reached: int
    """−1: not even level 0."""
    why_not_more: str
    """Empty: what was asked for was reached."""
    hint: str
    network: str
    """How the process that verified was kept from it."""
    levels: tuple[Level, ...]
    items: tuple[ItemVerdict, ...]

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that found something wrong."""
        return tuple(check for level in self.levels for check in level.checks if check.passed is False)


class Missing(Exception):
    """A check cannot be done: something is not at hand, though nothing is wrong."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def checked(name: str, work: Callable[[], str]) -> Check:
    """A check made of `work`, which says in a sentence what it found in order, or raises with what it found wrong."""
    [check] = guarded(name, lambda: [Check(name=name, passed=True, sentence=work())])
    return check


def guarded(name: str, work: Callable[[], list[Check]]) -> list[Check]:
    """The checks that `work` gives; one that failed where it could not begin."""
    try:
        return work()
    except Missing as lack:
        return [Check(name=name, passed=None, sentence=f"Not done: {lack.message}", hint=lack.hint)]
    except FOUND as error:
        return [Check(name=name, passed=False, sentence=error.message, hint=error.hint)]


def level_of(number: int, checks: Iterable[Check]) -> Level:
    """Do the checks of a level one after the other, to the first that does not hold: later ones rest on it."""
    began = time.perf_counter()
    done: list[Check] = []
    for check in checks:
        done.append(check)
        if not check.passed:
            break
    return Level(level=number, name=NAMES[number], checks=tuple(done), seconds=time.perf_counter() - began)
