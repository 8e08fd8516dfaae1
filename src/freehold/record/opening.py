"""Opens the store as the settings say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from freehold.config import JournalSettings, Settings
from freehold.config.environment import key_from
from freehold.domain.errors import ConfigError
from freehold.record.table_place import table_place
from freehold.store import Store
from freehold.store.journal.options import JournalOptions

if TYPE_CHECKING:
    from freehold.store.journal.keys import JournalKeys

KEYRING_USER = "journal"


class Keyring(Protocol):
    """Where passwords are looked up: the `keyring` package's module, for one."""

    def get_password(self, service_name: str, username: str, /) -> str | None:
        """The password, or None if there is none."""
        ...


def open_store(settings: Settings) -> Store:
    """The store of these settings; the data folder is made if it is not there.

    Raises:
        ConfigError: the control store's URL or a key of the journal cannot be used.
        StoreError: the database or the folder cannot be used.
    """
    settings.data.mkdir(parents=True, exist_ok=True)
    return Store.open(
        settings.data,
        settings.control_url,
        journal=journal_options(settings.journal),
        tables=table_place(settings.store),
    )


def journal_options(settings: JournalSettings, *, keyring: Keyring | None = None) -> JournalOptions:
    """What `[journal]` says; `keyring` in place of the system's.

    Raises:
        ConfigError: a key is named that is not there, or is none.
    """
    return JournalOptions(
        sync_seconds=settings.sync_ms / 1000,
        strict=settings.strict,
        segment_bytes=settings.segment_bytes,
        keep_sealed_seconds=settings.keep_sealed_hours * 3600,
        max_bytes=settings.max_bytes,
        keys=journal_keys(settings, keyring=keyring),
    )


def journal_keys(settings: JournalSettings, *, keyring: Keyring | None = None) -> JournalKeys | None:
    """The keys that `[journal]` names; None if it names none.

    Raises:
        ConfigError: they are not where they should be, or both places are named.
    """
    variable, service = settings.encryption_key_env, settings.encryption_keyring
    if not (variable or service):
        return None
    if variable and service:
        raise ConfigError("journal.encryption_key_env and journal.encryption_keyring are both set.", "Keep one.")
    from freehold.store.journal.keys import JournalKeys

    if variable:
        text = key_from(variable, "journal.encryption_key_env")
        return JournalKeys.parse(text, f"The environment variable {variable}")
    found = _password(keyring or _system_keyring(), service)
    return JournalKeys.parse(found, f"The password of {KEYRING_USER!r} for {service!r} in the system's keyring")


def _system_keyring() -> Keyring:
    try:
        import keyring
    except ImportError as error:
        raise ConfigError(
            "journal.encryption_keyring is set and the keyring package is not installed.",
            "Install `freehold[keyring]`, or use journal.encryption_key_env.",
        ) from error
    return keyring


def _password(keyring: Keyring, service: str) -> str:
    try:
        found = keyring.get_password(service, KEYRING_USER)
    except Exception as error:  # each system's backend has errors of its own
        raise ConfigError(
            f"The system's keyring cannot be read: {type(error).__name__}.",
            "Unlock it, or use journal.encryption_key_env.",
        ) from error
    if not found:
        raise ConfigError(
            f"The system's keyring has no password of {KEYRING_USER!r} for {service!r}.",
            f"`freehold journal key` makes one; keep it with `keyring set {service} {KEYRING_USER}`.",
        )
    return found
