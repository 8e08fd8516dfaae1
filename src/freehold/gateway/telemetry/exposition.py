"""Prometheus' text format 0.0.4: lines `name{label="value"} number` below a HELP and a TYPE line for each family."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

from freehold.gateway.telemetry.families import BUCKETS, FAMILIES, NANO, PREFIX, Family

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

Samples = dict[str, dict[tuple[str, ...], Sequence[float]]]
"""Family → values of its labels (a gauge's first is the worker) → slots."""

_BOUNDS = (*map(str, BUCKETS), "+Inf")


def exposition(samples: Samples) -> str:
    """The text; families without samples are left out, except counters without labels, which begin at 0."""
    lines: list[str] = []
    for name, family in FAMILIES.items():
        series = samples.get(name)
        if series is None and family.kind == "counter" and not family.labels:
            series = {(): (0,)}
        if series:
            full = f"{PREFIX}{name}_total" if family.kind == "counter" else PREFIX + name
            lines += (f"# HELP {full} {family.about}", f"# TYPE {full} {family.kind}")
            names = ("worker", *family.labels) if family.kind == "gauge" else family.labels
            for values, slots in sorted(series.items()):
                lines += _lines(full, family, list(zip(names, values, strict=True)), slots)
    return "\n".join(lines) + "\n"


def _lines(name: str, family: Family, labels: list[tuple[str, str]], slots: Sequence[float]) -> Iterator[str]:
    if family.kind != "histogram":
        yield f"{name}{_braces(labels)} {_number(slots[0])}"
        return
    counts = list(accumulate(slots[1:]))
    for bound, count in zip(_BOUNDS, counts, strict=True):
        yield f"{name}_bucket{_braces([*labels, ('le', bound)])} {_number(count)}"
    yield f"{name}_sum{_braces(labels)} {_number(slots[0] / NANO)}"
    yield f"{name}_count{_braces(labels)} {_number(counts[-1])}"


def _braces(labels: Sequence[tuple[str, str]]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
