"""Gather fingerprints that differ only in slots (a customer's name in the system prompt) into templates.

In the manner of Drain (He et al., "Drain: an online log parsing approach with fixed depth tree", ICWS 2017): shapes of
one context and length are clustered by the words they share. A place is a slot only if it takes many values, so that
two calls which differ in one telling word ("intent", "urgency") are never made one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from freehold.domain.fingerprint import Shape, Template, task_id_of_fingerprint

MIN_VARIANTS = 20
"""Fewest shapes that make a template."""
MIN_SLOT_VALUES = 6
"""Fewest values a place must take to be a slot."""
MIN_SHARED_WORDS = 0.6
MAX_REPEATS = 0.5
"""A slot's commonest value may stand in at most this share of the variants."""


def find_templates(shapes: Iterable[Shape]) -> list[Template]:
    """Templates among `shapes`, each of which was seen too rarely to be a task of its own."""
    groups: dict[tuple[str, int], list[list[str]]] = {}
    for shape in shapes:
        words = shape.masked.split(" ")
        groups.setdefault((shape.context, len(words)), []).append(words)
    found: dict[str, Template] = {}
    for (context, _), members in sorted(groups.items()):
        for cluster in _clusters(members):
            for words in _slots(cluster):
                template = Template(task="", context=context, words=words)
                task = task_id_of_fingerprint(template.fingerprint)
                found.setdefault(task, msgspec.structs.replace(template, task=task))
    return list(found.values())


def _clusters(members: Sequence[list[str]]) -> list[list[list[str]]]:
    clusters: list[list[list[str]]] = []
    for words in members:
        for cluster in clusters:
            shared = sum(a == b for a, b in zip(cluster[0], words, strict=True))
            if shared >= MIN_SHARED_WORDS * len(words):
                cluster.append(words)
                break
        else:
            clusters.append([words])
    return [cluster for cluster in clusters if len(cluster) >= MIN_VARIANTS]


def _slots(variants: Sequence[list[str]]) -> list[tuple[str | None, ...]]:
    """The words with slots (None; neighbouring slots are one). A place that varies but is no slot tells calls apart."""
    places = [Counter(values) for values in zip(*variants, strict=True)]
    for place, counts in enumerate(places):
        if len(counts) > 1 and not _is_slot(counts):
            parts = [[words for words in variants if words[place] == value] for value in sorted(counts)]
            return [found for part in parts if len(part) >= MIN_VARIANTS for found in _slots(part)]
    words: list[str | None] = []
    for counts in places:
        if len(counts) == 1:
            words.extend(counts)
        elif not words or words[-1] is not None:
            words.append(None)
    return [tuple(words)] if None in words else []


def _is_slot(counts: Counter[str]) -> bool:
    return len(counts) >= MIN_SLOT_VALUES and max(counts.values()) <= MAX_REPEATS * counts.total()
