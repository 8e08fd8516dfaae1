"""Secrets that the settings name by an environment variable."""

from __future__ import annotations

import os

from freehold.domain.errors import ConfigError


def key_from(variable: str, setting: str) -> str:
    """The key in an environment variable that `setting` names.

    Raises:
        ConfigError: there is none.
    """
    key = os.environ.get(variable, "").strip()
    if not key or not key.isascii() or not key.isprintable():
        raise ConfigError(
            f"The environment variable {variable}, named by {setting}, holds no key.",
            f"Run `export {variable}=…` first.",
        )
    return key
