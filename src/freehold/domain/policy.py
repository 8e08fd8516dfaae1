"""What the gateway executes: per task a ladder of rungs, cheapest first, the incumbent always last."""

from __future__ import annotations

from typing import Literal

import msgspec

from freehold.domain.fingerprint import Template

Reason = Literal[
    "accepted",  # a rung answered
    "no-rung",  # the task has no rung in force
    "pinned",  # the caller pinned the incumbent
    "unrecorded",  # the caller forbade recording, so the answer could not be audited
    "unsupported",  # the request asks for what a student cannot give (tools, n > 1, logprobs, images …)
    "novel",  # unlike the certified traffic
    "uncertain",  # the rung's signal was below its threshold
    "student-missing",  # the student's files are gone or changed
    "student-failed",  # the student raised while it answered
    "policy-stale",  # the control store could not be reached within the lease: nothing moves
    "passthrough",  # not a chat completion
]


class Rung(msgspec.Struct, frozen=True, kw_only=True):
    """One owned answerer and its acceptance rule: accept when signal ≥ threshold and novelty ≤ its limit."""

    student: str
    path: str
    """Folder of the student, relative to the data folder."""
    sha256: str
    """Of the student's manifest, which carries the hash of each of its files."""
    threshold: float
    novelty_limit: float
    certificate: str
    fingerprints: tuple[str, ...]
    """The calls that were in the evidence; any other is a stranger."""


class TaskPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How one task is served."""

    task: str
    rungs: tuple[Rung, ...] = ()
    audit_rate: float = 0.05
    repeat_rate: float = 0.0
    """Share of the incumbent's answers asked for twice, to measure how often it disagrees with itself."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """All ladders in force, and which fingerprints belong to which task. Versions only grow."""

    version: int = 0
    created_ns: int = 0
    reason: str = ""
    tasks: dict[str, TaskPolicy] = {}
    templates: tuple[Template, ...] = ()
    """Calls whose instructions vary in ways no mask knows; see `freehold.domain.fingerprint`."""
