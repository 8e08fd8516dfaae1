"""The dashboard behind a real gateway: every page, who may look, and what happens when the store is damaged."""

from __future__ import annotations

import base64
import http.client
import re
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from dashboard_fixtures import SCRIPT, Desk, completion, fill, settings_in

from freehold.config import Settings
from freehold.dashboard import create_dashboard
from freehold.domain.ids import new_id
from freehold.domain.traces import Trace
from freehold.gateway import serve_in_thread
from freehold.ledger import dollars, ledger
from freehold.store import Store


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return fill(tmp_path_factory.mktemp("desk"), total=400)


@contextmanager
def served(settings: Settings) -> Generator[str, None, None]:
    gateway = msgspec.structs.replace(settings.gateway, port=0)
    settings = msgspec.structs.replace(settings, gateway=gateway)
    with serve_in_thread(settings, fallback=create_dashboard(settings)) as running:
        yield running.url


@pytest.fixture(scope="module")
def url(desk: Desk) -> Generator[str, None, None]:
    with served(desk.settings) as running:
        yield running


def get(url: str, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)) as connection:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return response.status, found, response.read().decode()


class _Page(HTMLParser):
    """A page's links and elements; its tags are checked to close in order."""

    VOID = frozenset(("meta", "link", "img", "input", "br"))

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value for name, value in attrs if name in ("href", "src") and value]
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


def test_every_page_that_is_linked_is_there_whole_and_without_script(url: str, desk: Desk) -> None:
    """Crawl from the overview; traces are many, so only a few of them. A task has two pages."""
    waiting, seen = ["/"], set[str]()
    while waiting:
        path = waiting.pop()
        kind = re.sub(r"_[0-9a-f]{8,}.*|\?.*", "", path)
        if path in seen or sum(other.startswith(kind) for other in seen) > 24:
            continue
        seen.add(path)
        status, headers, text = get(url, path)
        assert status == 200, path
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "script" not in headers["content-security-policy"]
        if headers["content-type"].startswith("text/html"):
            page = _Page(text)
            assert "script" not in page.tags and "style" not in page.attributes
            assert not any(name.startswith("on") for name in page.attributes)
            links = [link.partition("#")[0] for link in page.links]
            assert all(link == "" or link.startswith("/") for link in links), path  # nothing from elsewhere
            waiting += [link for link in links if link]
    assert {"/", "/traces", "/events", "/ledger", "/static/style.css"} <= seen
    assert {f"/tasks/{task}" for task in desk.tasks.values()} <= seen
    assert any(path.startswith("/traces/tr_") for path in seen)


@pytest.mark.parametrize("path", ["/", "/?window=all", "/traces", "/events", "/ledger"])
def test_an_empty_store_says_what_to_do(path: str, tmp_path: Path) -> None:
    with served(settings_in(tmp_path)) as url:
        status, _, text = get(url, path)
        assert status == 200
        _Page(text)
        assert f"{url}/v1" in text or "Nothing has happened yet" in text


def test_the_figures_are_the_ledgers(url: str, desk: Desk) -> None:
    with closing(Store.open(desk.settings.data, desk.settings.control_url)) as store:
        books = ledger(store)
    _, _, overview = get(url, "/?window=all")
    for figure in (books.total.saved.total, books.total.spent.total, -books.total.audits.total):
        assert dollars(figure) in overview
    assert f"<strong>{books.total.owned_share:.0%}</strong>" in overview
    assert f"{books.total.owned:,} owned" in overview
    assert 'http-equiv="refresh"' in overview and 'http-equiv="refresh"' not in get(url, "/?live=0")[2]
    _, _, page = get(url, "/ledger?window=all")
    for line in (*books.tasks, *books.days, *books.models):
        assert dollars(line.saved.total) in page


