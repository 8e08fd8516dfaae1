"""The dashboard in a real browser: what callers wrote never runs, nothing comes from elsewhere, phones can read it."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import uvicorn

from freehold.config import Settings, UpstreamSettings
from freehold.dashboard import create_dashboard
from freehold.domain.evaluations import Compared, Difference, Example, Slice
from freehold.domain.events import Event
from freehold.domain.fingerprint import task_id_of_name
from freehold.domain.ids import new_id
from freehold.domain.tasks import AnswerForm, Field, Task
from freehold.domain.traces import Feedback, Trace
from freehold.evaluate.reports import keep_report
from freehold.record.sealer import Sealer
from freehold.store import Store
from freehold.upstreams.listener import address_of, bind

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM.exists(), reason="needs /usr/bin/chromium")]

RUN = "document.documentElement.dataset.ran='yes'"
ATTACKS = (
    f"<script>{RUN}</script>",
    f'"><img src=x onerror="{RUN}">',
    f"'><svg onload={RUN}>",
    f"</pre></textarea></title><script>{RUN}</script>",
    f"{{{{ 7*7 }}}} javascript:{RUN}",
)
ATTACK = " ".join(ATTACKS)


def _fill(store: Store) -> list[str]:
    """Attacks in every field that callers or answers write; returns the trace ids."""
    body: dict[str, Any] = {"model": ATTACK, "messages": [{"role": ATTACK, "content": ATTACK}], "user": ATTACK}
    answer = {"model": ATTACK, "choices": [{"message": {"content": ATTACK}, "finish_reason": ATTACK}]}
    task_id = task_id_of_name("attacked")
    form = AnswerForm(kind="label", fields=(Field(path=(ATTACK,), values=(ATTACK,)),), reason=ATTACK)
    now = time.time_ns()
    store.control.tasks.put(Task(task_id=task_id, name=ATTACK, form=form, note=ATTACK, created_ns=now, updated_ns=now))
    event = Event(
        event_id=new_id("ev"), at_ns=now, kind="job-failed", task=task_id, message=ATTACK, evidence={ATTACK: ATTACK}
    )
    store.control.add_event(event)
    common: dict[str, Any] = {
        "task": task_id,
        "task_name": ATTACK,
        "model": ATTACK,
        "answered_by": f"up/{ATTACK}",
        "reason": ATTACK,
        "request": msgspec.json.encode(body),
        "episode": ATTACK,
        "parent": ATTACK,
        "attempts": (ATTACK, ATTACK),
    }
    _keep_evaluation(store, task_id)
    traces = [
        Trace(trace_id=new_id("tr"), at_ns=now, status=200, response=msgspec.json.encode(answer), **common),
        Trace(trace_id=new_id("tr"), at_ns=now, status=502, response=ATTACK.encode(), error=ATTACK, **common),
        msgspec.structs.replace(Trace(trace_id=new_id("tr"), at_ns=now, status=200, **common), request=ATTACK.encode()),
    ]
    with closing(store.open_journal()) as journal:
        for trace in traces:
            journal.append(trace)
            judged = Feedback(feedback_id=new_id("fb"), trace_id=trace.trace_id, at_ns=now, label=ATTACK, edit=ATTACK)
            journal.append(msgspec.structs.replace(judged, comment=ATTACK))
    return [trace.trace_id for trace in traces]


def _keep_evaluation(store: Store, task_id: str) -> None:
    same = Difference(mean=0.0, lower=-0.1, upper=0.1, better=0, worse=0)
    one = Slice(
        by="all", name=ATTACK, rows=40, small=False, candidate=1.0, incumbent=1.0, in_force=1.0, taken=1.0,
        against_incumbent=same, against_in_force=same,
    )  # fmt: skip
    worst = Example(
        row="", section="worst", prompt=ATTACK, incumbent=ATTACK, in_force=ATTACK, candidate=ATTACK, why=ATTACK
    )
    compared = Compared(part="tune", in_force=ATTACK, confidence=0.95, slices=(one,))
    keep_report(store, compared, [worst], task=task_id, student=ATTACK, now_ns=1)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[str, list[str]], None, None]:
    """A served dashboard and the paths of its pages."""
    folder = tmp_path_factory.mktemp("attacked")
    settings = Settings(upstreams={"up": UpstreamSettings(base_url="http://127.0.0.1:1/v1")}, data_dir=str(folder))
    with closing(Store.open(settings.data, settings.control_url)) as store:
        traces = _fill(store)
        Sealer(store, settings.upstreams).seal_once()
    listener = bind("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(create_dashboard(settings), log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    paths = ["/?live=0", "/traces", "/events", "/ledger", f"/tasks/{task_id_of_name('attacked')}"]
    paths.append(f"{paths[-1]}/evaluation")
    yield f"http://{address_of(listener)}", paths + [f"/traces/{trace}" for trace in traces]
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def browser() -> Generator[Browser, None, None]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS.split())
        yield found
        found.close()


def test_nothing_that_callers_wrote_runs(site: tuple[str, list[str]], browser: Browser) -> None:
    url, paths = site
    page = browser.new_page()
    asked: list[str] = []
    told: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    for path in paths:
        response = page.goto(url + path)
        assert response is not None and response.status == 200, path
        assert page.evaluate("document.documentElement.dataset.ran") is None, path
        assert page.locator("script, iframe, [onerror], [onload]").count() == 0, path
        assert page.locator("main img").count() == 0, path
        if path != "/ledger":
            assert ATTACKS[0] in page.locator("main").inner_text(), path  # it is there, as text
    assert told == []  # no error, and no breach of the content security policy was even tried
    assert all(one.startswith(url) for one in asked)
    page.close()


def test_a_script_would_be_refused_even_if_it_got_in(site: tuple[str, list[str]], browser: Browser) -> None:
    page = browser.new_page()
    page.goto(site[0] + "/events")
    make = "const script = document.createElement('script'); script.textContent = 'document.title = \"ran\"';"
    page.evaluate(make + "document.body.append(script)")
    assert page.title() != "ran"
    page.close()


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_the_screen_without_javascript(
    site: tuple[str, list[str]], browser: Browser, width: int, scheme: Any
) -> None:
    url, paths = site
    plain = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, java_script_enabled=False
    )
    page = plain.new_page()
    for path in paths:
        page.goto(url + path)
        assert page.locator("h1").count() == 1, path
        box = page.locator("main").bounding_box()
        assert box is not None and box["width"] <= width, path
        for card in page.locator(".card, .tile").all():
            found = card.bounding_box()
            assert found is not None and found["x"] >= 0 and found["x"] + found["width"] <= width + 0.5, path
    colour = page.locator("body").evaluate("body => getComputedStyle(body).backgroundColor")
    assert (sum(map(int, colour[4:-1].split(","))) < 200) == (scheme == "dark")
    plain.close()
