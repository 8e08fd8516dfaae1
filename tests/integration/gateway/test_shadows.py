"""Candidates are asked about a random share of what the incumbent answered, never for more than the day's budget."""

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import pytest
from gateway_fixtures import Scripted, answering, hang, plain, post, raw, split, traces
from rung_fixtures import PROOF, SUM, body, recorded, running, small_answer, text_of
from waiting import wait_for

from freehold.config import CandidateSettings
from freehold.domain.traces import Trace
from freehold.gateway.background.budget import DailyBudget
from freehold.upstreams.recorded import RecordedAnswers, RunningServer, serve_in_thread

CALL = 20_000
"""Nano-dollars of a recorded answer of `small`."""


@pytest.fixture(scope="module")
def models() -> Generator[tuple[RunningServer, RunningServer]]:
    with (
        serve_in_thread(RecordedAnswers(recorded("big"))) as big,
        serve_in_thread(RecordedAnswers(recorded("small"))) as small,
    ):
        yield big, small


def shadows(data: Path) -> list[Trace]:
    return [trace for trace in traces(data) if trace.kind == "shadow"]


def test_a_random_share_is_asked_about_and_recorded(tmp_path: Path, models: tuple[RunningServer, ...]) -> None:
    wanted = CandidateSettings(models=("small", "nobody"), rate=0.3)
    with running(tmp_path, models[0].base_url, models[1].base_url, candidates=wanted) as run:
        for _ in range(300):
            run.ask(SUM)
        counts = run.gateway.runtime.metrics.shadows
        wait_for(lambda: counts["done"] == counts["queued"])
        found = shadows(tmp_path)
        assert len(found) == counts["done"] and counts["failed"] == counts["dropped"] == 0
        assert 50 <= len(found) <= 130, "90 expected, with a standard deviation of 8"
        asked = {trace.trace_id: trace for trace in traces(tmp_path) if trace.kind == "request"}
        one = found[0]
        assert one.of in asked and (one.task, one.model) == (asked[one.of].task, "big")
        assert (one.answered_by, one.status, one.audit_probability) == ("cheap/small", 200, 0.3)
        assert text_of(one.response) == small_answer(SUM) and json.loads(one.request)["model"] == "small"
        assert len({trace.of for trace in found}) == len(found)


@pytest.mark.parametrize("wanted", [True, False])
def test_candidates_are_asked_how_sure_they_are_where_it_is_wanted(
    wanted: bool, tmp_path: Path, models: tuple[RunningServer, ...]
) -> None:
    candidates = CandidateSettings(models=("small",), rate=1.0, samples=2, logprobs=wanted)
    with running(tmp_path, models[0].base_url, models[1].base_url, candidates=candidates) as run:
        run.ask(SUM)
        wait_for(lambda: len(shadows(tmp_path)) == 2)
        one, two = shadows(tmp_path)
        assert one.of == two.of and {one.trace_id, two.trace_id} > {one.trace_id}
        assert json.loads(one.request).get("logprobs") == (True if wanted else None)
        asked = next(trace for trace in traces(tmp_path) if trace.kind == "request")
        assert "logprobs" not in json.loads(asked.request)


def test_what_the_incumbent_did_not_answer_or_may_not_share_is_left_out(
    tmp_path: Path, models: tuple[RunningServer, ...]
) -> None:
    wanted = CandidateSettings(models=("small",), rate=1.0, samples=2)
    with running(tmp_path, models[0].base_url, models[1].base_url, candidates=wanted) as run:
        run.publish("prompt")
        run.ask(SUM)
        run.ask(PROOF, "x-freehold-record: off\r\n")
        run.ask(PROOF, "x-freehold-pin: incumbent\r\n")
        run.ask(PROOF, n=2)
        assert run.gateway.runtime.metrics.shadows["queued"] == 0
        run.ask(PROOF, stream=True)
        wait_for(lambda: len(shadows(tmp_path)) == 2)
        escalated = next(trace for trace in traces(tmp_path) if trace.reason == "uncertain")
        assert {trace.of for trace in shadows(tmp_path)} == {escalated.trace_id}


def test_the_callers_key_is_not_shown_to_candidates_elsewhere(tmp_path: Path) -> None:
    wanted = CandidateSettings(models=("small",), rate=1.0)
    with (
        Scripted(answering(plain())) as small,
        Scripted(answering(plain())) as big,
        running(tmp_path, big.base_url, small.base_url, candidates=wanted) as run,
    ):
        run.ask(SUM, "authorization: Bearer sk-c\r\nx-api-key: sk-d\r\n")
        wait_for(lambda: shadows(tmp_path))
        assert "sk-" not in str(small.requests[0].headers)
    with (
        Scripted(answering(plain())) as small,
        Scripted(answering(plain())) as big,
        running(tmp_path / "2", big.base_url, small.base_url, candidates=wanted, cheap={"keyless": False}) as run,
    ):
        run.ask(SUM, "authorization: Bearer sk-c\r\n")
        assert run.gateway.runtime.metrics.shadows == Counter() and small.requests == []


def test_a_hanging_candidate_holds_up_nobody(tmp_path: Path, models: tuple[RunningServer, ...]) -> None:
    wanted = CandidateSettings(models=("small",), rate=1.0)
    with (
        Scripted(hang) as small,
        running(
            tmp_path, models[0].base_url, small.base_url, candidates=wanted, audit_concurrency=2, audit_queue=3
        ) as run,
    ):
        for _ in range(20):
            run.ask(SUM)
        counts = run.gateway.runtime.metrics.shadows
        assert counts["queued"] <= 2 + 3 + 1 and counts["queued"] + counts["dropped"] == 20


def test_the_budget_of_a_day_holds_over_workers_and_restarts(tmp_path: Path, models: tuple[RunningServer, ...]) -> None:
    """Two processes of two workers, started one after the other, on a budget of forty calls."""
    config = tmp_path / "freehold.toml"
    config.write_text(f"""data_dir = "data"
[gateway]
port = 0
audit_concurrency = 2
[upstreams.main]
base_url = "{models[0].base_url}"
models = ["big"]
[upstreams.cheap]
base_url = "{models[1].base_url}"
models = ["small"]
keyless = true
prices = {{ "*" = {{ input = 0.1, output = 0.2 }} }}
[candidates]
models = ["small"]
rate = 1.0
dollars_per_day = {40 * CALL / 1e9}
""")
    for _ in range(2):
        answered_by_a_gateway(config, 100)
    found = shadows(tmp_path / "data")
    # An answer is estimated at 1,000 tokens, twenty times what it has: the last few calls of the budget are not made.
    assert 25 <= len(found) <= 40, "forty calls' worth, for all workers together"
    spent = DailyBudget(tmp_path / "data" / "shadows", 0)
    assert spent.promise(1) is None


def answered_by_a_gateway(config: Path, requests: int) -> None:
    program = config.with_name("program.py")
    program.write_text(
        "import sys, pathlib\nfrom freehold.gateway import serve\nif __name__ == '__main__':\n"
        "    serve(pathlib.Path(sys.argv[1]), workers=2, on_listening=lambda url: print(url, flush=True))\n"
    )
    process = subprocess.Popen([sys.executable, str(program), str(config)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    try:
        for _ in range(requests):
            assert split(raw(url, post(body(SUM)), timeout=60))[0] == 200
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        process.stdout.close()
