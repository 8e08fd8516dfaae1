"""Base models by name: in the configured folders, or fetched from the hub before; each checked before it is used.

The hash of a base is written down when it is first used, in `DATA/bases/known.json`; when it is no longer the same, it
is not used before somebody has said that the change is meant.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from freehold.config import Settings
from freehold.domain.counsel import Decision
from freehold.domain.errors import ConfigError, FreeholdError, StudentError
from freehold.serving.bases.base import Base, Facts, facts_of
from freehold.serving.bases.files import HashCache, folder_sha256, pickles_in, safe_files, write_json
from freehold.serving.bases.rights import BaseRights, require_rights, rights_of
from freehold.serving.folder import BaseUsed
from freehold.store.counsel import today

_TOLD = 3
"""Changed files that a message names."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What a base was when it was first used."""

    sha256: str
    files: dict[str, str]
    """Name → SHA-256."""
    since: str
    """The day, as ISO 8601."""


class Place(NamedTuple):
    """Where a base model lies."""

    name: str
    folder: Path
    source: Literal["folder", "hub"]


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A base model as a list shows it: nothing is hashed for it."""

    name: str
    folder: Path
    source: Literal["folder", "hub"]
    facts: Facts | None = None
    """None: it cannot be used, and `problem` says why."""
    rights: BaseRights | None = None
    problem: str = ""
    hint: str = ""
    known_sha256: str = ""
    """As of its first use; empty: it was not used yet."""


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """A base's files against what is known of them."""

    name: str
    folder: Path
    sha256: str
    files: dict[str, str]
    """Name → SHA-256."""
    since: str
    """Since when its hash is known: today, where it is new."""
    changed: tuple[str, ...] = ()
    """What became of files since: empty where they are the same."""


def find_base(settings: Settings, name: str, decisions: Iterable[Decision] = ()) -> Base:
    """The base model called `name`: a folder under `[models] folders`, a path, or a hub name that was fetched.

    Its hashes are compared with those of its first use, and written down where this is the first.

    Raises:
        ConfigError: there is none of this name, or it was not fetched.
        StudentError: its files are missing, cut off, pickles, links, or others than before.
        TrainingError: it is of an architecture that is not served here, or quantised.
        RightsError: its licence does not allow this use, or is unknown.
        StoreError: the data folder cannot be written.
    """
    place = locate(settings, name)
    files = safe_files(place.folder)
    facts = facts_of(files)
    rights = rights_of(place.name, place.folder, settings.organisation, settings.models.licences, today(), decisions)
    require_rights(place.name, rights)
    checked = _check(settings, place, files, fresh=False)
    if checked.changed:
        raise StudentError(
            f"The base model {place.name} is not what it was on {checked.since}: {'; '.join(checked.changed[:_TOLD])}.",
            f"Put its files back; if the change is meant, `freehold models check {place.name} --accept`: students made "
            "from it must then be trained again.",
        )
    _remember(settings, checked)
    used = BaseUsed(name=place.name, sha256=checked.sha256, licence=rights.licence, context=facts.context)
    return Base(
        name=place.name,
        folder=place.folder,
        source=place.source,
        used=used,
        architecture=facts.architecture,
        shape=facts.shape,
        parameters=facts.parameters,
        dtype=facts.dtype,
        size=facts.size,
        chat_template=facts.chat_template,
        memory=facts.memory,
        rights=rights,
        beside=pickles_in(place.folder),
    )


def require_same(base: Base, used: BaseUsed) -> None:
    """Stop where a student was made from another base than this, or from other weights of it.

    Raises:
        StudentError: the student's adapter or weights do not belong to it.
    """
    if used.sha256 == base.used.sha256:
        return
    if used.name != base.name:
        raise StudentError(
            f"The student was made from {used.name}, not from {base.name}: its adapter does not fit.",
            f"Serve it on {used.name} (`freehold models`), or train it again on {base.name}.",
        )
    raise StudentError(
        f"The weights, configuration or tokenizer of {base.name} have changed since the student was made from it.",
        f"Put the files of {base.name} back, or train the student again.",
    )


def list_bases(settings: Settings, decisions: Iterable[Decision] = ()) -> list[Listed]:
    """Every base model in the configured folders, and every configured hub name; what cannot be used says why.

    Raises:
        StoreError: a folder cannot be read.
    """
    kept, known = tuple(decisions), _known(settings)
    found: list[Listed] = []
    for place in _places(settings):
        entry = Listed(
            name=place.name,
            folder=place.folder,
            source=place.source,
            known_sha256=known[place.name].sha256 if place.name in known else "",
        )
        try:
            if not place.folder.is_dir():
                raise _not_fetched(place.name)
            facts = facts_of(safe_files(place.folder))
            licences, organisation = settings.models.licences, settings.organisation
            rights = rights_of(place.name, place.folder, organisation, licences, today(), kept)
            found.append(msgspec.structs.replace(entry, facts=facts, rights=rights))
        except FreeholdError as error:
            found.append(msgspec.structs.replace(entry, problem=error.message, hint=error.hint))
    return found


