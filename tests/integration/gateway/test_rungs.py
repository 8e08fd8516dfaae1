"""A ladder of several models answers what it will do for; whatever goes wrong with it the incumbent answers."""

import json
import socket
from collections.abc import Generator
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest
from click.testing import CliRunner
from gateway_fixtures import (
    JSON_ANSWER,
    SSE_HEAD,
    Scripted,
    answering,
    chunk,
    cut_after,
    hang,
    hang_up,
    plain,
    post,
    traces,
)
from rung_fixtures import (
    LUCKY,
    PROOF,
    RAMBLE,
    STRANGER,
    SUM,
    TASK,
    UNLUCKY,
    Running,
    body,
    priced,
    recorded,
    riddle,
    running,
    small_answer,
    student_answer,
    text_of,
)
from waiting import wait_for

from freehold.cli.doctor import doctor_command
from freehold.domain.policy import Policy
from freehold.domain.traces import Trace
from freehold.ledger import ledger
from freehold.record.derive import Deriver
from freehold.route import StudentAnswer
from freehold.store import Store
from freehold.upstreams.recorded import RecordedAnswers, RunningServer, serve_in_thread

ALLOW = "x-freehold-buffer: allow\r\n"


@pytest.fixture(scope="module")
def models() -> Generator[tuple[RunningServer, RunningServer]]:
    """Recorded servers of `big` and `small`."""
    with (
        serve_in_thread(RecordedAnswers(recorded("big"))) as big,
        serve_in_thread(RecordedAnswers(recorded("small", logprob=-0.25))) as small,
    ):
        yield big, small


@pytest.fixture
def run(tmp_path: Path, models: tuple[RunningServer, RunningServer]) -> Generator[Running]:
    with running(tmp_path, models[0].base_url, models[1].base_url) as found:
        yield found


def of_kind(run: Running, kind: str) -> list[Trace]:
    return [trace for trace in traces(run.data) if trace.kind == kind]


def from_big(answer: bytes) -> bool:
    return text_of(answer).startswith("The answer of big")


def test_by_the_prompt_the_cheap_model_gets_what_it_is_good_at(run: Running) -> None:
    run.publish("prompt", audit_rate=0.999999)
    headers, answer = run.ask(SUM)
    assert text_of(answer) == small_answer(SUM)
    assert headers["x-freehold-answered-by"] == "cheap/small" and headers["x-freehold-certificate"] == "ce_1"
    assert headers["x-freehold-policy"] == "1" and "x-freehold-tried" not in headers
    headers, answer = run.ask(PROOF)
    assert from_big(answer) and headers["x-freehold-answered-by"] == "main/big"
    wait_for(lambda: len(traces(run.data)) == 3)
    moved, kept = of_kind(run, "request")
    assert (moved.answered_by, moved.reason, moved.owned, moved.model) == ("cheap/small", "accepted", False, "big")
    assert moved.certificate == "ce_1" and moved.audited and moved.audit_probability == 0.999999
    assert moved.signal is not None and moved.signal < 0.25 and moved.novelty is not None and moved.novelty < 0.5
    assert json.loads(moved.request)["model"] == "big", "what the caller asked is recorded as it came"
    assert (kept.reason, kept.audit_probability) == ("uncertain", 0.999999) and (kept.signal or 0) > 0.5
    (audit,) = of_kind(run, "audit")
    assert audit.of == moved.trace_id and audit.answered_by == "main/big" and from_big(audit.response)


def test_a_stream_is_routed_by_its_prompt_and_passed_on(run: Running) -> None:
    run.publish("prompt")
    client = openai.OpenAI(base_url=f"{run.gateway.url}/v1", api_key="sk", max_retries=0)
    messages = [{"role": "system", "content": "Solve the problem."}, {"role": "user", "content": SUM}]
    pieces = list(client.chat.completions.create(model="big", messages=messages, stream=True))  # type: ignore[arg-type]
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == small_answer(SUM)
    assert len(pieces) > 3, "word by word, as the model sent it"
    (trace,) = traces(run.data)
    assert (trace.answered_by, trace.reason, trace.stream) == ("cheap/small", "accepted", True)


