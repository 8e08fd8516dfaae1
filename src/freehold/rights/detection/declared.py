"""What a model's folder declares of its licence beside the text: its card, configurations, and headers of weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from freehold.rights.clauses import licences
from freehold.rights.detection.card import front_matter
from freehold.rights.detection.files import Entry, read_start
from freehold.rights.detection.headers import BadHeader, gguf_metadata, safetensors_metadata
from freehold.rights.detection.texts import decoded

_MAX_FILE = 16_000_000
_MAX_WEIGHTS = 64
"""Files of weights whose headers are read; those of one model say the same."""
_CARDS = ("readme.md", "model_card.md", "modelcard.md")
_CONFIGS = ("config.json", "adapter_config.json", "model_index.json", "params.json")
_GGUF_BASE = re.compile(r"general\.base_model\.\d+\.(name|repo_url)")
# Hugging Face's names of licences (its documentation, "Licenses"), where one name means one text.
_MEANS = {
    "apache-2.0": "apache-2.0",
    "mit": "mit",
    "llama2": "llama-2",
    "llama3": "llama-3",
    "llama3.1": "llama-3.1",
    "llama3.2": "llama-3.2",
    "llama3.3": "llama-3.3",
    "llama4": "llama-4",
    "bigscience-openrail-m": "bigscience-open-rail-m",
    "bigcode-openrail-m": "bigcode-open-rail-m-v1",
    "cc-by-nc-4.0": "cc-by-nc-4.0",
}
_ALSO = {
    "apache 2.0": "apache-2.0",
    "apache license 2.0": "apache-2.0",
    "apache license, version 2.0": "apache-2.0",
    "mit license": "mit",
    "the mit license": "mit",
}
_FAMILIES = {"gemma": "gemma-", "openrail": "big"}
"""Names that stand for several texts → how the ids of these begin."""
_SAYS_NOTHING = ("unknown", "")


class Declared(msgspec.Struct):
    """What was found."""

    names: dict[str, str] = {}
    """Where → which licence is declared there."""
    bases: tuple[str, ...] = ()
    """Models that this one is made of."""
    links: tuple[str, ...] = ()
    """Where the card says that the text is."""
    unread: tuple[str, ...] = ()
    """What could not be read, and why."""


def declared(entries: Iterable[Entry]) -> Declared:
    """What the files of a folder declare; only those at its top, and weights wherever they are.

    Raises:
        StoreError: a file cannot be read.
    """
    found = Declared(names={})
    weights = 0
    for entry in entries:
        read = _reader(entry.name)
        if read is None:
            continue
        is_weights = read in (_safetensors, _gguf)
        weights += is_weights
        if is_weights and (entry.problem or weights > _MAX_WEIGHTS):
            continue
        if entry.problem:
            found.unread += (f"{entry.name}: {entry.problem}",)
            continue
        try:
            read(entry, found)
        except BadHeader as error:
            if not is_weights:  # weights need say nothing: many are links to where they are kept, or have no header
                found.unread += (f"{entry.name}: {error}.",)
    found.bases = tuple(dict.fromkeys(base for base in found.bases if base))
    return found


def meaning(name: str) -> str | None:
    """The licence that a declared name stands for; None where it stands for none, or for several."""
    lowered = name.strip().lower()
    if lowered in licences():
        return lowered
    return _MEANS.get(lowered) or _ALSO.get(lowered)


def agrees(name: str, licence: str) -> bool:
    """Whether a declared name may stand for this licence."""
    lowered = name.strip().lower()
    if lowered in _SAYS_NOTHING:
        return True
    if lowered == "other" or lowered.startswith("other ("):
        return licence not in _MEANS.values()
    family = _FAMILIES.get(lowered)
    return licence.startswith(family) if family else meaning(name) == licence


def _reader(name: str) -> Callable[[Entry, Declared], None] | None:
    lowered = name.lower()
    if lowered in _CARDS:
        return _card
    if lowered in _CONFIGS:
        return _config
    if lowered.endswith(".gguf"):
        return _gguf
    return _safetensors if lowered.endswith(".safetensors") else None


def _card(entry: Entry, found: Declared) -> None:
    text = decoded(_whole(entry))
    if text is None:
        raise BadHeader("it is no text")
    fields = front_matter(text)
    name, called = fields.get("license", ""), fields.get("license_name", "")
    if called and name.lower() in ("other", ""):
        name = f"other ({called})"  # a name that anybody may have made up stands for no text
    if name:
        found.names[entry.name] = name
    found.links += (fields["license_link"],) if "license_link" in fields else ()
    found.bases += tuple(fields.get("base_model", "").split(", "))


def _config(entry: Entry, found: Declared) -> None:
    try:
        config = msgspec.json.decode(_whole(entry), type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadHeader("it is no JSON object") from error
    named: Any = config.get("license")
    if named:
        found.names[entry.name] = named if isinstance(named, str) else msgspec.json.encode(named).decode()
    base: Any = config.get("base_model_name_or_path") or config.get("base_model")
    found.bases += (base,) if isinstance(base, str) else ()


def _safetensors(entry: Entry, found: Declared) -> None:
    _header(entry, found, safetensors_metadata(entry.path), ("license", "modelspec.license"))


def _gguf(entry: Entry, found: Declared) -> None:
    pairs = gguf_metadata(entry.path)
    _header(entry, found, pairs, ("general.license",))
    found.bases += tuple(value for key, value in pairs.items() if _GGUF_BASE.fullmatch(key))


def _header(entry: Entry, found: Declared, pairs: Mapping[str, str], keys: tuple[str, ...]) -> None:
    for key in keys:
        if pairs.get(key):
            found.names[f"{entry.name} {key}"] = pairs[key]


def _whole(entry: Entry) -> bytes:
    data = read_start(entry.path, _MAX_FILE + 1)
    if len(data) > _MAX_FILE:
        raise BadHeader(f"it is larger than {_MAX_FILE:,} bytes")
    return data