def test_a_task_shows_its_evidence(url: str, desk: Desk) -> None:
    _, _, text = get(url, f"/tasks/{desk.tasks['triage']}")
    for said in (
        "in force",
        "1 of 61 audited answers differ",
        "The loss is disagreement.",
        "holds",
        "certified",
        "of owned answers",
        "no cap",
    ):
        assert said in text
    assert text.count("<td>holds</td>") == 2 and text.count(">fails<") == 1  # the walk: 2 hold, 1 certified, 1 fails
    _, _, text = get(url, f"/tasks/{desk.tasks['urgency']}")
    assert "16 of 41 audited answers differ" in text and 'class="loss breach"' in text and "not in force" in text


def test_an_audited_trace_shows_both_answers(url: str, desk: Desk) -> None:
    _, _, text = get(url, f"/traces/{desk.audited}")
    assert "A student answered" in text and "something else" in text and ">differs<" in text
    audit = re.search(r'/traces/(tr_[0-9a-f]+)">audit', text)
    assert audit is not None
    _, _, other = get(url, f"/traces/{audit[1]}")
    assert f"/traces/{desk.audited}" in other


def test_what_callers_wrote_stays_text(url: str, desk: Desk) -> None:
    for path in (f"/traces/{desk.script}", f"/traces/{desk.failed}", "/traces", "/events"):
        _, _, text = get(url, path)
        assert "&lt;script&gt;document.title" in text and SCRIPT not in text, path
    _, _, text = get(url, f"/traces/{desk.passthrough}")
    assert "not json" in text and "this is not a chat completion" in text


def test_filters_and_paging(url: str, desk: Desk) -> None:
    def rows(query: str) -> list[str]:
        status, _, text = get(url, f"/traces?{query}")
        assert status == 200
        return re.findall(r'aria-label="Trace of[^>]*>', text) and re.findall(r'/traces/(tr_[0-9a-f]+)" aria', text)

    assert rows("errors=1") == [desk.failed]
    newest = rows("")
    assert len(newest) == len(set(newest)) == 50
    older = re.search(r'href="(/traces\?[^"]*before=\d+)"', get(url, "/traces")[2])
    assert older is not None
    assert not set(rows(older[1].partition("?")[2].replace("&amp;", "&"))) & set(newest)
    _, _, owned = get(url, f"/traces?by=owned&task={desk.tasks['triage']}")
    assert 'chip owned"' in owned and 'chip rented"' not in owned
    assert get(url, "/traces?before=99999999999999999999999&by=x&kind=y")[0] == 200
    assert get(url, "/traces?task=../etc")[0] == 404


@pytest.mark.parametrize(
    "path",
    [
        "/nope",
        "/tasks/task_0123456789abcdef",
        "/traces/tr_0123456789abcdef",
        "/traces/..%2f..%2fetc%2fpasswd",
        "/tasks/%3Cscript%3E",
        "/static/../guard.py",
        "/static/nope.css",
        "/events?task=%3Cb%3E",
    ],
)
def test_what_is_not_there_is_404(url: str, path: str) -> None:
    status, headers, text = get(url, path)
    assert status == 404 and "content-security-policy" in headers
    assert "<script>" not in text and "<b>" not in text


def test_pages_are_only_read(url: str) -> None:
    assert get(url, "/", "POST")[0] == 405
    assert get(url, "/events", "DELETE")[0] == 405


def test_a_trace_can_be_opened_before_it_is_sealed(url: str, desk: Desk) -> None:
    trace = Trace(
        trace_id=new_id("tr"),
        at_ns=1,
        answered_by="rented/big-1",
        status=200,
        request=b'{"model":"m","messages":[{"role":"user","content":"fresh question"}]}',
        response=completion("fresh answer", (5, 2)),
    )
    with closing(Store.open(desk.settings.data, desk.settings.control_url)) as store:
        with closing(store.open_journal()) as journal:
            journal.append(trace)
        status, _, text = get(url, f"/traces/{trace.trace_id}")
    assert status == 200 and "not sealed yet" in text and "fresh question" in text and "fresh answer" in text


