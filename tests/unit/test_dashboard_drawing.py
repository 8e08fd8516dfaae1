"""Drawings stay on their canvas, figures read well, odd requests are shown, and slow pages give up their callers."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.config import Settings
from freehold.dashboard import desk as desk_module
from freehold.dashboard.charts import HEIGHT, VOLUME_HEIGHT, WIDTH, loss_bar, share_chart
from freehold.dashboard.desk import THREADS, WAITING, Desk
from freehold.dashboard.exchange import view_request, view_response
from freehold.dashboard.queries import SECOND, Bucket, Series
from freehold.dashboard.show import ago, clip, percent, span
from freehold.domain.errors import StoreError
from freehold.store import Store

_counts = st.lists(st.tuples(st.integers(0, 500), st.floats(0, 1)), min_size=1, max_size=70)


@given(_counts)
def test_the_share_chart_stays_on_its_canvas(counts: list[tuple[int, float]]) -> None:
    counts[0] = (max(1, counts[0][0]), counts[0][1])  # a series begins with traffic
    buckets = tuple(Bucket(i * SECOND, n, int(n * part)) for i, (n, part) in enumerate(counts))
    chart = share_chart(Series(SECOND, buckets))
    assert chart is not None
    points = [tuple(map(float, point.split(","))) for point in chart.line.split()]
    assert points == sorted(points, key=lambda point: point[0])
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)
    assert len(points) == 2 + sum(bucket.requests > 0 for bucket in buckets)
    assert points[1][1] == pytest.approx(HEIGHT * (1 - buckets[0].owned / buckets[0].requests), abs=0.06)
    for slot in chart.slots:
        assert slot.x >= 0 and slot.x + slot.width <= WIDTH + 0.5
        assert slot.volume_y + slot.volume_height == pytest.approx(VOLUME_HEIGHT, abs=0.02)
    assert share_chart(Series(SECOND, ())) is None


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.001, 0.5))
def test_the_loss_bar_shows_on_which_side_of_epsilon_the_loss_is(a: float, b: float, epsilon: float) -> None:
    lower, upper = min(a, b), max(a, b)
    bar = loss_bar(lower, upper, epsilon)
    assert 0 < bar.epsilon_x <= 50 and 0 <= bar.x <= 98 and 2 <= bar.width <= 100
    if lower > epsilon:
        assert bar.x >= bar.epsilon_x - 0.01
    if upper < epsilon and upper - lower > 0.05 * epsilon:
        assert bar.x + bar.width <= bar.epsilon_x + 2


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (None, "–"),
        (0.0, "0%"),
        (0.00001, "<0.01%"),
        (0.0042, "0.42%"),
        (0.031, "3.1%"),
        (0.05, "5%"),
        (0.624, "62%"),
        (0.9996, ">99.9%"),
        (1.0, "100%"),
    ],
)
def test_shares(share: float | None, text: str) -> None:
    assert percent(share) == text


def test_times_and_lengths() -> None:
    now = 1_772_438_400 * SECOND
    assert [ago(now - back * SECOND, now) for back in (-5, 12, 200, 7200, 400_000)] == [
        "0 s ago",
        "12 s ago",
        "3 min ago",
        "2 h ago",
        "25 Feb 2026",
    ]
    assert [span(value) for value in (420, 120_400, 3_200_000)] == ["0.4 ms", "120 ms", "3.2 s"]
    assert clip("abc", 3) == "abc" and clip("abcd", 3) == "abc… (1 more characters)"


def test_requests_of_every_shape_are_shown() -> None:
    parts = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "data:…"}}]
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "c1"}]}
    body = msgspec.json.encode({"model": "m", "messages": [{"role": "user", "content": parts}, call, 7], "n": 2})
    view = view_request(body)
    assert [(said.role, said.text) for said in view.messages] == [("user", "look"), ("assistant", ""), ("?", "")]
    assert "image_url" in view.messages[0].note and "tool_calls" in view.messages[1].note
    assert '"n": 2' in view.rest and view.raw == ""
    for odd in (b"", b"\xff\xfe", b"[1]", b'{"messages": 3}', b"[" * 100_000, b'{"a":"\\ud800"}'):
        shown = view_request(odd)
        assert shown.messages == () and len(shown.raw) <= 21_000
        view_response(odd).encode()
    many = msgspec.json.encode({"messages": [{"role": "user", "content": "x"}] * 250})
    assert view_request(many).left_out == 50


def test_a_slow_page_gives_up_its_caller_and_a_crowd_is_turned_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk_module, "PAGE_SECONDS", 0.2)
    desk = Desk(Settings(data_dir=str(tmp_path)))
    go_on = threading.Event()

    def slow(_: Store) -> str:
        go_on.wait(30)
        return "late"

    async def crowd() -> list[str | BaseException]:
        try:
            return await asyncio.gather(
                *(desk.make(slow) for _ in range(THREADS + WAITING + 1)), return_exceptions=True
            )
        finally:
            go_on.set()

    async def both() -> tuple[list[str | BaseException], str]:
        found = await crowd()
        monkeypatch.setattr(desk_module, "PAGE_SECONDS", 20.0)
        return found, await _until_served(desk)

    found, after = asyncio.run(both())
    assert all(isinstance(error, StoreError) for error in found)
    told = [str(error) for error in found]
    assert sum("Too many pages" in text for text in told) == 1
    assert sum("not ready within" in text for text in told) == THREADS + WAITING
    assert after == "quick"


async def _until_served(desk: Desk) -> str:
    """The desk serves again as soon as one slow page has ended."""
    while True:
        try:
            return await desk.make(lambda _: "quick")
        except StoreError:
            await asyncio.sleep(0.01)
