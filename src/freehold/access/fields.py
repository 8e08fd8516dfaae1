"""What may be said of a key or a team, checked: from the admin API and from the command line alike."""

from __future__ import annotations

import datetime
import time
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from freehold.domain.access import Limits, Team, VirtualKey
from freehold.domain.errors import RequestError

NANO = 1_000_000_000
_Name = Annotated[str, Meta(min_length=1, max_length=100)]
_Pattern = Annotated[str, Meta(min_length=1, max_length=200)]
_Patterns = Annotated[tuple[_Pattern, ...], Meta(max_length=100)]
_Count = Annotated[int, Meta(ge=1, le=1_000_000_000_000)]
_Dollars = Annotated[float, Meta(ge=0.0, le=1_000_000_000.0)]
T = TypeVar("T", bound=msgspec.Struct)


class LimitFields(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits, as people say them. What is left out stays as it is; None takes a limit away."""

    requests_per_minute: _Count | UnsetType | None = UNSET
    tokens_per_minute: _Count | UnsetType | None = UNSET
    dollars_per_day: _Dollars | UnsetType | None = UNSET
    dollars_per_month: _Dollars | UnsetType | None = UNSET

    def on(self, limits: Limits) -> Limits:
        """`limits` with these changes."""
        changes: dict[str, Any] = {
            "requests_per_minute": self.requests_per_minute,
            "tokens_per_minute": self.tokens_per_minute,
            "nanousd_per_day": _nano(self.dollars_per_day),
            "nanousd_per_month": _nano(self.dollars_per_month),
        }
        return msgspec.structs.replace(limits, **_set(changes))


class TeamFields(LimitFields, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be said of a team."""

    name: _Name | UnsetType = UNSET

    def team(self, team: Team) -> Team:
        """`team` with these changes."""
        changes = _set({"name": _printable("name", self.name)})
        return msgspec.structs.replace(team, limits=self.on(team.limits), **changes)


class KeyFields(LimitFields, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be said of a key."""

    name: _Name | UnsetType = UNSET
    team: Annotated[str, Meta(max_length=200)] | UnsetType | None = UNSET
    """Name or id of its team; None: none."""
    models: _Patterns | UnsetType = UNSET
    tasks: _Patterns | UnsetType = UNSET
    expires: Annotated[str, Meta(max_length=40)] | UnsetType | None = UNSET
    """ISO date (its beginning, UTC) or date and time; None: never."""

    def key(self, key: VirtualKey, team_id: str | UnsetType) -> VirtualKey:
        """`key` with these changes.

        Raises:
            RequestError: a name or pattern holds control characters, or `expires` is no time to come.
        """
        changes = _set(
            {
                "name": _printable("name", self.name),
                "team": team_id,
                "models": _printable("models", self.models),
                "tasks": _printable("tasks", self.tasks),
                "expires_ns": UNSET if self.expires is UNSET else _moment(self.expires),
            }
        )
        return msgspec.structs.replace(key, limits=self.on(key.limits), **changes)


def parse(kind: type[T], body: bytes) -> T:
    """The fields in a JSON document.

    Raises:
        RequestError: it is not JSON, or a field is unknown or out of range (the message names it).
    """
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise RequestError(f"The document cannot be used: {error}.", "See the admin API's page.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError("The document is not JSON.", "Send a JSON object.") from error


def convert(kind: type[T], values: dict[str, Any]) -> T:
    """The fields in plain values.

    Raises:
        RequestError: a field is out of range (the message names it).
    """
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise RequestError(f"This cannot be used: {error}.", "See --help.") from error


def _set(changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in changes.items() if value is not UNSET}


def _nano(dollars: float | UnsetType | None) -> int | UnsetType | None:
    return round(dollars * NANO) if isinstance(dollars, (int, float)) else dollars


def _printable(what: str, value: str | tuple[str, ...] | UnsetType) -> str | tuple[str, ...] | UnsetType:
    texts = () if value is UNSET else (value,) if isinstance(value, str) else value
    if not all(text.isprintable() and text.strip() for text in texts):
        raise RequestError(f"The {what} cannot be empty or hold control characters.", "Send printable text.")
    return value


def _moment(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        at = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise RequestError(f"{text!r} is not a date.", "Write it as 2027-01-31 or 2027-01-31T12:00:00Z.") from error
    at_ns = int(at.replace(tzinfo=at.tzinfo or datetime.UTC).timestamp()) * NANO
    if at_ns <= time.time_ns():
        raise RequestError(f"{text} is over.", "Name a time to come, or revoke the key.")
    return at_ns
