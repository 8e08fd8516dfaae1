"""Where keys and teams are made, changed, rotated and revoked; every change is an event without secrets."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from freehold.access import credentials
from freehold.access.credentials import Pepper
from freehold.access.documents import key_document, team_document
from freehold.access.fields import KeyFields, TeamFields
from freehold.config import Settings
from freehold.domain.access import Secret, Team, VirtualKey
from freehold.domain.errors import Conflict, NotFound, RequestError
from freehold.domain.events import Event, EventKind
from freehold.domain.ids import new_id
from freehold.store import ControlStore

MAX_KEYS = 100_000
MAX_SECRETS = 5
"""Of one key that are valid at the same time."""


class NewSecret(NamedTuple):
    """A key and the text of its new secret, which is kept nowhere."""

    key: VirtualKey
    text: str


class KeyDesk:
    """Changes act in every worker within two seconds. Every method raises StoreError if the store cannot be used."""

    def __init__(self, settings: Settings, control: ControlStore, by: str) -> None:
        """`by`: who makes the changes, for the events: `command` or `admin-api`."""
        self._settings = settings
        self._control = control
        self._access = control.access
        self._by = by

    def all_keys(self) -> list[VirtualKey]:
        """All keys, revoked ones included, oldest first."""
        return self._access.keys.list()

    def all_teams(self) -> list[Team]:
        """All teams, oldest first."""
        return self._access.teams.list()

    def key(self, wanted: str) -> VirtualKey:
        """The key of this id or name (a name that several had: the one that is not revoked).

        Raises:
            NotFound: there is none.
        """
        keys = self.all_keys()
        named = [key for key in keys if key.name == wanted]
        found = (
            [key for key in keys if key.key_id == wanted] or [key for key in named if key.revoked_ns is None] or named
        )
        if not found:
            raise NotFound(f"There is no key {wanted!r}.", "`freehold keys list` shows them.")
        return found[-1]

    def team(self, wanted: str) -> Team:
        """The team of this id or name.

        Raises:
            NotFound: there is none.
        """
        found = next((team for team in self.all_teams() if wanted in (team.team_id, team.name)), None)
        if found is None:
            raise NotFound(f"There is no team {wanted!r}.", "`freehold teams list` shows them.")
        return found

    def create(self, fields: KeyFields) -> NewSecret:
        """Make a key; its text is in the answer, and nowhere else.

        Raises:
            RequestError: it has no name, or a field cannot be used.
            Conflict: another key that is not revoked has this name, or keys were made with another pepper.
            NotFound: there is no such team.
        """
        if fields.name is UNSET:
            raise RequestError("A key needs a name.", "Say what it is for.")
        pepper, now = self._pepper(), time.time_ns()
        text, secret = _make(pepper, now)
        draft = VirtualKey(key_id=new_id("key"), name="", secrets=(secret,), created_ns=now, updated_ns=now)
        with self._control.transaction():
            self._access.changed(pepper.mark)
            key = fields.key(draft, self._team_id(fields))
            self._check_name(key)
            self._access.keys.put(key)
            self._say("key-created", f"Key {key.name!r} was made.", key)
        return NewSecret(key, text)

    def update(self, wanted: str, fields: KeyFields) -> VirtualKey:
        """Change what is said of a key.

        Raises:
            RequestError: a field cannot be used.
            Conflict: the key is revoked, or another has the new name.
            NotFound: there is no such key or team.
        """
        with self._control.transaction():
            self._access.changed()
            key = self._living(wanted)
            fresh = msgspec.structs.replace(fields.key(key, self._team_id(fields)), updated_ns=_later(key.updated_ns))
            self._check_name(fresh)
            self._access.keys.put(fresh)
            self._say("key-changed", f"Key {fresh.name!r} was changed.", fresh)
        return fresh

    def rotate(self, wanted: str, grace_seconds: float = 0.0) -> NewSecret:
        """Give a key a new secret; the old ones end after `grace_seconds`.

        Raises:
            Conflict: the key is revoked, has too many valid secrets, or was made with another pepper.
            NotFound: there is no such key.
        """
        pepper = self._pepper()
        with self._control.transaction():
            self._access.changed(pepper.mark)
            key, now = self._living(wanted), time.time_ns()
            text, secret = _make(pepper, now)
            until = now + int(grace_seconds * 1e9)
            old = [_ending(each, until) for each in key.secrets if each.until_ns is None or each.until_ns > now]
            kept = [each for each in old if grace_seconds > 0]
            if len(kept) >= MAX_SECRETS:
                raise Conflict(f"Key {key.name!r} has {len(kept)} valid secrets.", "Rotate it without a grace time.")
            fresh = msgspec.structs.replace(key, secrets=(*kept, secret), updated_ns=_later(key.updated_ns))
            self._access.keys.put(fresh)
            self._say("key-rotated", f"Key {key.name!r} has a new secret.", fresh)
        return NewSecret(fresh, text)

    def revoke(self, wanted: str) -> VirtualKey:
        """End a key for good; it stays in the books.

        Raises:
            NotFound: there is no such key.
        """
        with self._control.transaction():
            self._access.changed()
            key = self.key(wanted)
            if key.revoked_ns is not None:
                return key
            now = _later(key.updated_ns)
            fresh = msgspec.structs.replace(key, revoked_ns=now, updated_ns=now)
            self._access.keys.put(fresh)
            self._say("key-revoked", f"Key {key.name!r} was revoked.", fresh)
        return fresh

    def create_team(self, fields: TeamFields) -> Team:
        """Make a team.

        Raises:
            RequestError: it has no name, or a field cannot be used.
            Conflict: another team has this name.
        """
        if fields.name is UNSET:
            raise RequestError("A team needs a name.", "Say who it is.")
        now = time.time_ns()
        with self._control.transaction():
            self._access.changed()
            team = fields.team(Team(team_id=new_id("team"), name="", created_ns=now, updated_ns=now))
            self._check_team_name(team)
            self._access.teams.put(team)
            self._say("team-created", f"Team {team.name!r} was made.", team)
        return team

    def update_team(self, wanted: str, fields: TeamFields) -> Team:
        """Change what is said of a team.

        Raises:
            RequestError: a field cannot be used.
            Conflict: another team has the new name.
            NotFound: there is no such team.
        """
        with self._control.transaction():
            self._access.changed()
            team = self.team(wanted)
            fresh = msgspec.structs.replace(fields.team(team), updated_ns=_later(team.updated_ns))
            self._check_team_name(fresh)
            self._access.teams.put(fresh)
            self._say("team-changed", f"Team {fresh.name!r} was changed.", fresh)
        return fresh

    def remove_team(self, wanted: str) -> Team:
        """Remove a team that no key belongs to.

        Raises:
            Conflict: keys that are not revoked belong to it.
            NotFound: there is no such team.
        """
        with self._control.transaction():
            self._access.changed()
            team = self.team(wanted)
            members = [key.name for key in self.all_keys() if key.team == team.team_id and key.revoked_ns is None]
            if members:
                raise Conflict(
                    f"Keys belong to team {team.name!r}: {', '.join(members[:10])}.", "Revoke or move them first."
                )
            self._access.remove_team(team.team_id)
            self._say("team-removed", f"Team {team.name!r} was removed.", team)
        return team

    def _pepper(self) -> Pepper:
        # Only the first key of an installation makes one: later a missing file is a mistake to be told of.
        pepper = Pepper.open(self._settings, make=not self._access.pepper_mark())
        if pepper is None:
            raise Conflict(
                "This host has not the pepper that the keys in the control store were made with.",
                "Copy keys/pepper from the data folder where the first key was made, or set access.pepper_env.",
            )
        return pepper

    def _team_id(self, fields: KeyFields) -> str | UnsetType:
        if fields.team is UNSET:
            return UNSET
        return self.team(fields.team).team_id if fields.team else ""

    def _living(self, wanted: str) -> VirtualKey:
        key = self.key(wanted)
        if key.revoked_ns is not None:
            raise Conflict(f"Key {key.name!r} is revoked.", "Make a new one.")
        return key

    def _check_name(self, key: VirtualKey) -> None:
        keys = self.all_keys()
        if any(each.name == key.name and each.key_id != key.key_id and each.revoked_ns is None for each in keys):
            raise Conflict(f"There is a key {key.name!r} already.", "Take another name, or rotate that one.")
        if len(keys) >= MAX_KEYS:
            raise Conflict(f"There are {len(keys)} keys.", "That is as many as one installation may have.")

    def _check_team_name(self, team: Team) -> None:
        if any(each.name == team.name and each.team_id != team.team_id for each in self.all_teams()):
            raise Conflict(f"There is a team {team.name!r} already.", "Take another name.")

    def _say(self, kind: EventKind, message: str, about: VirtualKey | Team) -> None:
        document: dict[str, Any] = key_document(about, {}) if isinstance(about, VirtualKey) else team_document(about)
        event = Event(
            event_id=new_id("ev"),
            at_ns=time.time_ns(),
            kind=kind,
            task="",
            message=message,
            evidence={"by": self._by, **document},
        )
        self._control.add_event(event)


def _make(pepper: Pepper, now_ns: int) -> tuple[str, Secret]:
    text = credentials.new_secret()
    return text, Secret(digest=pepper.digest(text.encode()), shown=credentials.shown(text), created_ns=now_ns)


def _ending(secret: Secret, until_ns: int) -> Secret:
    return msgspec.structs.replace(secret, until_ns=min(until_ns, secret.until_ns or until_ns))


def _later(than_ns: int) -> int:
    return max(time.time_ns(), than_ns + 1)
