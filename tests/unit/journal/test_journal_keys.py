"""Keys come from the environment or the keyring, are never shown, and are checked before a gateway starts."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from journal_fixtures import KEYS, OTHER_SECRET, SECRET

from freehold.config import JournalSettings, load_settings
from freehold.domain.errors import ConfigError
from freehold.gateway.runtime import Runtime
from freehold.record.opening import journal_keys, journal_options
from freehold.store.journal.keys import JournalKeys, new_key
from freehold.store.journal.options import DEFAULTS


class Keyring:
    """A keyring that holds one password, or fails."""

    def __init__(self, password: str | None = None, error: Exception | None = None) -> None:
        self.password, self.error = password, error
        self.asked: list[tuple[str, str]] = []

    def get_password(self, service_name: str, username: str, /) -> str | None:
        self.asked.append((service_name, username))
        if self.error is not None:
            raise self.error
        return self.password


def test_the_defaults_of_the_settings_are_the_stores_own() -> None:
    assert journal_options(JournalSettings()) == DEFAULTS
    own = journal_options(JournalSettings(sync_ms=5, strict=True, keep_sealed_hours=0.5, max_bytes=2_000_000))
    assert (own.sync_seconds, own.strict, own.keep_sealed_seconds, own.max_bytes) == (0.005, True, 1800, 2_000_000)


@pytest.mark.parametrize("field", [{"sync_ms": 0}, {"segment_bytes": 10}, {"max_bytes": 5}, {"keep_sealed_hours": -1}])
def test_settings_out_of_range_are_refused(tmp_path: Path, field: dict[str, int]) -> None:
    [(name, value)] = field.items()
    path = tmp_path / "freehold.toml"
    path.write_text(f"[journal]\n{name} = {value}\n")
    with pytest.raises(ConfigError, match=rf"\$\.journal\.{name}"):
        load_settings(path)


def test_a_key_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOURNAL_KEY", f" {SECRET},{OTHER_SECRET} ")
    found = journal_keys(JournalSettings(encryption_key_env="JOURNAL_KEY"))
    assert found is not None and found.writing == KEYS.writing and len(found.ids) == 2


def test_a_key_from_the_keyring() -> None:
    keyring = Keyring(SECRET)
    found = journal_keys(JournalSettings(encryption_keyring="our service"), keyring=keyring)
    assert found is not None and found.ids == KEYS.ids
    assert keyring.asked == [("our service", "journal")]


@pytest.mark.parametrize(
    ("keyring", "says"),
    [
        (Keyring(None), "keyring set ours journal"),
        (Keyring(error=RuntimeError("locked: hunter2")), "cannot be read: RuntimeError"),
        (Keyring("no key at all"), "does not hold a key of the journal"),
    ],
)
def test_a_keyring_without_the_key(keyring: Keyring, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as raised:
        journal_keys(JournalSettings(encryption_keyring="ours"), keyring=keyring)
    assert "hunter2" not in str(raised.value) and "no key at all" not in str(raised.value)


def test_a_system_without_a_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real package, told that there is none."""
    keyring = pytest.importorskip("keyring", reason="needs freehold[keyring]")
    from keyring.backends.fail import Keyring as NoKeyring

    before = keyring.get_keyring()
    keyring.set_keyring(NoKeyring())
    try:
        with pytest.raises(ConfigError, match="cannot be read: NoKeyringError"):
            journal_keys(JournalSettings(encryption_keyring="ours"))
    finally:
        keyring.set_keyring(before)
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(ConfigError, match="package is not installed"):
        journal_keys(JournalSettings(encryption_keyring="ours"))


WRONG: list[Callable[[str], str]] = [
    lambda key: key[:-4],
    lambda key: key + "," + key[1:],
    lambda key: key.replace("A", "!", 1),
    lambda key: "",
]


@pytest.mark.parametrize("spoil", WRONG)
def test_what_is_no_key_is_refused_and_not_shown(spoil: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    text = spoil(SECRET)
    monkeypatch.setenv("JOURNAL_KEY", text)
    with pytest.raises(ConfigError, match="JOURNAL_KEY") as raised:
        journal_keys(JournalSettings(encryption_key_env="JOURNAL_KEY"))
    assert not text or text not in str(raised.value)
    assert SECRET not in repr(KEYS) and KEYS.ids[0] in repr(KEYS)


def test_two_places_are_one_too_many() -> None:
    with pytest.raises(ConfigError, match="both set"):
        journal_keys(JournalSettings(encryption_key_env="A", encryption_keyring="b"), keyring=Keyring(SECRET))


def test_a_gateway_does_not_start_without_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "freehold.toml"
    path.write_text(
        '[journal]\nencryption_key_env = "NO_SUCH_KEY"\n[upstreams.a]\nbase_url = "http://127.0.0.1:9/v1"\n'
    )
    settings = load_settings(path)
    with pytest.raises(ConfigError, match="NO_SUCH_KEY"):
        Runtime(settings)
    monkeypatch.setenv("NO_SUCH_KEY", new_key())
    Runtime(settings)
    assert msgspec.to_builtins(settings)["journal"]["encryption_key_env"] == "NO_SUCH_KEY"


def test_new_keys_differ_and_are_keys() -> None:
    made = {new_key() for _ in range(20)}
    assert len(made) == 20
    assert all(len(JournalKeys.parse(key, "the test").ids) == 1 for key in made)
