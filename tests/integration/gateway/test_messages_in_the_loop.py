"""Requests by Anthropic's Messages in the loop: students, ladders, audits, shadows, and what is learnt from them."""

from __future__ import annotations

import datetime
import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anthropic
import pytest
import rung_fixtures
import test_owned
from gateway_fixtures import Scripted, answering, plain, settings, traces, upstream
from rung_fixtures import LUCKY, PROOF, RAMBLE, SUM, UNLUCKY, recorded, small_answer
from test_owned import TASK
from waiting import wait_for

from freehold.config import CandidateSettings
from freehold.curate.answers import AnswerRights
from freehold.curate.discover import discover
from freehold.curate.samples import collect_samples
from freehold.gateway import RunningGateway, serve_in_thread
from freehold.record.derive import Deriver
from freehold.record.sealer import Sealer
from freehold.rights import TrainingJudge
from freehold.store import ControlStore, Store
from freehold.store.traces.read import read_traces
from freehold.upstreams.recorded import RecordedAnswers, RunningServer
from freehold.upstreams.recorded import serve_in_thread as serve_recorded

MESSAGE = json.dumps(
    {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "no"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 20, "output_tokens": 1},
    }
).encode()


def _client(gateway: RunningGateway) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=gateway.url, api_key="sk-caller", max_retries=0)


def _ask(client: anthropic.Anthropic, model: str, system: str, text: str, **more: Any) -> Any:
    """A message and the headers it came with."""
    turns: Any = [{"role": "user", "content": text}]
    request: dict[str, Any] = {"model": model, "max_tokens": 64, "system": system, "messages": turns, **more}
    if request.pop("stream", False):
        with client.messages.stream(**request) as events:
            message = events.get_final_message()
            return message, events.response.headers
    raw = client.messages.with_raw_response.create(**request)
    return raw.parse(), raw.headers


def _text(message: Any) -> str:
    return "".join(block.text for block in message.content)


