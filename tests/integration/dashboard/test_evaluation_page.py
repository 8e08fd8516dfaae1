"""The page of a task's evaluation: bars for slices, answers side by side, and what the safety check found."""

from __future__ import annotations

import html
from contextlib import closing
from pathlib import Path

from dashboard_fixtures import settings_in
from evaluation_fixtures import TASK, keep_evaluations
from test_dashboard import get, served

from freehold.store import Store


def test_the_page_shows_bars_and_answers_side_by_side(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    with closing(Store.open(settings.data, settings.control_url)) as store, served(settings) as url:
        store.control.tasks.put(TASK)
        path = f"/tasks/{TASK.task_id}"
        assert "Nothing has been evaluated yet" in get(url, f"{path}/evaluation")[2]
        known = keep_evaluations(store)
        text = html.unescape(get(url, f"{path}/evaluation")[2])
        assert f'href="{path}/evaluation"' in get(url, path)[2]
        assert 'priority = "high"' in text and text.count('class="difference') == 2 * 15
        assert "burst into flames" in text and "12 Mill Lane" in text and "15 more" in text
        assert "75.0% (42.8% to 94.5%)" in text and "ifeval" in text and "$0.42" in text
        assert get(url, "/tasks/task_00000000000000ff/evaluation")[0] == 404
        assert known.comparison is not None and known.safety is not None
        for item in (known.comparison, known.safety):
            (store.data / item.path / "examples.parquet").unlink()
        text = html.unescape(get(url, f"{path}/evaluation")[2])
        assert "They were forgotten" in text and "The examples were forgotten" in text
