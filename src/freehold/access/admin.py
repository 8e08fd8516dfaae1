"""The admin API: keys, teams and their use as JSON, behind a key of its own that no virtual key can stand in for.

It knows no HTTP: `answer` takes what a request says and returns a status and a document.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple
from urllib.parse import parse_qs, unquote

import msgspec

from freehold.access.desk import KeyDesk
from freehold.access.documents import day_of, key_document, team_document, usage_documents
from freehold.access.fields import KeyFields, TeamFields, parse
from freehold.access.gate import own_key
from freehold.access.windows import DAY
from freehold.config import Settings
from freehold.config.environment import key_from
from freehold.domain.errors import AuthError, ConfigError, NotFound, RequestError
from freehold.store import ControlStore

PREFIX = "/admin/v1/"
MAX_BODY_BYTES = 64_000
MAX_USAGE_DAYS = 400
_MAX_GRACE_SECONDS = 30 * DAY


class _Rotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a rotation."""

    grace_seconds: Annotated[float, msgspec.Meta(ge=0.0, le=_MAX_GRACE_SECONDS)] = 0.0


class _Call(NamedTuple):
    """One request, its path taken apart."""

    desk: KeyDesk
    store: ControlStore
    item: str
    query: dict[str, str]
    body: bytes


Answer = tuple[int, dict[str, Any]]
"""HTTP status and JSON document."""


class AdminAPI:
    """One per worker. The store is opened at the first call and used from threads."""

    def __init__(self, settings: Settings, open_store: Callable[[], ControlStore]) -> None:
        """Raises ConfigError: the variable that should hold the admin key holds none, or the gateway's own key."""
        variable = settings.access.admin_key_env
        self._settings = settings
        self._open_store = open_store
        self._store: ControlStore | None = None
        self._opening = asyncio.Lock()
        self._key = key_from(variable, "access.admin_key_env").encode() if variable else None
        if self._key is not None and self._key == own_key(settings):
            raise ConfigError(
                "The admin API's key is the same as the gateway's.",
                f"Put another key into {variable}: callers know that.",
            )

    async def answer(self, method: str, path: str, query: str, authorization: bytes | None, body: bytes) -> Answer:
        """Answer one request below `/admin/v1/`.

        Args:
            method: as in HTTP.
            path: percent-encoded, without the query.
            query: what follows the `?`.
            authorization: the header `Authorization: Bearer ADMIN-KEY`; checked before anything else is looked at.
            body: at most `MAX_BODY_BYTES`.

        Raises:
            NotFound: there is no admin API, no such path, or no such key or team.
            AuthError: that is not the admin key.
            RequestError: the path, query or body cannot be used.
            Conflict: the change does not go with what is there.
            StoreError: the control store cannot be used.
        """
        self.check(authorization)
        handler, item = _route(method, path)
        if len(body) > MAX_BODY_BYTES:
            raise RequestError(f"The document is longer than {MAX_BODY_BYTES} bytes.", "Send less.")
        asked = {name: values[-1] for name, values in parse_qs(query, max_num_fields=20).items()} if query else {}
        store = await self._opened()
        desk = KeyDesk(self._settings, store, by="admin-api")
        return await asyncio.to_thread(handler, _Call(desk, store, item, asked, body))

    async def close(self) -> None:
        """Close the connection to the store."""
        if self._store is not None:
            await asyncio.to_thread(self._store.close)

    def check(self, authorization: bytes | None) -> None:
        """Whether this is the admin key, compared in constant time.

        Raises:
            NotFound: there is no admin API.
            AuthError: it is not.
        """
        if self._key is None:
            raise NotFound("There is no admin API here.", "access.admin_key_env turns it on.")
        scheme, _, given = (authorization or b"").partition(b" ")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(given.strip(), self._key):
            raise AuthError("The admin key is missing or wrong.", "Send `Authorization: Bearer ADMIN-KEY`.")

    async def _opened(self) -> ControlStore:
        async with self._opening:
            if self._store is None:
                self._store = await asyncio.to_thread(self._open_store)
            return self._store


