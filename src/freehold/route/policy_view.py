"""The policy in force as the gateway sees it at one moment: with its students loaded. Never changed, only replaced."""

from __future__ import annotations

from collections.abc import Mapping

from freehold.domain.fingerprint import TemplateIndex
from freehold.domain.policy import Policy, Rung
from freehold.route.ladder import LoadedLadder
from freehold.route.student import Gate, Student

StudentKey = tuple[str, str]
"""A student's id and the hash of its manifest."""


def key_of(rung: Rung) -> StudentKey:
    """Which student a rung means."""
    return (rung.student, rung.sha256)


class PolicyView:
    """A policy, its compiled templates, its loaded students and ladders, and those that cannot be loaded."""

    __slots__ = ("damaged", "index", "ladders", "policy", "students", "unusable", "version")

    def __init__(
        self,
        policy: Policy,
        index: TemplateIndex,
        students: Mapping[StudentKey, Student | Gate],
        damaged: frozenset[StudentKey] = frozenset(),
        ladders: Mapping[str, LoadedLadder] | None = None,
        unusable: frozenset[str] = frozenset(),
    ) -> None:
        self.policy = policy
        self.version = str(policy.version).encode()
        self.index = index
        self.students = students
        self.damaged = damaged
        self.ladders: Mapping[str, LoadedLadder] = ladders or {}
        """By task."""
        self.unusable = unusable
        """Tasks whose ladder cannot be used: the incumbent answers."""
