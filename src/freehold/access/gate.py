"""The gateway's side of keys and limits: one `Access` per worker, used by its event loop. Nothing here ever waits."""

from __future__ import annotations

import asyncio
import hmac
import math
import time
from collections.abc import Callable

import structlog

from freehold.access.courier import Courier
from freehold.access.credentials import Pepper, pepper_path
from freehold.access.directory import Directory, Found
from freehold.access.grants import Account, Grant, Ticket
from freehold.access.leases import Leases, Then
from freehold.config import Settings
from freehold.config.environment import key_from
from freehold.domain.access import Limits, Team, VirtualKey
from freehold.domain.errors import AuthError, FreeholdError, StoreError
from freehold.store import ControlStore

FIRST_POLL_SECONDS = 5.0
"""How long a starting worker waits for the keys; without them it could let nobody in."""
_STOP_SECONDS = 5.0
_REMEMBERED = 10_000
_HINT = "Send `Authorization: Bearer KEY` (or `x-api-key: KEY`) with a key of this gateway."
_log = structlog.get_logger()


class Access:
    """Admits callers and takes what they use out of their limits. Make one with `open`."""

    def __init__(
        self, settings: Settings, open_store: Callable[[], ControlStore], clock: Callable[[], float] = time.time
    ) -> None:
        """See `open`."""
        access = settings.access
        self._settings = settings
        self._clock = clock
        self._own_key = own_key(settings)
        self._pepper: Pepper | None = None
        self._directory: Directory | None = None
        self._accounts: dict[str, Account] = {}
        self._bearers: dict[bytes, Grant] = {}
        """Authorization header → grant: what was checked once is one look-up from then on, until anything changes."""
        self._keys: dict[bytes, Grant] = {}
        """The same by x-api-key header."""
        self._next_end = math.inf
        self._fresh_at = -math.inf
        self._anonymous = Grant(None, own=False)
        self._unlimited = Grant(None, own=True)
        self._everyone = False
        """It is known that nobody is asked for a key."""
        self._polled = asyncio.Event()
        self._courier = Courier(open_store, self._look, access.poll_seconds)
        self._leases = Leases(self._courier, serve_without_store=access.without_store == "serve", clock=clock)

    @classmethod
    def open(cls, settings: Settings, open_store: Callable[[], ControlStore]) -> Access:
        """Nothing is connected before `start`; `open_store` is called in a thread.

        Raises:
            ConfigError: an environment variable that should hold a key or the pepper holds none.
        """
        if settings.access.pepper_env:
            Pepper.open(settings)
        return cls(settings, open_store)

    async def start(self) -> None:
        """Read the keys; a store that does not answer soon is not waited for."""
        self._courier.start(self._heard)
        self._leases.start()
        try:
            await asyncio.wait_for(self._polled.wait(), FIRST_POLL_SECONDS)
        except TimeoutError:
            _log.warning("access-keys-not-read-yet")

    async def stop(self) -> None:
        """Give leases back and report what was used. Call it when no request is under way any more."""
        self._leases.stop()
        await asyncio.to_thread(self._courier.stop, _STOP_SECONDS)

    def admit(self, authorization: bytes | None, x_api_key: bytes | None = None) -> Grant:
        """The grant of the key in these headers (Authorization goes before x-api-key).

        A key that was admitted before is found by one look-up in a dictionary, whose hashes are keyed at random per
        process; any other is digested first, and digests are compared in constant time.

        Raises:
            AuthError: no key was sent, or it is not known, revoked or has expired.
            StoreError: it cannot be checked, since the control store has been out of reach for too long.
        """
        if self._everyone:
            return self._anonymous
        if authorization is not None:
            grant = self._bearers.get(authorization)
        else:
            grant = self._keys.get(x_api_key) if x_api_key is not None else None
        if grant is not None and self._clock() < self._next_end:
            return grant
        return self._admit(authorization, x_api_key)

    def take(self, grant: Grant, tokens: int, nanousd: int, then: Then) -> None:
        """Take one request, with so many tokens and nano-dollars as it is expected to need, out of the limits.

        `then` gets a Ticket, at once where the leases at hand suffice; else, once the store was asked, a Ticket or a
        LimitReached. With the store out of reach it gets a Ticket, or a StoreError if `access.without_store` is
        "refuse". It is called in the event loop, exactly once, and must not raise.
        """
        self._leases.take(grant, tokens, nanousd, then)

    async def taken(self, grant: Grant, tokens: int, nanousd: int) -> Ticket:
        """`take` for coroutines.

        Raises:
            LimitReached: a limit is used up.
            StoreError: see `take`.
        """
        future: asyncio.Future[Ticket] = asyncio.get_running_loop().create_future()

        def then(outcome: Ticket | FreeholdError) -> None:
            if future.done():  # cancelled meanwhile
                if isinstance(outcome, Ticket):
                    outcome.settle(0, 0)
            elif isinstance(outcome, Ticket):
                future.set_result(outcome)
            else:
                future.set_exception(outcome)

        self._leases.take(grant, tokens, nanousd, then)
        return await future

    def use(self, own_key: bytes | None) -> None:
        """Take another key of the gateway's own from now on, or none."""
        self._own_key = own_key
        self._forget()
        self._everyone = self._directory is not None and self._open_to_all()

    def trouble(self) -> str | None:
        """What does not work, in a sentence; None if all does, or nobody has a key here."""
        if self._leases.reachable and self._directory is not None:
            return None
        keys = self._directory.keys if self._directory is not None else pepper_path(self._settings).exists()
        if not keys:
            return None
        return "Keys and limits are those last read: the control store does not answer."

    def _admit(self, authorization: bytes | None, x_api_key: bytes | None) -> Grant:
        sent, bearer = _credential(authorization, x_api_key)
        if sent is not None and self._own_key is not None and hmac.compare_digest(sent, self._own_key):
            grant = self._unlimited
        elif self._open_to_all():
            return self._anonymous
        elif sent is None:
            raise AuthError("The API key is missing.", _HINT)
        else:
            grant = self._grant(self._find(sent))
        if bearer and authorization is not None:
            _remember(self._bearers, authorization, grant)
        elif authorization is None and x_api_key is not None:
            _remember(self._keys, x_api_key, grant)
        return grant

    def _open_to_all(self) -> bool:
        """Nobody is asked for a key before the first one is made, unless the settings say so."""
        if self._own_key is not None or self._settings.access.required:
            return False
        if self._directory is not None:
            return not self._directory.keys
        if self._settings.access.pepper_env or pepper_path(self._settings).exists():
            raise _unchecked()  # there may well be keys, which cannot be read
        return True

    def _find(self, sent: bytes) -> Found:
        directory = self._directory
        if directory is None or time.monotonic() > self._fresh_at + self._settings.access.outage_seconds:
            raise _unchecked()
        if self._pepper is None and directory.keys:
            raise StoreError("API keys cannot be checked: this host has not their pepper.", "Its log says more.")
        found = directory.find(self._pepper.digest(sent)) if self._pepper is not None else None
        if found is None:
            raise AuthError("The API key is wrong.", _HINT)
        if found.key.revoked_ns is not None:
            raise AuthError("The API key was revoked.", "Ask whoever runs this gateway for another.")
        if self._clock() >= _ends(found):
            raise AuthError("The API key has expired.", "Ask whoever runs this gateway for another.")
        return found

    def _grant(self, found: Found) -> Grant:
        key = found.key
        self._next_end = min(self._next_end, _ends(found))
        team = self._directory.teams.get(key.team) if self._directory is not None and key.team else None
        accounts = [self._account(key)] + ([self._account(team)] if team is not None else [])
        return Grant(key, accounts)

    def _account(self, of: VirtualKey | Team) -> Account:
        holder, label, limits = _holder(of)
        account = self._accounts.get(holder)
        if account is None:
            account = self._accounts[holder] = Account(holder, label)
            account.limit(limits)
        return account

    def _look(self, store: ControlStore) -> Directory | None:
        """One poll, in the courier's thread: the keys, if they have changed."""
        known = self._directory
        if known is not None and store.access.version() == known.version:
            return None
        found = Directory.read(store)
        if found.keys and self._pepper is None:
            self._pepper = _matching_pepper(self._settings, found.pepper_mark)
        return found

    def _heard(self, answer: Directory | FreeholdError | None) -> None:
        """What a poll has brought, in the loop."""
        self._polled.set()
        if isinstance(answer, FreeholdError):
            self._leases.heard(answer)
            if time.monotonic() > self._fresh_at + self._settings.access.outage_seconds:
                self._forget()
            return
        self._fresh_at = time.monotonic()
        if answer is not None:
            self._adopt(answer)
        elif self._clock() >= self._next_end:
            self._forget()

    def _adopt(self, directory: Directory) -> None:
        self._directory = directory
        self._everyone = self._open_to_all()
        self._forget()
        for of in (*directory.keys.values(), *directory.teams.values()):
            holder, label, limits = _holder(of)
            account = self._accounts.get(holder)
            if account is not None:
                account.label = label
                self._leases.release(account.limit(limits))
        if directory.keys:
            _log.info("keys-adopted", version=directory.version, keys=len(directory.keys))

    def _forget(self) -> None:
        self._bearers.clear()
        self._keys.clear()
        self._next_end = math.inf


