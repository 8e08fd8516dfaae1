"""Who may call, for what, and how much: virtual keys and teams. Frozen; secrets appear only as digests."""

from __future__ import annotations

from typing import Literal

import msgspec

MeterName = Literal["requests", "tokens", "day", "month"]
"""What is limited: requests and tokens per UTC minute, nano-dollars per UTC day and per UTC calendar month."""


class Limits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a key or a team may use at most; None: no limit. Dollars are integer nano-dollars (10⁻⁹ dollars)."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    nanousd_per_day: int | None = None
    nanousd_per_month: int | None = None

    def of(self, meter: MeterName) -> int | None:
        """The limit of one meter."""
        match meter:
            case "requests":
                return self.requests_per_minute
            case "tokens":
                return self.tokens_per_minute
            case "day":
                return self.nanousd_per_day
            case "month":
                return self.nanousd_per_month


class Secret(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One secret of a key. Its text is shown once, when it is made, and kept nowhere."""

    digest: str
    """HMAC-SHA256 of the text under the installation's pepper, in hex."""
    shown: str
    """How lists show it: its first characters."""
    created_ns: int
    until_ns: int | None = None
    """When it ends, unix nanoseconds: set when another takes its place."""


class VirtualKey(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A key of this gateway's own that callers send."""

    key_id: str
    name: str
    team: str = ""
    """The id of the team it belongs to, whose limits hold as well; empty: none."""
    secrets: tuple[Secret, ...]
    models: tuple[str, ...] = ()
    """Names or globs (`*`, `?`, `[…]`) of the models it may ask for; empty: all."""
    tasks: tuple[str, ...] = ()
    """Names, ids or globs of the tasks that its requests may belong to; empty: all."""
    limits: Limits = Limits()
    expires_ns: int | None = None
    revoked_ns: int | None = None
    created_ns: int
    updated_ns: int

    def ended(self, now_ns: int) -> bool:
        """Whether it is revoked or has expired."""
        return self.revoked_ns is not None or (self.expires_ns is not None and now_ns >= self.expires_ns)


class Team(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Several keys that share limits."""

    team_id: str
    name: str
    limits: Limits = Limits()
    created_ns: int
    updated_ns: int