def test_a_cascade_takes_a_good_answer_and_counts_what_a_bad_one_cost(run: Running) -> None:
    run.publish("cascade", logprobs=True, validity=True)
    headers, answer = run.ask(LUCKY)
    assert text_of(answer) == small_answer(LUCKY) and headers["x-freehold-answered-by"] == "cheap/small"
    assert json.loads(answer)["choices"][0]["logprobs"]["content"][0]["logprob"] == -0.25
    headers, answer = run.ask(UNLUCKY)
    assert from_big(answer)
    assert (headers["x-freehold-answered-by"], headers["x-freehold-tried"]) == ("main/big", "small")
    accepted, escalated = of_kind(run, "request")
    assert (accepted.reason, escalated.reason) == ("accepted", "uncertain")
    assert accepted.signal is not None and escalated.signal is not None and accepted.signal < 0.25 < escalated.signal
    (wasted,) = of_kind(run, "rung")
    assert (wasted.of, wasted.parent, wasted.reason) == (escalated.trace_id, escalated.trace_id, "uncertain")
    assert (wasted.answered_by, wasted.signal) == ("cheap/small", escalated.signal)
    assert text_of(wasted.response) == RAMBLE and wasted.task == TASK
    store = Store.open(run.data, f"sqlite:///{run.data / 'control.sqlite'}")
    total = ledger(store, derive=Deriver(priced())).total
    # 100 tokens in and 50 out: 200,000 nano-dollars of the big model, 20,000 of the small one, which was asked twice.
    assert (total.requests, total.spent.measured, total.rungs.measured) == (2, 200_000, 20_000)
    assert (total.wasted.measured, total.moved.assumed, total.saved.total) == (20_000, 200_000, 160_000)
    assert run.gateway.runtime.metrics.rungs == {("small", "accepted"): 1, ("small", "refused"): 1}


class RiddleStudent:
    """Answers as the fixtures' student does; `signal` and `novelty` are not looked at."""

    def input_tokens(self, prompt: str) -> int:
        return 100

    def output_tokens(self, text: str) -> int:
        return 50

    def answer(self, prompt: str) -> StudentAnswer:
        if prompt == riddle(12):
            raise ValueError("not that")
        return StudentAnswer(student_answer(prompt), 0.0, 9.0)


