"""The table of terms: whose answers may train what, read once from the package's data file."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Literal
from urllib.parse import urlsplit

import msgspec

Answer = Literal["allow", "duties", "needs-counsel", "deny", "unknown"]


class Terms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One provider's terms on training with its outputs."""

    title: str
    train_classifier: Answer
    train_generative: Answer
    reason: str
    source: str
    date: str
    hosts: tuple[str, ...] = ()
    duties: tuple[str, ...] = ()


@cache
def terms_table() -> dict[str, Terms]:
    """Identifier → terms, for example `openai-api`."""
    raw = tomllib.loads((files("freehold.rights") / "tables" / "terms.toml").read_text(encoding="utf-8"))
    raw.pop("collected")
    return msgspec.convert(raw, dict[str, Terms])


def terms_of_url(base_url: str) -> str:
    """The identifier of the terms known for a URL's host, or `unknown`: a host that is not listed is never guessed."""
    host = urlsplit(base_url).hostname or ""
    return next((name for name, terms in terms_table().items() if host in terms.hosts), "unknown")
