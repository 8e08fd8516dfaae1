"""The ownership panel: the points of a real store with their evidence, checked again when the policy changes."""

from __future__ import annotations

import html
import time
from pathlib import Path

import msgspec
import pytest
from dashboard_fixtures import Desk, fill
from test_dashboard import get, served

from freehold.dashboard import ownership as panel
from freehold.domain.ownership import ASKED
from freehold.store import Store
from freehold.store.artifacts import TENSORS


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return fill(tmp_path, total=60)


def test_points_and_their_evidence(desk: Desk) -> None:
    with served(desk.settings) as url:
        text = html.unescape(get(url, "/")[2])
        assert "10 of 24 points" in text and all(asked in text for asked in ASKED.values())
        assert "Not legal advice" in text
        text = html.unescape(get(url, f"/tasks/{desk.tasks['triage']}")[2])
        assert "6 of 6 points" in text and "as certified by the SHA-256" in text and "dr_00000001" in text
        text = html.unescape(get(url, f"/tasks/{desk.tasks['urgency']}")[2])
        assert "2 of 6 points" in text and "4 of 24 requests had no answer" in text and "To get it" in text


def test_it_is_checked_again_when_it_is_old_or_the_policy_changed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.open(desk.settings.data, desk.settings.control_url)
    first = panel.checked(store, desk.settings)
    victim = store.students_root / "triage" / TENSORS
    victim.write_bytes(victim.read_bytes()[:-1] + b"\xff")
    assert panel.checked(store, desk.settings) is first  # a moment ago: a page in the browser is made anew every 5 s
    monkeypatch.setattr(panel, "FRESH_NS", 0)
    second = panel.checked(store, desk.settings)
    assert second.got == first.got - 1
    monkeypatch.setattr(panel, "FRESH_NS", 10**15)
    assert panel.checked(store, desk.settings) is second
    policy = store.control.current_policy()
    store.control.publish_policy(msgspec.structs.replace(policy, tasks={}), policy.version)
    assert panel.checked(store, desk.settings).got < second.got
    [task, *_] = store.control.tasks.list()
    store.control.tasks.put(msgspec.structs.replace(task, task_id="task_new", created_ns=time.time_ns()))
    assert len(panel.checked(store, desk.settings).tasks) == len(first.tasks) + 1
    store.close()
