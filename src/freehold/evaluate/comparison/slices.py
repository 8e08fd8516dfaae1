"""Which samples belong together: by length of the prompt, by a value of the answer, by time, by key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from freehold.domain.answers import leaves, parse_object
from freehold.domain.evaluations import SliceKind
from freehold.domain.evidence import Sample
from freehold.evaluate.comparison.rows import Row

THIRDS = 3
MOST_VALUES = 12
"""A field with more different values is no label."""
MOST_FIELDS = 3
"""Of those with few values, the ones that say most: see `_by_value`."""
COVERED = 0.9
"""Share of the answers that a field must be in."""
MOST_KEYS = 8
_CLIP = 60


class Group(NamedTuple):
    """Samples that belong together."""

    by: SliceKind
    name: str
    rows: tuple[Row, ...]


def groups(rows: Sequence[Row]) -> list[Group]:
    """Every slice that tells samples apart; a kind that puts them all together is left out."""
    found: list[Group] = []
    for kind in (_by_length, _by_value, _by_time, _by_key):
        found += kind(rows)
    return found


def _by_length(rows: Sequence[Row]) -> list[Group]:
    """Tertiles of the prompt's length in characters; equal lengths stay together."""
    lengths = sorted(len(row.sample.prompt) for row in rows)
    if not lengths or lengths[0] == lengths[-1]:
        return []
    edges = [lengths[len(lengths) * third // THIRDS] for third in (1, 2)]

    def name(row: Row) -> str:
        length = len(row.sample.prompt)
        if length < edges[0]:
            return f"under {edges[0]:,} characters"
        return (
            f"{edges[0]:,} to {edges[1] - 1:,} characters" if length < edges[1] else f"{edges[1]:,} or more characters"
        )

    return _named("length", rows, name, key=lambda row: len(row.sample.prompt))


def _by_time(rows: Sequence[Row]) -> list[Group]:
    """Thirds of the time between the first sample and the last."""
    if not rows:
        return []
    first, last = min(row.sample.at_ns for row in rows), max(row.sample.at_ns for row in rows)
    if first == last:
        return []
    width = (last - first) / THIRDS

    def name(row: Row) -> str:
        third = min(THIRDS - 1, int((row.sample.at_ns - first) / width))
        begins, ends = (_time(first + round(edge * width), last - first) for edge in (third, third + 1))
        return f"{begins} – {ends}"

    return _named("time", rows, name, key=lambda row: row.sample.at_ns)


def _by_key(rows: Sequence[Row]) -> list[Group]:
    """The keys with most samples, and all others together."""
    counts = Counter(row.key for row in rows)
    if len(counts) < 2:
        return []
    often = {key for key, _ in counts.most_common(MOST_KEYS)}

    def name(row: Row) -> str:
        return (row.key or "no key") if row.key in often else "other keys"

    return _named("key", rows, name, key=lambda row: -counts[row.key])


def _by_value(rows: Sequence[Row]) -> list[Group]:
    """Values of the incumbent's answers, where there are few: the answer itself, or fields of a JSON object.

    Of more fields than `MOST_FIELDS` those whose commonest value is least common come first: they part the samples
    most evenly.
    """
    fields: dict[str, dict[str, str]] = {}
    for row in rows:
        for field, value in _values(row.sample).items():
            fields.setdefault(field, {})[row.sample.trace_id] = value
    chosen: list[tuple[float, str]] = []
    for field, values in fields.items():
        counts = Counter(values.values())
        if len(values) >= COVERED * len(rows) and 2 <= len(counts) <= MOST_VALUES:
            chosen.append((counts.most_common(1)[0][1] / len(values), field))
    return [group for _, field in sorted(chosen)[:MOST_FIELDS] for group in _of_field(rows, field, fields[field])]


def _of_field(rows: Sequence[Row], field: str, values: dict[str, str]) -> list[Group]:
    counts = Counter(values.values())

    def name(row: Row) -> str:
        value = values.get(row.sample.trace_id)
        shown = "none" if value is None else value if len(value) <= _CLIP else f"{value[:_CLIP]}…"
        return f"{field} = {shown}" if field else shown

    return _named("value", rows, name, key=lambda row: -counts[values.get(row.sample.trace_id, "")])


def _values(sample: Sample) -> dict[str, str]:
    """Field → canonical JSON of its value; the empty field is the answer itself, if it is no object."""
    parsed = parse_object(sample.answer)
    if parsed is None:
        return {"": sample.answer.strip()}
    return {".".join(path): value for path, value in leaves(parsed).items()}


def _named(by: SliceKind, rows: Sequence[Row], name: Callable[[Row], str], key: Callable[[Row], int]) -> list[Group]:
    """Groups by name, in order of the smallest `key` of each; none if all rows have one name."""
    found: dict[str, list[Row]] = {}
    for row in sorted(rows, key=key):
        found.setdefault(name(row), []).append(row)
    return [Group(by, label, tuple(members)) for label, members in found.items()] if len(found) > 1 else []


def _time(at_ns: int, span_ns: int) -> str:
    at = datetime.fromtimestamp(at_ns / 1e9, UTC)
    if span_ns >= 3 * 86_400 * 10**9:
        return f"{at.day} {at:%b %Y}"
    return f"{at.day} {at:%b, %H:%M}" if span_ns >= 600 * 10**9 else f"{at:%H:%M:%S}"
