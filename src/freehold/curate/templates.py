"""Gather fingerprints that differ only in slots (a customer's name in the system prompt) into templates.

In the manner of Drain (He et al., "Drain: an online log parsing approach with fixed depth tree", ICWS 2017): shapes of
one context and length are clustered by the words they share. A place is a slot only if it takes many values, so that
two calls which differ in one telling word ("intent", "urgency") are never made one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from freehold.domain.fingerprint import Shape, Template

MIN_VARIANTS = 8
"""Fewest shapes that make a template."""
MIN_SLOT_VALUES = 6
"""Fewest values a place must take to be a slot."""
MIN_SHARED_WORDS = 0.6
MAX_REPEATS = 0.5
"""A slot's commonest value may stand in at most this share of the variants."""


def find_templates(shapes: Iterable[tuple[Shape, str]]) -> list[Template]:
    """Templates among `shapes` (each with the task id it has now); the first variant's task id names the template."""
    groups: dict[tuple[str, int], list[tuple[list[str], str]]] = {}
    for shape, task in shapes:
        words = shape.masked.split(" ")
        groups.setdefault((shape.context, len(words)), []).append((words, task))
    found: dict[str, Template] = {}
    for (context, _), members in sorted(groups.items()):
        for cluster in _clusters(members):
            words = _slots([words for words, _ in cluster])
            if words is not None:
                template = Template(task=cluster[0][1], context=context, words=words)
                found.setdefault(template.fingerprint, template)
    return list(found.values())


def _clusters(members: Sequence[tuple[list[str], str]]) -> list[list[tuple[list[str], str]]]:
    clusters: list[list[tuple[list[str], str]]] = []
    for words, task in members:
        for cluster in clusters:
            head = cluster[0][0]
            shared = sum(a == b for a, b in zip(head, words, strict=True))
            if shared >= MIN_SHARED_WORDS * len(words):
                cluster.append((words, task))
                break
        else:
            clusters.append([(words, task)])
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
