"""A certified generative student answers in its server: unseen first, then a share, then all."""

import json
import math
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from gateway_fixtures import Scripted, answering, cut_after, plain, post, raw, settings, split, traces, upstream
from waiting import wait_for

from freehold.config import ServerSettings, StudentSettings
from freehold.domain.chat import answer_schema, parse_chat
from freehold.domain.fingerprint import shape_of, task_id_of_fingerprint
from freehold.domain.policy import Policy, Rung, TaskPolicy
from freehold.gateway import RunningGateway, serve_in_thread
from freehold.serving import GenerativeManifest, learn_gate
from freehold.store import ControlStore
from freehold.store.artifacts import adopt_student

SYSTEM = {"role": "system", "content": "Give the order number as JSON."}
KNOWN = "where is order 17 please"
STRANGER = "zwölf boxkämpfer jagen viktor quer"


def body(text: str, **more: object) -> bytes:
    return json.dumps({"model": "m", "messages": [SYSTEM, {"role": "user", "content": text}], **more}).encode()


FINGERPRINT = shape_of(parse_chat(body("x"))).fingerprint
TASK = task_id_of_fingerprint(FINGERPRINT)


def said(text: str, total: float | None = -0.01, finish: str = "stop") -> bytes:
    logprobs = None if total is None else {"content": [{"token": text, "logprob": total}], "total": total}
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "logprobs": logprobs,
        "finish_reason": finish,
    }
    return json.dumps({"id": "c", "object": "chat.completion", "model": "st_1", "choices": [choice]}).encode()


def form(most: int) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"order": {"type": "integer", "maximum": most}}}
    return {"type": "json_schema", "json_schema": {"name": "order", "schema": schema}}


def student_folder(data: Path, schema: str = "") -> str:
    """A generative student without weights: the gateway needs its gate only. Returns its manifest's hash."""
    made = data / "made"
    made.mkdir(parents=True)
    learned = learn_gate([f"where is order {n} please" for n in range(9)])
    manifest = GenerativeManifest(
        task=TASK,
        dataset="ds",
        dataset_sha256="0",
        seed=0,
        recipe={},
        weights="full",
        context=64,
        max_answer_tokens=16,
        answer_schema=schema,
        parameters=1,
        input_tokens_fixed=10.0,
        input_tokens_per_character=1.0,
        output_tokens_per_character=1.0,
    )
    return adopt_student(
        data / "students" / "st_1", made, msgspec.to_builtins(manifest), {"gate_vocabulary": learned.vocabulary}
    )


class Running(NamedTuple):
    gateway: RunningGateway
    provider: Scripted
    server: Scripted
    control: ControlStore
    sha256: str

    def publish(self, audit_rate: float = 0.05, task: str = TASK, **changes: Any) -> None:
        fields: dict[str, Any] = {
            "student": "st_1",
            "path": "students/st_1",
            "sha256": self.sha256,
            "threshold": 0.8,
            "novelty_limit": 0.4,
            "certificate": "ce_1",
            "fingerprints": (FINGERPRINT,),
            "kind": "generative",
            **changes,
        }
        entry = TaskPolicy(task=task, rungs=(Rung(**fields),), audit_rate=audit_rate)
        new = Policy(reason="test", tasks={task: entry})
        version = self.control.publish_policy(new, self.control.policy_version()).version
        watch = self.gateway.runtime.watch
        wait_for(lambda: watch.view.policy.version == version and watch.view.students)

    def ask(self, text: str, **more: object) -> tuple[dict[str, str], bytes]:
        status, found, answer = split(raw(self.gateway.url, post(body(text, **more))))
        assert status == 200
        return found, answer


@contextmanager
def running(data: Path, answer: bytes = b"", schema: str = "") -> Generator[Running]:
    sha256 = student_folder(data, schema)
    script = answering(plain(answer or said('{"order": 17}')))
    with Scripted(answering(plain())) as provider, Scripted(script) as server:
        chosen = settings(data, {"main": upstream(provider.base_url)})
        students = StudentSettings(server=ServerSettings(url=server.base_url))
        chosen = msgspec.structs.replace(chosen, students=students)
        control = ControlStore.open(chosen.control_url)
        with serve_in_thread(chosen) as gateway:
            yield Running(gateway, provider, server, control, sha256)
        control.close()