def _list_keys(call: _Call) -> Answer:
    names = {team.team_id: team.name for team in call.desk.all_teams()}
    return 200, {"data": [key_document(key, names) for key in call.desk.all_keys()]}


def _create_key(call: _Call) -> Answer:
    made = call.desk.create(parse(KeyFields, call.body))
    return 201, {"key": made.text, **key_document(made.key, _team_names(call))}


def _show_key(call: _Call) -> Answer:
    return 200, key_document(call.desk.key(call.item), _team_names(call))


def _change_key(call: _Call) -> Answer:
    return 200, key_document(call.desk.update(call.item, parse(KeyFields, call.body)), _team_names(call))


def _revoke_key(call: _Call) -> Answer:
    return 200, key_document(call.desk.revoke(call.item), _team_names(call))


def _rotate_key(call: _Call) -> Answer:
    made = call.desk.rotate(call.item, parse(_Rotation, call.body).grace_seconds)
    return 200, {"key": made.text, **key_document(made.key, _team_names(call))}


def _list_teams(call: _Call) -> Answer:
    return 200, {"data": [team_document(team) for team in call.desk.all_teams()]}


def _create_team(call: _Call) -> Answer:
    return 201, team_document(call.desk.create_team(parse(TeamFields, call.body)))


def _show_team(call: _Call) -> Answer:
    return 200, team_document(call.desk.team(call.item))


def _change_team(call: _Call) -> Answer:
    return 200, team_document(call.desk.update_team(call.item, parse(TeamFields, call.body)))


def _remove_team(call: _Call) -> Answer:
    return 200, team_document(call.desk.remove_team(call.item))


def _usage(call: _Call) -> Answer:
    """`?since=DATE&until=DATE&by=key|team|day`: of the last 30 days, unless it says which."""
    since = day_of(call.query["since"]) if "since" in call.query else int(time.time()) // DAY * DAY - 29 * DAY
    until = day_of(call.query["until"]) if "until" in call.query else None
    if (until or time.time()) - since > MAX_USAGE_DAYS * DAY:
        raise RequestError(f"That is more than {MAX_USAGE_DAYS} days.", "Ask for fewer.")
    by = call.query.get("by", "key")
    if by != "key" and by != "team" and by != "day":
        raise RequestError("Use cannot be listed by that.", "Say by=key, by=team or by=day.")
    rows = usage_documents(call.store.access.spent(since, until), call.desk.all_keys(), call.desk.all_teams(), by)
    return 200, {"since": since, "until": until, "by": by, "data": rows}


_Handler = Callable[[_Call], Answer]
_COLLECTIONS: dict[tuple[str, str], _Handler] = {
    ("GET", "keys"): _list_keys,
    ("POST", "keys"): _create_key,
    ("GET", "teams"): _list_teams,
    ("POST", "teams"): _create_team,
    ("GET", "usage"): _usage,
}
_ITEMS: dict[tuple[str, str, str], _Handler] = {
    ("GET", "keys", ""): _show_key,
    ("PATCH", "keys", ""): _change_key,
    ("DELETE", "keys", ""): _revoke_key,
    ("POST", "keys", "rotate"): _rotate_key,
    ("GET", "teams", ""): _show_team,
    ("PATCH", "teams", ""): _change_team,
    ("DELETE", "teams", ""): _remove_team,
}


def _route(method: str, path: str) -> tuple[_Handler, str]:
    """Who answers, and which item it is about (empty: the collection)."""
    kind, below, rest = path.removeprefix(PREFIX).partition("/")
    item, _, action = rest.partition("/")
    handler: _Handler | None = None
    if item:
        handler = _ITEMS.get((method, kind, action))
    elif not below:
        handler = _COLLECTIONS.get((method, kind))
    if handler is None or not path.startswith(PREFIX):
        raise NotFound(f"There is no {method[:20]} {path[:200]} here.", "See the admin API's page for what there is.")
    return handler, unquote(item)


def _team_names(call: _Call) -> dict[str, str]:
    return {team.team_id: team.name for team in call.desk.all_teams()}