def own_key(settings: Settings) -> bytes | None:
    """The gateway's own key, which is not limited; None if none is configured.

    Raises:
        ConfigError: the environment variable that should hold it holds none.
    """
    variable = settings.gateway.api_key_env
    return key_from(variable, "gateway.api_key_env").encode() if variable else None


def _credential(authorization: bytes | None, x_api_key: bytes | None) -> tuple[bytes | None, bool]:
    """The key that was sent, and whether it was in the Authorization header."""
    scheme, _, given = (authorization or b"").partition(b" ")
    if scheme.lower() == b"bearer" and given:
        return given.strip(), True
    return (x_api_key.strip() if x_api_key else None), False


def _remember(known: dict[bytes, Grant], header: bytes, grant: Grant) -> None:
    if len(known) >= _REMEMBERED:
        known.clear()
    known[header] = grant


def _ends(found: Found) -> float:
    """Unix seconds at which the key or the secret ends."""
    ends = [at for at in (found.key.expires_ns, found.secret.until_ns) if at is not None]
    return min(ends) / 1e9 if ends else math.inf


def _holder(of: VirtualKey | Team) -> tuple[str, str, Limits]:
    if isinstance(of, Team):
        return of.team_id, f"team {of.name!r}", of.limits
    return of.key_id, f"key {of.name!r}", of.limits


def _matching_pepper(settings: Settings, mark: str) -> Pepper | None:
    """This installation's pepper, if the keys were made with it."""
    try:
        pepper = Pepper.open(settings)
    except FreeholdError as error:
        _log.error("pepper-not-read", error=str(error))
        return None
    if pepper is not None and pepper.mark == mark:
        return pepper
    _log.error("pepper-does-not-match", hint="Every host needs the same one: see access.pepper_env.")
    return None


def _unchecked() -> StoreError:
    return StoreError("API keys cannot be checked: the control store does not answer.", "Try again in a few seconds.")
