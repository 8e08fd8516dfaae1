"""Pages of agents' runs: whatever callers name theirs is text, and whose run it is must be clear."""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Generator
from contextlib import closing
from html import unescape
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec
import pytest
from bench.record.agent_traffic import START_NS, Level, Stage
from dashboard_fixtures import SCRIPT, settings_in

from freehold.dashboard import create_dashboard
from freehold.domain.traces import Feedback, Trace
from freehold.gateway import serve_in_thread
from freehold.record.sealer import Sealer
from freehold.store import Store

NAME = f"../a/?b=c&d#e {SCRIPT}"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Generator[str, None, None]:
    settings = settings_in(tmp_path_factory.mktemp("episodes"), port=0)
    later = time.time_ns() - 1800 * 10**9 - START_NS
    level = Level("shown", runs=1, children=52, single=0, chats=0)
    traffic = Stage(level, 3).play()
    with closing(Store.open(settings.data, settings.control_url)) as store, closing(store.open_journal()) as journal:
        for trace in traffic.traces:
            truth = traffic.truth[trace.trace_id]
            journal.append(_at(trace, later))
            parent = f"w{truth.parent}" if truth.parent else None
            said = {"episode": "night", "agent": f"w{truth.agent}", "parent": parent, "linked": "url", "key": "key_1"}
            journal.append(msgspec.structs.replace(_at(trace, later + 1), **said))
        for number in range(2):
            odd: dict[str, Any] = {"episode": NAME if number else "night", "agent": SCRIPT, "parent": SCRIPT + "x"}
            odd |= {"status": 500, "error": SCRIPT, "model": SCRIPT, "answered_by": SCRIPT, "key": "key_2"}
            journal.append(msgspec.structs.replace(_at(traffic.traces[number], later + 2), **odd))
        judged: dict[str, Any] = {"feedback_id": "fb_0011223344", "trace_id": "", "at_ns": 1}
        journal.append(Feedback(**judged, episode=NAME, score=0.5, label=SCRIPT, comment=SCRIPT, key="key_2"))
        Sealer(store, settings.upstreams).seal_once()
    with serve_in_thread(settings, fallback=create_dashboard(settings)) as running:
        yield running.url


def _at(trace: Trace, later: int) -> Trace:
    at_ns = trace.at_ns + later
    return msgspec.structs.replace(trace, at_ns=at_ns, trace_id=f"tr_{at_ns:016x}{trace.trace_id[-12:]}")


def get(url: str, path: str) -> tuple[int, str]:
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()


def test_a_list_leads_to_each_run_and_its_steps_and_back(url: str) -> None:
    status, page = get(url, "/episodes?found=1")
    links = [unescape(link) for link in re.findall(r'href="(/episode\?[^"]+)"', page)]
    assert status == 200 and len(links) == 4
    for link in links:
        status, page = get(url, link)
        assert status == 200, link
        assert "<script" not in page and "onerror=" not in page.replace("onerror=&", "")
    status, page = get(url, "/episode?id=night&key=key_1")
    assert page.count("<details") > 52 and page.count("<details open") == 1
    step = re.search(r'href="(/traces/tr_[0-9a-f]+)"', page)
    assert step is not None
    assert "/episode?id=night&amp;key=key_1" in get(url, step[1])[1]
    assert "ep_" not in get(url, "/episodes")[1]


def test_what_callers_wrote_is_text(url: str) -> None:
    status, page = get(url, f"/episode?id={quote(NAME, safe='')}&key=key_2")
    assert status == 200 and page.count("&lt;script&gt;") >= 4
    assert "<script" not in page and "<img src=x" not in page
    assert "of which nothing was recorded" in page and "score 0.5" in page


@pytest.mark.parametrize(
    ("path", "expected", "said"),
    [
        ("/episode", 404, "names no episode"),
        ("/episode?id=nobody", 404, "nobody"),
        ("/episode?id=ep_00112233445566778899aabb", 404, "no episode"),
        ("/episode?id=night", 400, "key_1, key_2"),
        ("/episode?id=night&key=key_3", 404, "night"),
    ],
)
def test_what_is_not_there_or_not_clear_is_told(url: str, path: str, expected: int, said: str) -> None:
    status, page = get(url, path)
    assert status == expected and said in page
