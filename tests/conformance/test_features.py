"""Every feature of every client, streamed or not, through the running gateway.

What the provider's model answers shows what of the request arrived (`provider/script.py`), so that an expected outcome
says both: the request came whole, and the answer did.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from clients.cases import Client
from clients.table import ANTHROPIC, OPENAI, TRANSLATED, Row
from provider import Provider


def cases(rows: Sequence[Row]) -> list[object]:
    return [
        pytest.param(row, feature, stream, id=f"{row.name}-{feature}{'-streamed' if stream else ''}")
        for row in rows
        for feature in sorted(row.features)
        for stream in row.streams(feature)
    ]


@pytest.mark.parametrize(("row", "feature", "stream"), cases([*OPENAI, *ANTHROPIC, *TRANSLATED]))
def test_feature(client: Callable[[Row], Client], provider: Provider, row: Row, feature: str, stream: bool) -> None:
    outcome = client(row).ask(feature, stream)
    expected = row.expected(feature)
    assert expected, "nothing would be tested"
    assert {key: outcome.get(key) for key in expected} == expected
    assert provider.last.target.partition("?")[0] == row.path
    assert bool(provider.last.json.get("stream")) is stream
