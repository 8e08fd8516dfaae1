"""Certified students answer, audits follow, and whatever goes wrong with them the incumbent answers."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import openai
import pytest
from gateway_fixtures import JSON_ANSWER, Scripted, answering, hang, plain, post, raw, settings, split, traces, upstream
from waiting import wait_for

from freehold.domain.chat import parse_chat
from freehold.domain.errors import StudentError
from freehold.domain.fingerprint import shape_of, task_id_of_fingerprint
from freehold.domain.policy import Policy, Rung, TaskPolicy
from freehold.gateway import RunningGateway, serve_in_thread
from freehold.route import StudentAnswer
from freehold.store import ControlStore

SYSTEM = {"role": "system", "content": "Is the message urgent? Answer yes or no."}


def body(text: str, **more: object) -> bytes:
    return json.dumps({"model": "m", "messages": [SYSTEM, {"role": "user", "content": text}], **more}).encode()


FINGERPRINT = shape_of(parse_chat(body("x"))).fingerprint
TASK = task_id_of_fingerprint(FINGERPRINT)


class FakeStudent:
    """Signal and novelty are in the prompt: `0.9 0.1 text`; `crash` raises."""

    def input_tokens(self, prompt: str) -> int:
        return len(prompt)

    def output_tokens(self, text: str) -> int:
        return len(text)

    def answer(self, prompt: str) -> StudentAnswer:
        signal, novelty, _ = prompt.split(" ", 2)
        return StudentAnswer("yes", float(signal), float(novelty))


def load(folder: Path, sha256: str) -> FakeStudent:
    if not (folder / "manifest.json").exists():
        raise StudentError(f"{folder} has no manifest.", "Train again.")
    return FakeStudent()


def policy(fingerprints: tuple[str, ...] = (FINGERPRINT,), **task: Any) -> Policy:
    rung = Rung(
        student="st_1",
        path="students/st_1",
        sha256="0" * 64,
        threshold=0.8,
        novelty_limit=0.5,
        certificate="ce_1",
        fingerprints=fingerprints,
    )
    return Policy(reason="test", tasks={TASK: TaskPolicy(task=TASK, rungs=(rung,), **task)})


class Running(NamedTuple):
    gateway: RunningGateway
    provider: Scripted
    control: ControlStore

    def publish(self, new: Policy) -> None:
        version = self.control.publish_policy(new, self.control.policy_version()).version
        watch = self.gateway.runtime.watch
        wait_for(lambda: watch.view.policy.version == version and (watch.view.students or watch.view.damaged))

    def ask(self, text: str, headers: str = "", **more: object) -> tuple[dict[str, str], bytes]:
        status, found, answer = split(raw(self.gateway.url, post(body(text, **more), headers=headers)))
        assert status == 200
        return found, answer


@contextmanager
def running(data: Path, monkeypatch: pytest.MonkeyPatch, **gateway: object) -> Generator[Running]:
    monkeypatch.setattr("freehold.gateway.runtime.load_student", load)
    folder = data / "students" / "st_1"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    with Scripted(answering(plain())) as provider:
        chosen = settings(data, {"main": upstream(provider.base_url)}, **gateway)
        control = ControlStore.open(chosen.control_url)
        with serve_in_thread(chosen) as server:
            yield Running(server, provider, control)
        control.close()


def test_accepted_answers_have_the_incumbents_shape_and_leave_a_whole_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path, monkeypatch) as run:
        run.publish(policy(audit_rate=0.001))
        client = openai.OpenAI(base_url=f"{run.gateway.url}/v1", api_key="sk", max_retries=0)
        messages = [SYSTEM, {"role": "user", "content": "0.9 0.1 help"}]
        answer = client.chat.completions.with_raw_response.create(model="m", messages=messages)  # type: ignore[arg-type]
        completion = answer.parse()
        assert completion.choices[0].message.content == "yes" and completion.choices[0].finish_reason == "stop"
        assert completion.model == "m" and completion.id.startswith("chatcmpl-tr_")
        assert completion.usage is not None and completion.usage.total_tokens == len("0.9 0.1 help") + 3
        stream = list(
            client.chat.completions.create(
                model="m",
                messages=messages,  # type: ignore[arg-type]
                stream=True,
                stream_options={"include_usage": True},
            )
        )
        assert "".join(piece.choices[0].delta.content or "" for piece in stream if piece.choices) == "yes"
        assert stream[-1].usage is not None and [bool(piece.choices) for piece in stream] == [True] * 3 + [False]
        assert run.provider.requests == []
        first, second = traces(tmp_path)
        assert (first.owned, first.reason, first.certificate, first.answered_by) == (
            True,
            "accepted",
            "ce_1",
            "student/st_1",
        )
        assert (first.signal, first.novelty, first.audit_probability, first.policy) == (0.9, 0.1, 0.001, 1)
        assert (first.task, first.fingerprint) == (TASK, FINGERPRINT)
        assert first.response == answer.content and second.response.endswith(b"data: [DONE]\n\n")
        assert answer.headers["x-freehold-certificate"] == "ce_1"
        assert answer.headers["x-freehold-policy"] == "1"
        assert answer.headers["x-freehold-answered-by"] == "student/st_1"


def test_what_a_student_may_not_answer_goes_to_the_incumbent_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path, monkeypatch) as run:
        run.publish(policy(audit_rate=0.001))
        cases: list[tuple[str, str, str, dict[str, object]]] = [
            ("pinned", "0.9 0.1 x", "x-freehold-pin: incumbent\r\n", {}),
            ("uncertain", "0.7 0.1 x", "", {}),
            ("uncertain", "nan 0.1 x", "", {}),
            ("novel", "0.9 0.6 x", "", {}),
            ("novel", "0.9 nan x", "", {}),
            ("student-failed", "crash", "", {}),
            ("unsupported", "0.9 0.1 x", "", {"n": 2}),
            ("no-rung", "0.9 0.1 x", "x-freehold-task: something else\r\n", {}),
        ]
        for _, text, headers, more in cases:
            found, answer = run.ask(text, headers, **more)
            assert answer == JSON_ANSWER and found["x-freehold-answered-by"] == "main/m"
        assert [trace.reason for trace in traces(tmp_path)] == [case[0] for case in cases]
        drawn = {trace.reason for trace in traces(tmp_path) if trace.audit_probability == 0.001}
        assert drawn == {"uncertain", "novel"}, "samples are thinned by the rate that is recorded with them"
        assert run.ask("0.9 0.1 x", "x-freehold-record: off\r\n")[1] == JSON_ANSWER
        assert len(traces(tmp_path)) == len(cases)
        run.publish(policy(fingerprints=("f" * 24,)))
        assert run.ask("0.9 0.1 x")[1] == JSON_ANSWER
        assert traces(tmp_path)[-1].reason == "novel"


def test_audits_and_repeats_ask_the_incumbent_and_name_what_they_are_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path, monkeypatch) as run:
        run.publish(policy(audit_rate=0.999999, repeat_rate=1.0))
        assert b"yes" in run.ask("0.9 0.1 x", "authorization: Bearer sk-c\r\nidempotency-key: 7\r\n", stream=True)[1]
        run.ask("0.1 0.1 x")
        wait_for(lambda: len(traces(tmp_path)) == 4)
        found = {trace.kind if trace.of else trace.reason: trace for trace in traces(tmp_path)}
        owned, audit = found["accepted"], found["audit"]
        assert owned.audited and owned.audit_probability == 0.999999
        assert audit.of == owned.trace_id and (audit.task, audit.fingerprint) == (TASK, FINGERPRINT)
        assert (audit.status, audit.response, audit.owned, audit.answered_by) == (200, JSON_ANSWER, False, "main/m")
        asked = next(request for request in run.provider.requests if request.body == audit.request)
        assert json.loads(asked.body) == json.loads(body("0.9 0.1 x"))
        assert asked.headers["authorization"] == "Bearer sk-c" and "idempotency-key" not in asked.headers
        assert found["repeat"].of == found["uncertain"].trace_id
        assert found["repeat"].request == found["uncertain"].request


def test_audits_are_bounded_and_never_hold_up_traffic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(tmp_path, monkeypatch, audit_concurrency=2, audit_queue=3) as run:
        run.publish(policy(audit_rate=0.999999))
        run.provider.script = hang
        for _ in range(20):
            assert b"yes" in run.ask("0.9 0.1 x")[1]
        audits = run.gateway.runtime.metrics.audits
        assert audits["queued"] <= 2 + 3 + 1 and audits["queued"] + audits["dropped"] == 20


def test_a_deleted_student_is_noticed_said_once_and_can_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path, monkeypatch) as run:
        run.publish(policy(audit_rate=0.001))
        assert b"yes" in run.ask("0.9 0.1 x")[1]
        manifest = tmp_path / "students" / "st_1" / "manifest.json"
        manifest.unlink()
        wait_for(lambda: run.gateway.runtime.watch.view.damaged)
        assert run.ask("0.9 0.1 x")[1] == JSON_ANSWER
        assert traces(tmp_path)[-1].reason == "student-missing"
        (event,) = run.control.events()
        assert (event.kind, event.task) == ("student-damaged", TASK) and "incumbent" in event.message
        assert "st_1" in " ".join(run.gateway.runtime.degraded())
        manifest.write_text("{}")
        wait_for(lambda: not run.gateway.runtime.watch.view.damaged)
        assert b"yes" in run.ask("0.9 0.1 x")[1]


def test_without_the_control_store_nothing_moves_and_traffic_flows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path, monkeypatch, policy_lease_seconds=0.5) as run:
        run.publish(policy(audit_rate=0.001))
        assert b"yes" in run.ask("0.9 0.1 x")[1]
        control = tmp_path / "control.sqlite"
        control.rename(tmp_path / "gone.sqlite")
        for leftover in tmp_path.glob("control.sqlite-*"):
            leftover.unlink()
        control.mkdir()
        wait_for(lambda: run.gateway.runtime.watch.stale)
        assert run.ask("0.9 0.1 x")[1] == JSON_ANSWER
        assert traces(tmp_path)[-1].reason == "policy-stale"
        assert "Nothing is answered by students" in " ".join(run.gateway.runtime.degraded())
