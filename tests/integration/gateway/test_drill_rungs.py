"""Exit drills where a task has owned models of its own: students, ladders, and callers of other protocols."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from gateway_fixtures import Scripted, answering, hang_up, plain, post, raw, settings, split, traces, upstream
from rung_fixtures import PROOF, SUM, recorded, running, text_of
from waiting import wait_for

from freehold.config import DrillSettings
from freehold.domain.chat import parse_chat
from freehold.domain.fingerprint import shape_of, task_id_of_fingerprint
from freehold.domain.policy import Policy, Rung, TaskPolicy
from freehold.gateway import RunningGateway, serve_in_thread
from freehold.loop.drills import begin_drill
from freehold.route import StudentAnswer
from freehold.store import ControlStore, Store
from freehold.upstreams.recorded import RecordedAnswers
from freehold.upstreams.recorded import serve_in_thread as serve_recorded

SYSTEM = "Is the message urgent? Answer yes or no."


class FakeStudent:
    """Its signal and novelty are in the prompt."""

    def input_tokens(self, prompt: str) -> int:
        return len(prompt)

    def output_tokens(self, text: str) -> int:
        return len(text)

    def answer(self, prompt: str) -> StudentAnswer:
        signal, novelty, _ = prompt.split(" ", 2)
        return StudentAnswer("yes", float(signal), float(novelty))


def body(text: str, **more: Any) -> bytes:
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}]
    return json.dumps({"model": "m", "messages": messages, **more}).encode()


FINGERPRINT = shape_of(parse_chat(body("x"))).fingerprint
TASK = task_id_of_fingerprint(FINGERPRINT)


class Running:
    """A gateway in a thread with one student in force, a provider, an owned server, and a drill."""

    def __init__(self, data: Path, gateway: RunningGateway, provider: Scripted, owned: Scripted) -> None:
        self.data, self.gateway, self.provider, self.owned = data, gateway, provider, owned
        self.store = Store.open(data, gateway.runtime.settings.control_url)
        rung = Rung(
            student="st_1",
            path="students/st_1",
            sha256="0" * 64,
            threshold=0.8,
            novelty_limit=0.5,
            certificate="ce_1",
            fingerprints=(FINGERPRINT,),
        )
        entry = TaskPolicy(task=TASK, rungs=(rung,), audit_rate=0.999999, repeat_rate=0.999999)
        self.store.control.publish_policy(Policy(reason="test", tasks={TASK: entry}), 0)
        watch = gateway.runtime.watch
        wait_for(lambda: watch.view.students)
        begin_drill(self.store, gateway.runtime.settings, ("main",), 60, time.time_ns(), compare=1.0)
        wait_for(lambda: watch.drill is not None)

    def ask(self, sent: bytes, path: str = "/v1/chat/completions") -> tuple[int, dict[str, str], Any]:
        status, headers, answer = split(raw(self.gateway.url, post(sent, path)))
        return status, headers, json.loads(answer)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setattr("freehold.gateway.runtime.load_student", lambda folder, sha256: FakeStudent())
    with Scripted(answering(plain())) as provider, Scripted(answering(plain())) as owned:
        own = upstream(owned.base_url, ["llama"], owned=True, keyless=True)
        chosen = settings(tmp_path, {"main": upstream(provider.base_url), "own": own})
        chosen = msgspec.structs.replace(chosen, drill=DrillSettings("llama"))
        with serve_in_thread(chosen) as gateway:
            found = Running(tmp_path, gateway, provider, owned)
            yield found
            found.store.close()


def test_the_tasks_student_answers_certified_or_not_and_nothing_is_audited(run: Running) -> None:
    for text, certificate in (("0.9 0.1 sure", "ce_1"), ("0.1 0.9 unsure", None)):
        status, headers, answer = run.ask(body(text))
        assert status == 200 and answer["choices"][0]["message"]["content"] == "yes"
        assert headers["x-freehold-answered-by"] == "student/st_1" and headers["x-freehold-drill"] == "dr_00000001"
        assert headers.get("x-freehold-certificate") == certificate
    assert run.ask(body("0.9 0.1 two", n=2))[1]["x-freehold-answered-by"] == "own/llama"
    wait_for(lambda: len(run.provider.requests) == 3)  # each is compared
    wait_for(lambda: sum(trace.kind == "drill" for trace in traces(run.data)) == 3)
    given = [trace for trace in traces(run.data) if trace.kind == "request"]
    assert [(trace.reason, trace.owned, trace.certificate) for trace in given] == [
        ("drill", True, "ce_1"), ("drill", True, None), ("drill", True, None)
    ]  # fmt: skip
    assert not any(trace.audited or trace.audit_probability for trace in given)
    assert {trace.kind for trace in traces(run.data)} == {"request", "drill"}, "no audit, repeat or candidate"


def test_callers_of_messages_get_an_owned_answer_in_their_words(run: Running) -> None:
    asked = {"model": "m", "max_tokens": 50, "system": SYSTEM, "messages": [{"role": "user", "content": "0.1 0.9 x"}]}
    status, headers, answer = run.ask(json.dumps(asked).encode(), "/v1/messages")
    assert status == 200 and headers["x-freehold-answered-by"] == "student/st_1"
    assert answer["type"] == "message" and answer["content"] == [{"type": "text", "text": "yes"}]
    asked["system"] = "Another call."
    status, headers, answer = run.ask(json.dumps(asked).encode(), "/v1/messages")
    assert status == 200 and headers["x-freehold-answered-by"] == "own/llama"
    assert answer["type"] == "message" and answer["content"][0]["text"] == "café é"
    sent = run.owned.requests[-1]
    assert sent.line.startswith("POST /v1/chat/completions") and json.loads(sent.body)["model"] == "llama"
    status, _, answer = run.ask(b'{"model":"m","input":"x"}', "/v1/embeddings")
    assert status == 503 and answer["error"]["code"] == "drill"


def test_a_ladder_does_not_ask_what_is_cut(tmp_path: Path) -> None:
    with (
        serve_recorded(RecordedAnswers(recorded("big"))) as big,
        serve_recorded(RecordedAnswers(recorded("small"))) as small,
        running(tmp_path, big.base_url, small.base_url) as run,
    ):
        run.publish("prompt")
        assert "small" in run.ask(SUM)[0]["x-freehold-answered-by"]
        chosen = run.gateway.runtime.settings
        store = Store(tmp_path, ControlStore.open(chosen.control_url))
        begin_drill(store, chosen, ("cheap",), 60, time.time_ns())
        wait_for(lambda: run.gateway.runtime.watch.drill is not None)
        headers, answer = run.ask(SUM)
        assert headers["x-freehold-answered-by"] == "main/big" and text_of(answer).startswith("The answer of big")
        assert "x-freehold-tried" not in headers
        assert traces(tmp_path)[-1].reason == "drill" and traces(tmp_path)[-1].audit_probability == 0.0
        assert run.ask(PROOF)[0]["x-freehold-answered-by"] == "main/big"
        store.close()


def test_nothing_falls_back_to_what_is_cut(tmp_path: Path) -> None:
    with Scripted(hang_up) as broken, Scripted(answering(plain())) as backup:
        first = upstream(broken.base_url, ["m"], fallbacks=("backup",))
        chosen = settings(tmp_path, {"main": first, "backup": upstream(backup.base_url, ["n"], owned=True)})
        with serve_in_thread(chosen) as gateway:
            assert split(raw(gateway.url, post(body("x"))))[1]["x-freehold-answered-by"] == "backup/m"
            store = Store(tmp_path, ControlStore.open(chosen.control_url))
            begin_drill(store, chosen, ("backup",), 60, time.time_ns(), anyway=True)
            wait_for(lambda: gateway.runtime.watch.drill is not None)
            status, headers, _ = split(raw(gateway.url, post(body("x"))))
            assert status == 502 and "x-freehold-drill" not in headers
            store.close()
    assert len(backup.requests) == 1