def test_an_owned_student_and_a_rented_model_make_one_ladder(run: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("freehold.gateway.ladder.students.load_student", lambda folder, sha256: RiddleStudent())
    run.publish("cascade", student=True)
    headers, answer = run.ask(riddle(4))
    assert (text_of(answer), headers["x-freehold-answered-by"]) == (small_answer(riddle(4)), "student/st_1")
    headers, answer = run.ask(riddle(6), ALLOW, stream=True)
    assert (text_of(answer), headers["x-freehold-answered-by"]) == (small_answer(riddle(6)), "cheap/small")
    assert headers["x-freehold-tried"] == "student/st_1"
    owned, rented = of_kind(run, "request")
    assert owned.owned and owned.certificate == "ce_1" and not rented.owned
    (wasted,) = of_kind(run, "rung")
    assert (wasted.of, wasted.answered_by, wasted.owned) == (rented.trace_id, "student/st_1", True)
    assert text_of(wasted.response) == student_answer(riddle(6))
    headers, answer = run.ask(riddle(7))
    assert from_big(answer) and headers["x-freehold-tried"] == "student/st_1", "the other was not worth asking"
    assert from_big(run.ask(riddle(12))[1])
    assert of_kind(run, "request")[-1].reason == "student-failed"


def test_self_consistency_asks_more_than_once_and_records_it(run: Running, models: tuple[RunningServer, ...]) -> None:
    run.publish("cascade", samples=3)
    before = models[1].app.served
    assert text_of(run.ask(LUCKY)[1]) == small_answer(LUCKY)
    assert models[1].app.served == before + 3
    assert [trace.reason for trace in of_kind(run, "rung")] == ["sampled", "sampled"]


def test_a_cascade_looks_at_streams_only_with_permission(run: Running) -> None:
    run.publish("cascade")
    headers, answer = run.ask(LUCKY, stream=True)
    assert from_big(answer) and headers["content-type"].startswith("text/event-stream")
    assert traces(run.data)[-1].reason == "streaming"
    headers, answer = run.ask(LUCKY, ALLOW, stream=True, stream_options={"include_usage": True})
    assert headers["content-type"].startswith("text/event-stream")
    assert text_of(answer) == small_answer(LUCKY) and headers["x-freehold-answered-by"] == "cheap/small"
    assert b'"usage":{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150}' in answer
    headers, answer = run.ask(UNLUCKY, ALLOW, stream=True)
    assert from_big(answer) and headers["x-freehold-tried"] == "small"
    (wasted,) = of_kind(run, "rung")
    assert not wasted.stream and "stream" not in json.loads(wasted.request)


def test_what_the_ladder_may_not_answer_goes_to_the_incumbent_with_the_reason(run: Running) -> None:
    run.publish("prompt")
    cases = [
        ("pinned", SUM, "x-freehold-pin: incumbent\r\n", {}),
        ("novel", STRANGER, "", {}),
        ("unsupported", SUM, "", {"n": 2}),
        ("no-rung", SUM, "x-freehold-task: something else\r\n", {}),
    ]
    for _, text, headers, more in cases:
        assert from_big(run.ask(text, headers, **more)[1])
    assert [trace.reason for trace in traces(run.data)] == [case[0] for case in cases]
    assert (traces(run.data)[1].novelty or 0) > 0.9
    run.publish("prompt", fingerprints=("f" * 24,))
    assert from_big(run.ask(SUM)[1]) and traces(run.data)[-1].reason == "novel"
    assert from_big(run.ask(SUM, "x-freehold-record: off\r\n")[1])


def test_a_policy_changes_under_traffic_and_damage_is_noticed(run: Running) -> None:
    run.publish("prompt")
    assert text_of(run.ask(SUM)[1]) == small_answer(SUM)
    run.publish("cascade")
    assert text_of(run.ask(LUCKY)[1]) == small_answer(LUCKY)
    run.publish(None)
    assert from_big(run.ask(SUM)[1]) and traces(run.data)[-1].reason == "no-rung"
    run.publish("prompt")
    assert text_of(run.ask(SUM)[1]) == small_answer(SUM)
    weights = run.data / "routers" / "prompt_false" / "tensors.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    wait_for(lambda: TASK in run.gateway.runtime.watch.view.unusable)
    assert from_big(run.ask(SUM)[1]) and traces(run.data)[-1].reason == "ladder-unusable"
    (event,) = run.control.events()
    assert event.kind == "ladder-unusable" and str(weights) in event.message
    assert TASK in " ".join(run.gateway.runtime.degraded())
    run.publish("cascade", models=(), usable=False)
    assert "not for a cascade ladder" in run.control.events()[0].message


NOT_ANSWERS = {
    "down": hang_up,
    "hanging": hang,
    "error": answering(plain(b'{"error": {"message": "overloaded"}}', "503 Service Unavailable")),
    "no json": answering(plain(b"<html>a proxy's page</html>")),
    "no choices": answering(plain(b'{"choices": []}')),
    "null": answering(plain(b'{"choices": [{"message": {"content": null}}]}')),
    "cut": cut_after(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{"),
}
NOT_STREAMS = {
    "down": hang_up,
    "no stream": answering(plain()),
    "error event": answering(SSE_HEAD, chunk(b'data: {"error": {"code": 503}}\n\n'), b"0\r\n\r\n"),
    "silent": answering(SSE_HEAD, chunk(b": waiting\n\n"), pause=3600),
    "empty": answering(SSE_HEAD, b"0\r\n\r\n"),
}


@pytest.mark.parametrize("signal", ["prompt", "cascade"])
@pytest.mark.parametrize("how", NOT_ANSWERS)
def test_a_rung_that_fails_costs_its_caller_nothing_but_time(tmp_path: Path, how: str, signal: str) -> None:
    with (
        Scripted(NOT_ANSWERS[how]) as small,
        Scripted(answering(plain())) as big,
        running(tmp_path, big.base_url, small.base_url, rung_timeout_seconds=0.4) as run,
    ):
        run.publish(signal, audit_rate=0.999999)  # type: ignore[arg-type]
        headers, answer = run.ask(SUM)
        assert answer == JSON_ANSWER
        assert (headers["x-freehold-answered-by"], headers["x-freehold-tried"]) == ("main/big", "small")
        failed, request = sorted(traces(tmp_path), key=lambda trace: trace.kind == "request")
        assert (request.reason, request.audit_probability, request.status) == ("rung-failed", 0.0, 200)
        assert (failed.kind, failed.of, failed.reason) == ("rung", request.trace_id, "rung-failed")
        assert failed.error is not None
        for _ in range(3):
            assert run.ask(SUM)[1] == JSON_ANSWER
        assert [t.reason for t in traces(tmp_path) if t.kind == "request"][2:] == ["rung-failed", "rung-resting"]
        assert len(small.requests) == 3 and len(big.requests) == 4, "it is left alone, and nothing was audited"


@pytest.mark.parametrize("how", NOT_STREAMS)
def test_a_stream_that_does_not_begin_is_the_incumbents(tmp_path: Path, how: str) -> None:
    with (
        Scripted(NOT_STREAMS[how]) as small,
        Scripted(answering(plain())) as big,
        running(tmp_path, big.base_url, small.base_url, rung_timeout_seconds=0.4) as run,
    ):
        run.publish("prompt")
        assert run.ask(SUM, stream=True)[1] == JSON_ANSWER
        assert {trace.reason for trace in traces(tmp_path)} == {"rung-failed"}


def test_secrets_stay_with_the_upstream_that_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = "authorization: Bearer sk-callers\r\napi-key: sk-2\r\ncookie: c=sk-3\r\nopenai-organization: sk-4\r\n"
    ways: dict[str, dict[str, Any]] = {
        "keyless": {"keyless": True},
        "own": {"keyless": False, "api_key_env": "CHEAP_KEY"},
    }
    for name, cheap in ways.items():
        monkeypatch.setenv("CHEAP_KEY", "sk-own")
        with (
            Scripted(answering(plain())) as small,
            Scripted(answering(plain())) as big,
            running(tmp_path / name, big.base_url, small.base_url, cheap=cheap) as run,
        ):
            for signal in ("prompt", "cascade"):
                run.publish(signal, audit_rate=0.999999)  # type: ignore[arg-type]
                run.ask(SUM, secrets)
            run.publish("prompt")
            run.ask(SUM, secrets, stream=True)
            wait_for(lambda big=big: len(big.requests) >= 2)
            assert len(small.requests) == 3
            sent = [f"{request.line} {request.headers}" for request in small.requests]
            assert not any(secret in line for line in sent for secret in ("sk-callers", "sk-2", "sk-3", "sk-4"))
            own = {request.headers.get("authorization") for request in small.requests}
            assert own == ({None} if name == "keyless" else {"Bearer sk-own"})
            assert big.requests[0].headers["authorization"] == "Bearer sk-callers", "audits go to the one asked for"


def test_a_model_that_would_need_the_callers_key_makes_the_ladder_unusable(tmp_path: Path) -> None:
    with (
        Scripted(answering(plain())) as small,
        Scripted(answering(plain())) as big,
        running(tmp_path, big.base_url, small.base_url, cheap={"keyless": False}) as run,
    ):
        run.publish("prompt", usable=False)
        assert run.ask(SUM, "authorization: Bearer sk-c\r\n")[1] == JSON_ANSWER
        assert small.requests == [] and traces(tmp_path)[-1].reason == "ladder-unusable"
        (event,) = run.control.events()
        assert "upstreams.cheap.api_key_env" in event.message and "keyless" in event.message


def test_the_doctor_says_whether_a_ladder_can_be_used(run: Running) -> None:
    run.publish("prompt")
    config = run.data.parent / f"{run.data.name}.toml"

    def said(cheap: str) -> tuple[str, str]:
        config.write_text(
            f'data_dir = "{run.data}"\n[upstreams.main]\nbase_url = "http://127.0.0.1:1/v1"\nmodels = ["big"]\n'
            f'[upstreams.cheap]\nbase_url = "http://127.0.0.1:1/v1"\nmodels = ["small"]\n{cheap}\n'
        )
        result = CliRunner().invoke(doctor_command, ["--json", "--config", str(config)])
        report = result.stdout.splitlines()[-1]  # the gateway, in this process, may log at the same moment
        found = {check["what"]: (check["level"], check["says"]) for check in json.loads(report)}
        return found[f"ladder of {TASK}"]

    assert said("keyless = true") == ("ok", "small: every file's hash holds, and every model may be asked")
    level, says = said("")
    assert level == "error" and "upstreams.cheap.api_key_env" in says
    (run.data / "routers" / "prompt_false" / "manifest.json").unlink()
    level, says = said("keyless = true")
    assert level == "error" and "manifest.json cannot be read" in says


def test_only_the_model_changes_in_what_a_rung_is_asked(tmp_path: Path) -> None:
    odd: dict[str, Any] = {"temperature": 0.30, "x_odd": [1.0, 1e2, {"é": None}], "stream": False}
    with (
        Scripted(answering(plain())) as small,
        Scripted(answering(plain())) as big,
        running(tmp_path, big.base_url, small.base_url) as run,
    ):
        run.publish("prompt")
        run.ask(SUM, **odd)
    (asked,) = small.requests
    asked_as = json.loads(asked.body)
    assert asked_as.pop("model") == "small" and "stream" not in asked_as
    assert asked_as == {key: value for key, value in asked_of(SUM, odd).items() if key not in ("model", "stream")}
    assert b'[1.0, 100.0, {"\\u00e9": null}]' in asked.body, "byte for byte"


def asked_of(text: str, more: dict[str, Any]) -> dict[str, object]:
    return json.loads(body(text, **more))


def test_a_caller_who_leaves_ends_the_call_to_the_rung(tmp_path: Path) -> None:
    with (
        Scripted(hang) as small,
        Scripted(answering(plain())) as big,
        running(tmp_path, big.base_url, small.base_url) as run,
    ):
        run.publish("cascade")
        host, _, port = run.gateway.url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(post(body(SUM)))
            wait_for(lambda: small.requests)
        assert small.gone.wait(5)
        wait_for(lambda: len(traces(tmp_path)) == 2)
        assert {trace.kind for trace in traces(tmp_path)} == {"rung", "request"} and big.requests == []


def test_owned_upstreams_count_as_owned(tmp_path: Path, models: tuple[RunningServer, RunningServer]) -> None:
    big, small = models
    with running(tmp_path, big.base_url, small.base_url, cheap={"owned": True}) as run:
        run.publish("prompt")
        run.ask(SUM)
        run.ask(SUM, stream=True)
        assert [trace.owned for trace in traces(tmp_path)] == [True, True]
        assert run.gateway.runtime.metrics.owned == 2


def test_old_policies_can_still_be_read() -> None:
    old = b'{"version":3,"tasks":{"t":{"task":"t","rungs":[],"audit_rate":0.1}}}'
    policy = msgspec.json.decode(old, type=Policy)
    assert policy.tasks["t"].ladder is None