def test_without_a_key_only_names_of_this_machine_are_served(url: str) -> None:
    port = urlsplit(url).port
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", "127.9.9.9", f"[::1]:{port}", "LocalHost"):
        assert get(url, "/events", Host=host)[0] == 200, host
    for host in (
        "evil.example",
        f"evil.example:{port}",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "[::2]",
        "",
    ):
        status, headers, text = get(url, "/events", Host=host)
        assert status == 421 and "triage" not in text and "content-security-policy" in headers, host
    assert get(url, "/static/style.css", Host="evil.example")[0] == 421


def test_the_gateways_key_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHBOARD_TEST_KEY", "sésame:open")

    def basic(text: str) -> str:
        return "Basic " + base64.b64encode(text.encode()).decode()

    settings = settings_in(tmp_path, api_key_env="DASHBOARD_TEST_KEY")
    with pytest.raises(Exception, match="holds no key"):  # the gateway takes ASCII keys only
        serve_in_thread(settings)
    monkeypatch.setenv("DASHBOARD_TEST_KEY", "open:sesame")
    with served(settings) as url:
        status, headers, text = get(url, "/")
        assert status == 401 and headers["www-authenticate"].startswith("Bearer") and "sesame" not in text
        assert get(url, "/", Authorization=basic("me:open:sesame"))[0] == 200
        assert get(url, "/", Authorization="Bearer open:sesame", Host="freehold.internal")[0] == 200
        for wrong in (basic("me:open"), basic("open:sesame"), "Basic !!!", "Bearer", "Digest open:sesame", basic("x")):
            assert get(url, "/", Authorization=wrong)[0] == 401, wrong
        assert get(url, "/static/style.css")[0] == 200  # the sign-in page needs it
        assert get(url, "/static/nope.css")[0] == 401


@pytest.mark.parametrize("damage", ["control", "log", "rows"])
def test_a_damaged_store_says_so_and_traffic_is_not_affected(tmp_path: Path, damage: str) -> None:
    desk = fill(tmp_path, total=40)
    victims = {
        "control": [tmp_path / "control.sqlite"],
        "log": sorted((tmp_path / "traces" / "_delta_log").glob("*.json")),
        "rows": sorted((tmp_path / "traces").glob("*.parquet")),
    }[damage]
    assert victims
    with served(desk.settings) as url:
        assert get(url, "/")[0] == 200
        whole = {victim: victim.with_suffix(".whole") for victim in victims}
        for victim, copy in whole.items():
            victim.rename(copy)
            victim.write_bytes(b"garbage " * 64)
        status, headers, text = get(url, "/")
        assert status == 503 and "Traffic through the gateway is not affected." in text
        assert "Traceback" not in text and "content-security-policy" in headers
        assert get(url, "/healthz")[0] == 200
        for victim, copy in whole.items():
            copy.replace(victim)
        assert get(url, "/")[0] == 200


def test_it_is_cheap_until_it_is_looked_at(tmp_path: Path) -> None:
    """Neither making it nor refusing a request loads polars or deltalake into a gateway worker."""
    code = """
import asyncio, sys
from pathlib import Path
from dashboard_fixtures_light import settings
from freehold.dashboard import create_dashboard
app = create_dashboard(settings)
async def ask(path, host):
    sent = []
    async def send(message): sent.append(message)
    async def receive(): await asyncio.Event().wait()
    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"",
             "headers": [(b"host", host)], "root_path": "", "scheme": "http", "server": ("127.0.0.1", 1),
             "client": ("127.0.0.1", 2), "http_version": "1.1"}
    await app(scope, receive, send)
    return sent[0]["status"]
assert asyncio.run(ask("/nope", b"localhost")) == 404
assert asyncio.run(ask("/", b"evil.example")) == 421
assert asyncio.run(ask("/static/style.css", b"localhost")) == 200
assert not {"polars", "deltalake", "sqlalchemy"} & set(sys.modules), "heavy"
"""
    light = "from freehold.config import Settings\nsettings = Settings(data_dir='nowhere')\n"
    (tmp_path / "dashboard_fixtures_light.py").write_text(light)
    done: Any = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "nowhere").exists()
