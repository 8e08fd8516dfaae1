"""Keys, teams and their use as people and scripts read them: without digests, in dollars."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from freehold.domain.access import Limits, Team, VirtualKey
from freehold.domain.errors import RequestError
from freehold.store.control.access_tables import Spent

NANO = 1_000_000_000
Grouping = Literal["key", "team", "day"]


def key_document(key: VirtualKey, team_names: Mapping[str, str]) -> dict[str, Any]:
    """A key; `team_names` by id."""
    return {
        "key_id": key.key_id,
        "name": key.name,
        "state": state(key),
        "shown": [secret.shown for secret in key.secrets],
        "team": key.team or None,
        "team_name": team_names.get(key.team),
        "models": key.models,
        "tasks": key.tasks,
        **limits_document(key.limits),
        "created": moment(key.created_ns),
        "expires": moment(key.expires_ns),
        "revoked": moment(key.revoked_ns),
    }


def team_document(team: Team) -> dict[str, Any]:
    """A team."""
    limits = limits_document(team.limits)
    return {"team_id": team.team_id, "name": team.name, **limits, "created": moment(team.created_ns)}


def limits_document(limits: Limits) -> dict[str, Any]:
    """Limits, in dollars; None: no limit."""
    return {
        "requests_per_minute": limits.requests_per_minute,
        "tokens_per_minute": limits.tokens_per_minute,
        "dollars_per_day": _dollars(limits.nanousd_per_day),
        "dollars_per_month": _dollars(limits.nanousd_per_month),
    }


def usage_documents(
    spent: Iterable[Spent], keys: Iterable[VirtualKey], teams: Iterable[Team], by: Grouping
) -> list[dict[str, Any]]:
    """What was used, one entry for each key, team or day; the most dollars first, days in order."""
    key_names = {key.key_id: key.name for key in keys}
    team_names = {team.team_id: team.name for team in teams}
    names = team_names if by == "team" else key_names
    sums: dict[Any, list[int]] = {}
    for row in spent:
        if row.holder in names:
            held = sums.setdefault(row.day if by == "day" else row.holder, [0, 0, 0])
            held[:] = held[0] + row.requests, held[1] + row.tokens, held[2] + row.nanousd
    order = sorted(sums.items(), key=lambda item: item[0] if by == "day" else (-item[1][2], -item[1][0], item[0]))
    return [
        {
            **({"day": _day(group)} if by == "day" else {f"{by}_id": group, "name": names[group]}),
            "requests": requests,
            "tokens": tokens,
            "dollars": nanousd / NANO,
        }
        for group, (requests, tokens, nanousd) in order
    ]


def day_of(text: str) -> int:
    """The unix second at which a UTC day begins.

    Raises:
        RequestError: it is not a day.
    """
    try:
        day = datetime.datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=datetime.UTC)
    except ValueError as error:
        raise RequestError(f"{text[:40]!r} is not a day.", "Write it as 2026-01-31.") from error
    return int(day.timestamp())


def state(key: VirtualKey) -> Literal["active", "expired", "revoked"]:
    """Whether a key is of use."""
    if key.revoked_ns is not None:
        return "revoked"
    return "expired" if key.ended(time.time_ns()) else "active"


def moment(at_ns: int | None) -> str | None:
    """ISO 8601, UTC, to the second."""
    if at_ns is None:
        return None
    return datetime.datetime.fromtimestamp(at_ns // NANO, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _day(began: int) -> str:
    return datetime.datetime.fromtimestamp(began, datetime.UTC).strftime("%Y-%m-%d")


def _dollars(nano: int | None) -> float | None:
    return None if nano is None else nano / NANO