def test_a_sure_answer_is_the_callers_and_the_student_sees_what_it_was_certified_on(tmp_path: Path) -> None:
    with running(tmp_path) as run:
        run.publish(audit_rate=0.001)
        headers, answer = run.ask(KNOWN)
        assert json.loads(answer)["choices"][0]["message"]["content"] == '{"order": 17}'
        assert headers["x-freehold-answered-by"] == "student/st_1" and run.provider.requests == []
        [request] = run.server.requests
        asked = json.loads(request.body)
        assert asked["messages"] == [{"role": "user", "content": KNOWN}] and asked["logprobs"] is True
        assert (asked["model"], asked["temperature"]) == ("st_1", 0)
        _, events = run.ask(KNOWN, stream=True)
        assert b'{\\"order\\": 17}' in events and b"data: [DONE]" in events
    first, second = traces(tmp_path)
    assert (first.owned, first.reason, first.certificate) == (True, "accepted", "ce_1")
    assert first.signal == pytest.approx(math.exp(-0.01)) and first.novelty is not None and first.novelty <= 0.4
    assert second.stream and json.loads(answer)["usage"]["prompt_tokens"] == 10 + len(KNOWN)


def test_it_is_asked_by_the_schema_it_was_certified_with_and_not_where_callers_send_another(tmp_path: Path) -> None:
    known = form(99)
    fingerprint = shape_of(parse_chat(body("x", response_format=known))).fingerprint
    task = task_id_of_fingerprint(fingerprint)
    with running(tmp_path, schema=answer_schema(parse_chat(body("x", response_format=known)))) as run:
        run.publish(task=task, fingerprints=(fingerprint,))
        headers, _ = run.ask(KNOWN, response_format=known)
        assert headers["x-freehold-answered-by"] == "student/st_1"
        [request] = run.server.requests
        asked = json.loads(request.body)["response_format"]["json_schema"]["schema"]
        assert asked == known["json_schema"]["schema"]
        # Fingerprints pass over numbers.
        assert shape_of(parse_chat(body("x", response_format=form(7)))).fingerprint == fingerprint
        headers, _ = run.ask(KNOWN, response_format=form(7))
        assert headers["x-freehold-answered-by"] == "main/m" and len(run.server.requests) == 1
    assert [trace.reason for trace in traces(tmp_path)][-1] == "novel"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (said("x", total=-3.0), "uncertain"),
        (said("x", total=None), "uncertain"),
        (said("x", finish="length"), "uncertain"),
        (b"not json", "rung-failed"),
    ],
)
def test_what_is_unsure_unfinished_or_broken_goes_to_the_incumbent(answer: bytes, reason: str, tmp_path: Path) -> None:
    with running(tmp_path, answer) as run:
        run.publish()
        headers, _ = run.ask(KNOWN)
        assert headers["x-freehold-answered-by"] == "main/m" and len(run.server.requests) == 1
    kinds = {trace.kind: trace for trace in traces(tmp_path)}
    assert kinds["request"].reason == reason and not kinds["request"].owned
    assert kinds["rung"].of == kinds["request"].trace_id and kinds["rung"].answered_by == "student/st_1"


def test_strangers_are_not_even_asked_about(tmp_path: Path) -> None:
    with running(tmp_path) as run:
        run.publish()
        headers, _ = run.ask(STRANGER)
        assert headers["x-freehold-answered-by"] == "main/m" and run.server.requests == []
    assert [trace.reason for trace in traces(tmp_path)] == ["novel"]


def test_a_server_that_is_gone_costs_nobody_an_answer_and_is_left_alone_after_a_while(tmp_path: Path) -> None:
    with running(tmp_path) as run:
        run.server.script = cut_after(b"")
        run.publish()
        for _ in range(4):
            headers, _ = run.ask(KNOWN)
            assert headers["x-freehold-answered-by"] == "main/m"
    reasons = [trace.reason for trace in traces(tmp_path) if trace.kind == "request"]
    assert reasons == ["rung-failed"] * 3 + ["rung-resting"]


def test_in_its_shadow_stage_nobody_sees_its_answers(tmp_path: Path) -> None:
    with running(tmp_path) as run:
        run.publish(stage="shadow")
        headers, _ = run.ask(KNOWN)
        run.ask(STRANGER)
        assert headers["x-freehold-answered-by"] == "main/m"
        wait_for(lambda: len(run.server.requests) == 1)
        wait_for(lambda: any(trace.kind == "shadow" for trace in traces(tmp_path)))
    found = traces(tmp_path)
    [shadow] = [trace for trace in found if trace.kind == "shadow"]
    assert [trace.reason for trace in found if trace.kind == "request"] == ["shadow", "shadow"]
    assert shadow.answered_by == "student/st_1" and shadow.owned and shadow.status == 200


def test_a_canary_answers_its_share_only(tmp_path: Path) -> None:
    with running(tmp_path) as run:
        run.publish(stage="canary", share=0.3)
        for _ in range(120):
            run.ask(KNOWN)
    reasons = [trace.reason for trace in traces(tmp_path) if trace.kind == "request"]
    assert set(reasons) == {"accepted", "canary"} and 15 <= reasons.count("accepted") <= 60
