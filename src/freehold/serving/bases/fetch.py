"""Fetching a base model from the hub: only names that the configuration lists, and only files that are used."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from freehold.config import Settings
from freehold.domain.errors import ConfigError, StudentError
from freehold.serving.bases.find import hub_cache

WANTED = ("*.safetensors", "*.safetensors.index.json", "*.json", "tokenizer.model", "merges.txt", "*.jinja")
"""With the card and licences: nothing that could run."""
_TEXTS = ("README.md", "LICEN[CS]E*", "NOTICE*", "USE_POLICY*", "*[Ll]icense*", "*[Aa]greement*", "*[Pp]olicy*")


def fetch_base(settings: Settings, name: str) -> Path:
    """Fetch a listed model into huggingface_hub's cache; what is there already is not fetched again.

    Raises:
        ConfigError: it is not listed, or huggingface_hub is not installed.
        StudentError: the hub cannot be reached, has no such model, or asks for a login.
    """
    if name not in settings.models.hub:
        raise ConfigError(
            f"{name!r} is not listed in [models] hub, and nothing else is ever fetched.",
            f'Add it: [models] hub = ["{name}"].',
        )
    try:
        hub: Any = import_module("huggingface_hub")
        errors: Any = import_module("huggingface_hub.errors")
    except ImportError as error:
        raise ConfigError(
            "Fetching base models needs huggingface_hub, which is not installed.",
            "`pip install freehold[train]`, or copy the model's folder into one of [models] folders.",
        ) from error
    try:
        found: Any = hub.snapshot_download(name, cache_dir=str(hub_cache()), allow_patterns=[*WANTED, *_TEXTS])
    except (errors.GatedRepoError, errors.RepositoryNotFoundError) as error:
        raise StudentError(
            f"The hub does not give out {name}: there is no such model, or its licence must be agreed to first.",
            "Look at its page; if it asks for consent, give it there and log in with `hf auth login`.",
        ) from error
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, OSError, ValueError) as error:
        raise StudentError(
            f"{name} could not be fetched: {str(error).partition(chr(10))[0]}",
            "Try again with a network; or copy the model's folder into one of [models] folders.",
        ) from error
    return Path(str(found))
