"""The geometry of the drawings: numbers in, coordinates out. The templates draw them as SVG. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from freehold.dashboard.queries import SECOND, Bucket, Series

WIDTH, HEIGHT = 720.0, 180.0
VOLUME_HEIGHT = 36.0


class Slot(NamedTuple):
    """One bucket as it is drawn: its column, and what it says."""

    x: float
    width: float
    volume_y: float
    volume_height: float
    label: str
    bucket: Bucket


class ShareChart(NamedTuple):
    """Owned share over time, and below it how many requests there were."""

    line: str
    """Points of the share's polyline."""
    area: str
    """Points of the polygon below it."""
    dot: tuple[float, float] | None
    """The newest share."""
    slots: tuple[Slot, ...]
    ticks: tuple[str, ...]
    """Times at the left end, the middle and the right end."""
    most: int
    """Requests of the fullest bucket."""


class LossBar(NamedTuple):
    """A loss interval against ε on a scale of 0 to 100."""

    x: float
    width: float
    epsilon_x: float
    beyond: bool
    """The interval goes on to the right of the scale."""


def share_chart(series: Series) -> ShareChart | None:
    """The chart of a series; None if it is empty."""
    buckets = series.buckets
    if not buckets:
        return None
    step = WIDTH / len(buckets)
    most = max(bucket.requests for bucket in buckets)
    points = [
        (round((index + 0.5) * step, 1), round(HEIGHT * (1 - bucket.owned / bucket.requests), 1))
        for index, bucket in enumerate(buckets)
        if bucket.requests
    ]
    # The first and last shares are drawn out to the edges: a single bucket is a line too.
    drawn = [(0.0, points[0][1]), *points, (WIDTH, points[-1][1])]
    line = " ".join(f"{x},{y}" for x, y in drawn)
    slots = tuple(_slot(index, bucket, step, most, series.width_ns) for index, bucket in enumerate(buckets))
    ends = (buckets[0].at_ns, buckets[len(buckets) // 2].at_ns, buckets[-1].at_ns + series.width_ns)
    return ShareChart(
        line=line,
        area=f"0,{HEIGHT} {line} {WIDTH},{HEIGHT}",
        dot=(WIDTH, points[-1][1]),
        slots=slots,
        ticks=tuple(_time(at, series.width_ns) for at in (ends if len(buckets) > 2 else ends[::2])),
        most=most,
    )


def loss_bar(lower: float, upper: float, epsilon: float) -> LossBar:
    """The interval [lower, upper] and ε. The scale ends at 2ε or more; a wide interval may go on beyond its end."""
    scale = max(2 * epsilon, min(upper * 1.15, max(4 * epsilon, 3 * lower)))
    left, right = min(lower / scale, 1.0) * 100, min(upper / scale, 1.0) * 100
    return LossBar(
        x=round(min(left, 98.0), 2),
        width=round(max(right - left, 2.0), 2),
        epsilon_x=round(epsilon / scale * 100, 2),
        beyond=upper > scale,
    )


def _slot(index: int, bucket: Bucket, step: float, most: int, width_ns: int) -> Slot:
    height = VOLUME_HEIGHT * bucket.requests / most
    return Slot(
        x=round(index * step, 2),
        width=round(step, 2),
        volume_y=round(VOLUME_HEIGHT - height, 2),
        volume_height=round(height, 2),
        label=_time(bucket.at_ns, width_ns),
        bucket=bucket,
    )


def _time(at_ns: int, width_ns: int) -> str:
    """As exact as the buckets are wide."""
    at = datetime.fromtimestamp(at_ns / SECOND, UTC)
    if width_ns >= 86_400 * SECOND:
        return f"{at.day} {at:%b %Y}"
    if width_ns >= 900 * SECOND:
        return f"{at.day} {at:%b}, {at:%H:%M}"
    return f"{at:%H:%M:%S}" if width_ns < 60 * SECOND else f"{at:%H:%M}"
