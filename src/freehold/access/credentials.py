"""Secrets of virtual keys: made once, kept only as HMAC-SHA256 digests under a pepper.

The secrets are random (192 bits), so a fast digest is as safe as a slow one; the pepper makes a stolen control database
useless by itself.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path

from freehold.config import Settings
from freehold.config.environment import key_from
from freehold.domain.errors import ConfigError, StoreError
from freehold.store.secret_file import make_secret, read_secret

PREFIX = "fh-"
_RANDOM_BYTES = 24
_SHOWN = len(PREFIX) + 4
_MIN_PEPPER = 32


def new_secret() -> str:
    """The text of a new key."""
    return PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def shown(secret: str) -> str:
    """What lists show of a secret: enough to tell it from others, useless to guess the rest."""
    return f"{secret[:_SHOWN]}…"


class Pepper:
    """Digests secrets. Make one with `open`."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self.mark = hashlib.sha256(b"freehold pepper " + secret).hexdigest()
        """Says which pepper it is, and nothing about what it is: kept in the control store."""

    @classmethod
    def open(cls, settings: Settings, *, make: bool = False) -> Pepper | None:
        """The pepper of this installation; None if there is none yet and `make` does not ask for one.

        Raises:
            ConfigError: the environment variable that should hold it holds none, or too short a one.
            StoreError: its file cannot be made or read.
        """
        variable = settings.access.pepper_env
        if variable:
            return cls(_from_environment(variable))
        path = pepper_path(settings)
        try:
            if not path.exists():
                if not make:
                    return None
                make_secret(path)
            return cls(read_secret(path))
        except OSError as error:
            raise StoreError(f"The pepper {path} cannot be used: {error.strerror}.", "Check the folder.") from error
        except ValueError:
            # Not chained: the original error's text could hold part of the pepper.
            raise StoreError(
                f"The file {path} does not hold a pepper.",
                "Put it back from a backup; with another one, all keys must be made anew.",
            ) from None

    def digest(self, secret: bytes) -> str:
        """HMAC-SHA256, 64 hex digits."""
        return hmac.digest(self._secret, secret, "sha256").hex()

    def __repr__(self) -> str:
        return f"Pepper(mark={self.mark[:8]})"


def pepper_path(settings: Settings) -> Path:
    """Where the pepper lies, unless an environment variable holds it."""
    return settings.data / "keys" / "pepper"


def _from_environment(variable: str) -> bytes:
    secret = key_from(variable, "access.pepper_env").encode()
    if len(secret) < _MIN_PEPPER:
        raise ConfigError(
            f"The pepper in {variable} is shorter than {_MIN_PEPPER} characters.",
            f"Run `export {variable}=$(openssl rand -hex 32)`, with the same value on every host.",
        )
    return secret
