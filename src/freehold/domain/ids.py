"""Identifiers: a prefix, 16 hex digits of Unix nanoseconds, 12 random hex digits; they sort by time."""

from __future__ import annotations

import hashlib
import random
import re
import time

_rng = random.SystemRandom()
_random = random.Random(_rng.getrandbits(128))  # seeded by the OS per process: unique, not secret
_ID = re.compile(r"[a-z]{2,4}_[0-9a-f]{8,64}")


def new_id(prefix: str) -> str:
    """A new identifier such as `tr_18a3…`; unique across processes, not a secret."""
    return f"{prefix}_{time.time_ns():016x}{_random.getrandbits(48):012x}"


def reseed() -> None:
    """Draw a fresh seed; call after `fork`, so that two workers never share a sequence."""
    _random.seed(_rng.getrandbits(128))


def content_id(prefix: str, *parts: bytes) -> str:
    """An identifier that is the SHA-256 (first 128 bits) of `parts`, each framed by its length."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return f"{prefix}_{digest.hexdigest()[:32]}"


def is_id(text: str) -> bool:
    """Whether `text` has the form of an identifier: safe in a path, a query or a header."""
    return len(text) <= 72 and _ID.fullmatch(text) is not None
