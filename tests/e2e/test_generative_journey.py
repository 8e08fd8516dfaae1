"""A task with open answers goes the whole way in the product's own processes: it is learned, answers unseen, then in
part, then all; the student's server may die, and traffic flows."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from generative_fixtures import parcels, write_toy
from product_fixtures import Answer, Product, all_traces, ask, events, freehold
from waiting import wait_for

from freehold.upstreams.recorded import RecordedAnswer, RecordedAnswers, serve_in_thread

MODEL, SYSTEM = "rented-1", "Say colour and dock as JSON."
CONFIG = """
data_dir = "data"
[gateway]
port = 0
[upstreams.rented]
base_url = "{base_url}"
terms = "own"
prices = {{ "*" = {{ input = 2.5, output = 10.0 }} }}
[loop]
epsilon = 0.1
min_samples = 500
interval_seconds = 0.2
probation_audit_rate = 0.9
[students]
recipe = "{recipe}"
yield_share = 0.0
[students.server]
port = {port}
[students.rollout]
shadow_requests = 10
canary_share = 0.5
canary_audits = 5
[tasks.parcels]
scorer = {{ kind = "json" }}
student = {{ kind = "generative" }}
"""


def body(prompt: str) -> bytes:
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt}]
    return json.dumps({"model": MODEL, "messages": messages, "metadata": {"task": "parcels"}}).encode()


def send(url: str, prompts: list[str]) -> list[Answer]:
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda prompt: ask(url, body(prompt)), prompts))


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    folder = tmp_path_factory.mktemp("generative")
    rows = dict(parcels(5000))
    recorded = [
        RecordedAnswer(prompt=prompt, response=answer, model=MODEL, instructions=SYSTEM)
        for prompt, answer in rows.items()
    ]
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with serve_in_thread(RecordedAnswers(recorded)) as incumbent:
        settings = CONFIG.format(base_url=incumbent.base_url, recipe=write_toy(folder), port=port)
        (folder / "freehold.toml").write_text(settings)
        with Product(folder) as running:
            yield running


def test_it_passes_every_stage_and_then_answers(product: Product) -> None:
    prompts = [prompt for prompt, _ in parcels(700, seed=1)]
    assert {answer.status for answer in send(product.url, prompts)} == {200}
    wait_for(lambda: events(product.folder, "promoted"), 200, "a promotion")
    seen: list[bool] = []

    def passed() -> bool:
        seen.extend(answer.owned for answer in send(product.url, prompts[:20]))
        return len(events(product.folder, "stage-passed")) == 2

    wait_for(passed, 120, "both stages")
    assert not any(seen[:10]), "what is in its shadow stage answers nobody"
    fresh = parcels(100, seed=2)
    wait_for(lambda: sum(answer.owned for answer in send(product.url, prompts[:40])) >= 30, 10, "it answers all it may")
    answers = send(product.url, [prompt for prompt, _ in fresh])
    owned = [(got, reference) for got, (_, reference) in zip(answers, fresh, strict=True) if got.owned]
    assert len(owned) >= 60
    assert sum(json.loads(got.text) != json.loads(reference) for got, reference in owned) <= 0.1 * len(owned)
    tasks = freehold(product.folder, "tasks", "--json").json
    assert [task["state"] for task in tasks if task["name"] == "parcels"] == ["owned"]


def test_its_server_may_die_and_traffic_flows_and_it_comes_back(product: Product) -> None:
    server = product.member("student serve")
    assert server is not None
    os.kill(server, signal.SIGKILL)
    prompts = [prompt for prompt, _ in parcels(20, seed=3)]
    assert {answer.status for answer in send(product.url, prompts)} == {200}
    wait_for(lambda: product.member("student serve") not in (None, server), 30, "another server")
    kinds = {trace["kind"] for trace in all_traces(product.folder)}
    assert {"request", "shadow", "audit"} <= kinds


def test_what_was_found_can_be_shown(product: Product) -> None:
    shown = freehold(product.folder, "report", "parcels", "--json")
    assert shown.code == 0, shown.err
    assert "comparison" in json.dumps(shown.json)


def test_rolled_back_means_at_once_for_every_worker(product: Product, tmp_path: Path) -> None:
    assert freehold(product.folder, "rollback", "parcels").code == 0
    prompts = [prompt for prompt, _ in parcels(5, seed=4)]
    wait_for(lambda: not any(answer.owned for answer in send(product.url, prompts)), 10, "the incumbent answers again")