@contextmanager
def _student(data: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[tuple[RunningGateway, Scripted, ControlStore]]:
    """A student before an Anthropic incumbent."""
    monkeypatch.setattr("freehold.gateway.runtime.load_student", test_owned.load)
    folder = data / "students" / "st_1"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    with Scripted(answering(plain(MESSAGE))) as provider:
        chosen = settings(data, {"main": upstream(provider.base_url, protocol="anthropic")})
        control = ControlStore.open(chosen.control_url)
        with serve_in_thread(chosen) as gateway:
            yield gateway, provider, control
        control.close()


def test_a_student_answers_in_anthropics_words_and_is_audited_in_the_callers_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = test_owned.SYSTEM["content"]
    with _student(tmp_path, monkeypatch) as (gateway, provider, control):
        run = test_owned.Running(gateway, provider, control)
        run.publish(test_owned.policy(audit_rate=0.999999))
        for stream in (False, True):
            message, headers = _ask(_client(gateway), "m", system, "0.9 0.1 help", stream=stream)
            assert (_text(message), message.stop_reason, message.model) == ("yes", "end_turn", "m")
            assert message.usage.output_tokens == len("yes")
            assert headers["x-freehold-answered-by"] == "student/st_1"
        message, headers = _ask(_client(gateway), "m", system, "0.7 0.1 help")
        assert (_text(message), headers["x-freehold-answered-by"]) == ("no", "main/m")
        wait_for(lambda: len(traces(tmp_path)) == 5)
    found = traces(tmp_path)
    requests = [trace for trace in found if trace.kind == "request"]
    audits = [trace for trace in found if trace.kind == "audit"]
    assert {trace.task for trace in found} == {TASK} and {trace.api for trace in found} == {"messages"}
    assert [trace.reason for trace in requests] == ["accepted", "accepted", "uncertain"]
    derived = [Deriver({})(trace) for trace in found]
    assert all(one.finish_reason == "stop" for one in derived)
    assert {one.answer for one in derived} == {"yes", "no"}
    assert [trace.of for trace in audits] == [trace.trace_id for trace in requests[:2]]
    assert audits[0].request == requests[0].request, "the incumbent is asked what the caller asked, byte for byte"
    asked = [request for request in provider.requests if b"0.9" in request.body]
    assert {request.line for request in asked} == {"POST /v1/messages HTTP/1.1"}
    assert {request.headers["authorization"] for request in asked} == {"Bearer sk-caller"}
    assert "stream" not in json.loads(asked[1].body), "nobody waits for an audit's first word"


@pytest.fixture(scope="module")
def models() -> Iterator[tuple[RunningServer, RunningServer]]:
    """Recorded servers of `big` and `small`, which speak OpenAI's protocol."""
    with (
        serve_recorded(RecordedAnswers(recorded("big"))) as big,
        serve_recorded(RecordedAnswers(recorded("small", logprob=-0.25))) as small,
    ):
        yield big, small


SOLVE = rung_fixtures.SYSTEM["content"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_ladder_answers_in_anthropics_words(
    tmp_path: Path, models: tuple[RunningServer, RunningServer], stream: bool
) -> None:
    with rung_fixtures.running(tmp_path, models[0].base_url, models[1].base_url) as run:
        run.publish("prompt", audit_rate=0.999999)
        client = _client(run.gateway)
        message, headers = _ask(client, "big", SOLVE, SUM, stream=stream)
        assert (_text(message), message.stop_reason) == (small_answer(SUM), "end_turn")
        assert headers["x-freehold-answered-by"] == "cheap/small" and headers["x-freehold-certificate"] == "ce_1"
        message, headers = _ask(client, "big", SOLVE, PROOF, stream=stream)
        assert _text(message).startswith("The answer of big") and headers["x-freehold-answered-by"] == "main/big"
        wait_for(lambda: len(traces(run.data)) == 3)
        moved, kept, audit = sorted(traces(run.data), key=lambda trace: (trace.kind == "audit", trace.at_ns))
        assert (moved.api, moved.reason, moved.stream) == ("messages", "accepted", stream)
        assert (kept.api, kept.reason) == ("messages", "uncertain")
        assert (audit.kind, audit.api, audit.of) == ("audit", "messages", moved.trace_id)
        derived = [Deriver({})(trace) for trace in (moved, kept, audit)]
        assert derived[0].answer == small_answer(SUM) and derived[0].output_tokens == 50
        assert (derived[2].answer or "").startswith("The answer of big")


@pytest.mark.parametrize("stream", [False, True])
def test_a_cascade_looks_at_answers_before_it_gives_them_in_anthropics_words(
    tmp_path: Path, models: tuple[RunningServer, RunningServer], stream: bool
) -> None:
    allow = {"extra_headers": {"x-freehold-buffer": "allow"}}
    with rung_fixtures.running(tmp_path, models[0].base_url, models[1].base_url) as run:
        run.publish("cascade", logprobs=True, validity=True)
        client = _client(run.gateway)
        message, headers = _ask(client, "big", SOLVE, LUCKY, stream=stream, **allow)
        assert _text(message) == small_answer(LUCKY) and headers["x-freehold-answered-by"] == "cheap/small"
        message, headers = _ask(client, "big", SOLVE, UNLUCKY, stream=stream, **allow)
        assert _text(message).startswith("The answer of big") and headers["x-freehold-tried"] == "small"
        wait_for(lambda: len(traces(run.data)) == 3)
        requests = [trace for trace in traces(run.data) if trace.kind == "request"]
        (wasted,) = [trace for trace in traces(run.data) if trace.kind == "rung"]
        assert [trace.api for trace in requests] == ["messages", "messages"]
        assert Deriver({})(requests[0]).answer == small_answer(LUCKY)
        assert wasted.api == "chat" and Deriver({})(wasted).answer == RAMBLE, "rungs are asked by chat completions"
        assert json.loads(wasted.request)["messages"][0] == {"role": "system", "content": SOLVE}


def test_candidates_are_asked_about_messages_by_chat_completions(
    tmp_path: Path, models: tuple[RunningServer, RunningServer]
) -> None:
    candidates = CandidateSettings(models=("small",), rate=1.0)
    with rung_fixtures.running(tmp_path, models[0].base_url, models[1].base_url, candidates=candidates) as run:
        _ask(_client(run.gateway), "big", SOLVE, SUM, stream=True)
        wait_for(lambda: len(traces(run.data)) == 2)
    request, shadow = sorted(traces(tmp_path), key=lambda trace: trace.kind == "shadow")
    assert (shadow.kind, shadow.api, shadow.of, shadow.status) == ("shadow", "chat", request.trace_id, 200)
    assert Deriver({})(shadow).answer == small_answer(SUM)


def test_messages_become_tasks_and_samples(tmp_path: Path) -> None:
    with Scripted(answering(plain(MESSAGE))) as provider:
        chosen = settings(tmp_path, {"main": upstream(provider.base_url, protocol="anthropic", terms="own")})
        with serve_in_thread(chosen) as gateway:
            for number in range(25):
                _ask(_client(gateway), "m", "Is it urgent? Answer yes or no.", f"question {number}")
            wait_for(lambda: len(traces(tmp_path)) == 25)
    store = Store.open(tmp_path, chosen.control_url)
    Sealer(store, chosen.upstreams).seal_once()
    ((task, seen),) = discover(store, chosen, 1).items()
    assert (seen.requests, seen.answers) == (25, 25)
    found = store.control.tasks.get(task)
    assert found is not None and found.name.startswith("Is it urgent?")
    frame = read_traces(store, task=task)
    judge = TrainingJudge("train_classifier", (), datetime.date(2026, 1, 1))
    samples, left_out = collect_samples(frame, AnswerRights({"main": "own"}, judge))
    assert not left_out and {sample.answer for sample in samples} == {"no"}
    assert {sample.prompt for sample in samples} == {f"question {number}" for number in range(25)}
    assert {(sample.input_tokens, sample.output_tokens) for sample in samples} == {(20, 1)}
    store.close()
