"""What a detector finds, and which of several findings in one place counts."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class Span(msgspec.Struct, frozen=True, order=True):
    """`text[start:end]` is a value of this kind, in characters; equal findings compare equal."""

    start: int
    end: int
    kind: str
    confidence: float
    """In (0, 1]: 1 where a check digit or checksum holds, less where only form or context speak for it."""


def resolve(found: Iterable[Span]) -> list[Span]:
    """Findings that do not overlap, in order of place.

    Where some overlap, what they cover together is one finding of the longest one's kind (of equally long ones the
    surest's, then the first's), so that no part of a value is left standing beside its other part.
    """
    clusters: list[list[Span]] = []
    end = -1
    for span in sorted(found, key=lambda span: (span.start, -span.end)):
        if span.start < end:
            clusters[-1].append(span)
        else:
            clusters.append([span])
        end = max(end, span.end)
    return [_merged(cluster) for cluster in clusters]


def _merged(cluster: list[Span]) -> Span:
    if len(cluster) == 1:
        return cluster[0]
    best = max(cluster, key=lambda span: (span.end - span.start, span.confidence))
    return Span(min(span.start for span in cluster), max(span.end for span in cluster), best.kind, best.confidence)
