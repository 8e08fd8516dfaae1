"""Find, read and check a configuration file."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from freehold.config.settings import Settings
from freehold.config.store_settings import check_store
from freehold.domain.errors import ConfigError

FILE_NAME = "freehold.toml"
ENVIRONMENT = "FREEHOLD_CONFIG"


def find_config(explicit: str | None = None) -> Path:
    """The configuration file: the flag, else `$FREEHOLD_CONFIG`, else `freehold.toml` here.

    Raises:
        ConfigError: there is no such file.
    """
    path = Path(explicit or os.environ.get(ENVIRONMENT) or FILE_NAME)
    if not path.is_file():
        raise ConfigError(
            f"There is no configuration file at {path.absolute()}.",
            "Run `freehold init` to write one, or name it with --config FILE.",
        )
    return path


def load_settings(path: Path) -> Settings:
    """Read `path`; relative folders and recipes' files in it are taken from where the file lies.

    Raises:
        ConfigError: it cannot be read, is not TOML, or a field is unknown or out of range (the message names it).
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        _no_counsel(path, raw)
        settings = _with_first_urls(msgspec.convert(raw, Settings))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.", "Check its permissions.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.", "Mend the line that is named.") from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}.", "`freehold init --print` shows every setting.") from error
    _check(path, settings)
    data = (path.parent / settings.data_dir).absolute()
    folders = tuple(str((path.parent / folder).absolute()) for folder in settings.models.folders)
    models = msgspec.structs.replace(settings.models, folders=folders)
    return msgspec.structs.replace(_with_recipes(path, settings), data_dir=str(data), models=models)


def _with_recipes(path: Path, settings: Settings) -> Settings:
    """Recipes that are files by their whole paths; what is no `.toml` is the name of a built-in one."""

    def whole(name: str) -> str:
        return str((path.parent / name).absolute()) if name.endswith(".toml") else name

    students = msgspec.structs.replace(settings.students, recipe=whole(settings.students.recipe))
    tasks = dict(settings.tasks)
    for name, task in tasks.items():
        if task.student.recipe is not None:
            own = msgspec.structs.replace(task.student, recipe=whole(task.student.recipe))
            tasks[name] = msgspec.structs.replace(task, student=own)
    return msgspec.structs.replace(settings, students=students, tasks=tasks)


def _no_counsel(path: Path, raw: dict[str, Any]) -> None:
    """Counsel's decisions were settings once: anybody who could edit the file could allow anything."""
    if "counsel" in raw:
        raise ConfigError(
            f"{path}: [[counsel]] is no setting any more: decisions are signed, and kept in the control store.",
            "Remove the table, then record each decision: `freehold rights decide --terms T --purpose P "
            "--allow (or --deny) --until DATE --by NAME`.",
        )


def _check(path: Path, settings: Settings) -> None:
    for name in settings.upstreams:
        _check_upstream(path, settings, name)
    check_store(str(path), settings.store)
    host = settings.gateway.host
    asks_for_keys = bool(settings.gateway.api_key_env) or settings.access.required
    if host not in ("localhost", "::1") and not host.startswith("127.") and not asks_for_keys:
        raise ConfigError(
            f"{path}: the gateway would listen on {host} and ask nobody for a key.",
            "Set access.required (with virtual keys) or gateway.api_key_env, or listen on 127.0.0.1.",
        )


def _check_upstream(path: Path, settings: Settings, name: str) -> None:
    upstream = settings.upstreams[name]
    for url in [deployment.base_url for deployment in upstream.deployments] or [upstream.base_url]:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(
                f"{path}: upstream {name!r} has base_url {url!r}.", "Give a URL that starts with http:// or https://."
            )
    if upstream.deployments and upstream.base_url != upstream.deployments[0].base_url:
        raise ConfigError(
            f"{path}: upstream {name!r} has both base_url and deployments.", "Move base_url into the deployments."
        )
    if upstream.health_path and not upstream.health_path.startswith("/"):
        raise ConfigError(
            f"{path}: upstream {name!r} has health_path {upstream.health_path!r}.", "Begin it with a slash."
        )
    for fallback in upstream.fallbacks:
        other = fallback if isinstance(fallback, str) else fallback.upstream
        if other not in settings.upstreams or other == name:
            raise ConfigError(
                f"{path}: upstream {name!r} falls back to {other!r}, which is not another upstream.",
                f"Name one of: {', '.join(sorted(settings.upstreams))}.",
            )


def _with_first_urls(settings: Settings) -> Settings:
    """Where an upstream has deployments, its base_url is the first one's: whoever asks whose it is looks there."""
    upstreams = {
        name: msgspec.structs.replace(upstream, base_url=upstream.deployments[0].base_url)
        if upstream.deployments and not upstream.base_url
        else upstream
        for name, upstream in settings.upstreams.items()
    }
    return msgspec.structs.replace(settings, upstreams=upstreams)
