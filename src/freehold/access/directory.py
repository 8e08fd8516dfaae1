"""All keys and teams as they were at one moment, found by the digest of a secret."""

from __future__ import annotations

import hmac
from typing import NamedTuple

from freehold.domain.access import Secret, Team, VirtualKey
from freehold.store import ControlStore


class Found(NamedTuple):
    """A key, and which of its secrets it was found by."""

    key: VirtualKey
    secret: Secret


class Directory:
    """Immutable. Made in the thread that reads the store."""

    def __init__(self, version: int, pepper_mark: str, keys: list[VirtualKey], teams: list[Team]) -> None:
        self.version = version
        self.pepper_mark = pepper_mark
        self.keys = {key.key_id: key for key in keys}
        self.teams = {team.team_id: team for team in teams}
        self._found = {secret.digest: Found(key, secret) for key in keys for secret in key.secrets}

    @classmethod
    def read(cls, store: ControlStore) -> Directory:
        """What the store holds now.

        Raises:
            StoreError: it cannot be read.
        """
        access = store.access
        version = access.version()  # before the rest: what changes meanwhile raises it, and is read again
        return cls(version, access.pepper_mark(), access.keys.list(), access.teams.list())

    def find(self, digest: str) -> Found | None:
        """The key with a secret of this digest."""
        found = self._found.get(digest)
        return found if found is not None and hmac.compare_digest(found.secret.digest, digest) else None