def check_hashes(settings: Settings, name: str, *, accept: bool = False) -> Checked:
    """Hash every file of a base anew, and say what changed since its first use.

    Args:
        settings: where it is looked for.
        name: the base.
        accept: take the files as they are now for the known ones.

    Raises:
        ConfigError, StudentError, StoreError: see `find_base`.
    """
    place = locate(settings, name)
    checked = _check(settings, place, safe_files(place.folder), fresh=True)
    if accept or not checked.changed:
        _remember(settings, checked, replace=accept)
    return checked


def locate(settings: Settings, name: str) -> Place:
    """Where the base called `name` lies.

    Raises:
        ConfigError: there is none of this name, or it was not fetched.
    """
    if not name:
        raise ConfigError(
            "No base model is named.", 'Name one: [students] base = "NAME"; `freehold models` lists them.'
        )
    places = {place.name: place for place in reversed(list(_places(settings)))}
    if name in places and places[name].folder.is_dir():
        return places[name]
    if name in places:
        raise _not_fetched(name)
    path = Path(name)
    if path.is_absolute() and path.is_dir():
        known = next((place for place in places.values() if place.folder == path), None)
        return known or Place(name, path, "folder")
    raise ConfigError(
        f"There is no base model {name!r} in {', '.join(settings.models.folders) or 'any folder'}, and [models] hub "
        "does not list it.",
        "`freehold models` lists what there is; put the model's folder there, or its hub name into [models] hub.",
    )


def hub_cache() -> Path:
    """Where huggingface_hub keeps what was fetched; its own variables say otherwise."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "huggingface"
    return Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser()


def _places(settings: Settings) -> Iterator[Place]:
    for root in settings.models.folders:
        if not Path(root).is_dir():
            continue
        for folder in sorted(Path(root).iterdir()):
            if folder.is_dir() and not folder.name.startswith("."):
                yield Place(folder.name, folder, "folder")
    for name in settings.models.hub:
        yield Place(name, _snapshot(name), "hub")


def _snapshot(name: str) -> Path:
    """A hub model's folder in huggingface_hub's cache: of the commit that `main` stood for when it was fetched."""
    cached = hub_cache() / f"models--{name.replace('/', '--')}"
    main = cached / "refs" / "main"
    commit = main.read_text(encoding="utf-8").strip() if main.is_file() else "none"
    return cached / "snapshots" / Path(commit).name


def _not_fetched(name: str) -> ConfigError:
    return ConfigError(f"The base model {name} was not fetched yet.", f"Fetch it: `freehold models fetch {name}`.")


def _check(settings: Settings, place: Place, files: dict[str, Path], *, fresh: bool) -> Checked:
    cache = HashCache(_room(settings) / "hashes.json")
    hashes = {name: cache.sha256(path, fresh=fresh) for name, path in files.items()}
    cache.save()
    known = _known(settings).get(place.name)
    return Checked(
        name=place.name,
        folder=place.folder,
        sha256=folder_sha256(hashes),
        files=hashes,
        since=known.since if known else today().isoformat(),
        changed=tuple(_differences(known.files, hashes)) if known else (),
    )


def _differences(before: dict[str, str], now: dict[str, str]) -> Iterator[str]:
    for name in sorted(before.keys() | now.keys()):
        if name not in now:
            yield f"{name} is gone"
        elif name not in before:
            yield f"{name} is new"
        elif before[name] != now[name]:
            yield f"{name} has changed"


def _room(settings: Settings) -> Path:
    return settings.data / "bases"


def _known(settings: Settings) -> dict[str, Known]:
    path = _room(settings) / "known.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Known])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError) as error:
        raise StudentError(
            f"{path} cannot be read, so nobody knows whether base models have changed: {error}.",
            "Put it back from a backup; or move it away, and look at each base before it is used again.",
        ) from error


def _remember(settings: Settings, checked: Checked, *, replace: bool = False) -> None:
    known = _known(settings)
    if checked.name in known and not replace:
        return
    known[checked.name] = Known(sha256=checked.sha256, files=checked.files, since=today().isoformat())
    write_json(_room(settings) / "known.json", known)
