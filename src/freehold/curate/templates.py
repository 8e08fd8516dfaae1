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
            words = _slots(cluster)
            if words is not None:
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


def _slots(variants: Sequence[list[str]]) -> tuple[str | None, ...] | None:
    """The words with slots (None; neighbouring slots are one), or None if some place varies but is not a slot."""
    words: list[str | None] = []
    for values in zip(*variants, strict=True):
        counts = Counter(values)
        if len(counts) == 1:
            words.append(values[0])
            continue
        commonest = counts.most_common(1)[0][1]
        if len(counts) < MIN_SLOT_VALUES or commonest > MAX_REPEATS * len(variants):
            return None
        if not words or words[-1] is not None:
            words.append(None)
    return tuple(words) if None in words else None
