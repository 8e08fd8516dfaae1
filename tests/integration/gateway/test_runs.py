"""Agents' runs at the gateway: by headers, by base URL, by what harnesses send; and who is not let in by them."""

from __future__ import annotations

import http.client
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from gateway_fixtures import Scripted, answering, plain, post, raw, records, settings, split, traces, upstream
from waiting import wait_for

from freehold.domain.traces import Feedback
from freehold.gateway import serve_in_thread
from freehold.record.derive import Deriver
from freehold.record.episodes.read import read_episode
from freehold.store import Store
from freehold.store.traces.read import read_feedback

BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
MESSAGES = b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}'
RESPONSES = b'{"model":"m","input":"hi"}'
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("path", "body", "sent"),
    [
        ("/r/run-7/planner/-/v1/chat/completions", BODY, "POST /v1/chat/completions HTTP/1.1"),
        ("/r/run-7/planner/-/v1/responses?x=/r/a/b/c/v1/", RESPONSES, "POST /v1/responses?x=/r/a/b/c/v1/ HTTP/1.1"),
        ("/r/run-7/planner/-/v1/r/x/v1/y", BODY, "POST /v1/r/x/v1/y HTTP/1.1"),
        ("/r/run%2D7/pl%61nner/-/v1/embeddings", RESPONSES, "POST /v1/embeddings HTTP/1.1"),
    ],
)
def test_a_base_url_says_whose_request_it_is_and_never_goes_upstream(
    tmp_path: Path, path: str, body: bytes, sent: str
) -> None:
    with (
        Scripted(answering(plain())) as provider,
        serve_in_thread(settings(tmp_path, {"main": upstream(provider.base_url)})) as gateway,
    ):
        status, headers, _ = split(raw(gateway.url, post(body, path)))
        assert status == 200
        assert provider.requests[0].line == sent
        (trace,) = traces(tmp_path)
        assert (trace.episode, trace.agent, trace.parent, trace.linked) == ("run-7", "planner", None, "url")
        assert headers["x-freehold-trace"] == trace.trace_id


def test_a_head_that_comes_again_says_the_same_again(tmp_path: Path) -> None:
    with (
        Scripted(answering(plain())) as provider,
        serve_in_thread(settings(tmp_path, {"main": upstream(provider.base_url)})) as gateway,
        closing(http.client.HTTPConnection(gateway.url.removeprefix("http://"), timeout=10)) as connection,
    ):
        for _ in range(4):
            connection.request("POST", "/r/run-7/a/b/v1/chat/completions", BODY, {"x-freehold-subject": "s"})
            assert connection.getresponse().read()
        found = {(trace.episode, trace.agent, trace.parent, trace.subject) for trace in traces(tmp_path)}
        assert found == {("run-7", "a", "b", "s")} and len(traces(tmp_path)) == 4
        assert {request.line for request in provider.requests} == {"POST /v1/chat/completions HTTP/1.1"}


def test_names_may_hold_what_a_url_must_escape(tmp_path: Path) -> None:
    with (
        Scripted(answering(plain())) as provider,
        serve_in_thread(settings(tmp_path, {"main": upstream(provider.base_url)})) as gateway,
    ):
        raw(gateway.url, post(BODY, "/r/a%2Fv1%2Fb/left%20one/tr_0011223344/v1/chat/completions"))
        (trace,) = traces(tmp_path)
        assert (trace.episode, trace.agent, trace.parent) == ("a/v1/b", "left one", "tr_0011223344")


def test_headers_count_more_than_the_url_and_both_more_than_a_harness(tmp_path: Path) -> None:
    session = "x-claude-code-session-id: s-1\r\nx-claude-code-agent-id: a-1\r\nx-claude-code-parent-agent-id: a-0\r\n"
    own = "x-freehold-episode: run-8\r\n"
    asked = [
        ("/v1/chat/completions", "", (None, None, None, "")),
        ("/v1/chat/completions", session, ("s-1", "a-1", "a-0", "session")),
        ("/v1/chat/completions", session + own, ("run-8", None, None, "header")),
        ("/v1/chat/completions", session + "x-freehold-agent: mine\r\n", ("s-1", "mine", "a-0", "session")),
        ("/r/run-7/b/c/v1/chat/completions", session, ("run-7", "b", "c", "url")),
        ("/r/run-7/-/-/v1/chat/completions", session, ("run-7", "a-1", "a-0", "url")),
        ("/r/run-7/b/c/v1/chat/completions", own + "x-freehold-parent: d\r\n", ("run-8", "b", "d", "header")),
        (
            "/v1/chat/completions",
            f"traceparent: {PARENT}\r\n",
            ("4bf92f3577b34da6a3ce929d0e0e4736", None, "00f067aa0ba902b7", "traceparent"),
        ),
        ("/v1/chat/completions", f"traceparent: {PARENT}\r\ntraceparent: {PARENT}\r\n", (None, None, None, "")),
        ("/v1/chat/completions", "traceparent: 00-xyz\r\nx-claude-code-session-id: é\r\n", (None, None, None, "")),
    ]
    with (
        Scripted(answering(plain())) as provider,
        serve_in_thread(settings(tmp_path, {"main": upstream(provider.base_url)})) as gateway,
    ):
        for path, headers, _ in asked:
            assert split(raw(gateway.url, post(BODY, path, headers)))[0] == 200
        found = [(trace.episode, trace.agent, trace.parent, trace.linked) for trace in traces(tmp_path)]
        assert found == [expected for _, _, expected in asked]
        assert provider.requests[1].headers["x-claude-code-session-id"] == "s-1", "others' headers go upstream"
        assert not [name for request in provider.requests for name in request.headers if name.startswith("x-freehold")]
        assert provider.requests[7].headers["traceparent"] == PARENT


def test_subjects_are_kept_and_bad_names_are_told(tmp_path: Path) -> None:
    with (
        Scripted(answering(plain())) as provider,
        serve_in_thread(settings(tmp_path, {"main": upstream(provider.base_url)})) as gateway,
    ):
        raw(gateway.url, post(BODY, headers="x-freehold-subject: customer-17\r\n"))
        (trace,) = traces(tmp_path)
        assert (trace.subject, trace.episode) == ("customer-17", None)
        for header in ("x-freehold-agent: caf\xe9", f"x-freehold-subject: {'x' * 129}", "x-freehold-parent: "):
            request = post(BODY).replace(b"host: x", b"host: x\r\n" + header.encode("latin-1"), 1)
            status, _, body = split(raw(gateway.url, request))
            assert status == 400 and header.partition(":")[0] in json.loads(body)["error"]["message"]
        for path in (
            "/r/a%0ab/b/c/v1/models",
            f"/r/{'x' * 129}/b/c/v1/models",
            "/r/-/b/c/v1/models",
            "/r/%2e%2e/b/c/v1/x",
        ):
            status, _, body = split(raw(gateway.url, post(BODY, path)))
            assert status == 400 and "/r" in json.loads(body)["error"]["message"]
        assert len(provider.requests) == 1


def test_no_base_url_is_a_way_past_the_key_or_out_of_the_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_KEY", "the-gateways-key")
    key = "authorization: Bearer the-gateways-key\r\n"
    with (
        Scripted(answering(plain())) as provider,
        serve_in_thread(
            settings(tmp_path, {"main": upstream(provider.base_url)}, api_key_env="GATEWAY_KEY")
        ) as gateway,
    ):
        for path in ("/r/a/b/c/v1/chat/completions", "/r/a/b/c/v1/x", "/r/a/b/c/v1/feedback", "/r/a/b/c/v1/models"):
            status, _, body = split(raw(gateway.url, post(BODY, path)))
            assert status == 401 and json.loads(body)["error"]["code"] == "invalid_api_key", path
        out = [
            "/r/a/b/c/v1/../metrics",
            "/r/a/b/c/v1/../../metrics",
            "/r/a/b/c/v1/%2e%2e/metrics",
            "/r/a/b/c/v1/..%2f..%2fadmin/v1/keys",
            "/r/a/b/c/v1/..\\metrics",
            "/r/a/b/c//v1/models",
            "/r/a/b/v1/models",
            "/r/a/b/c/d/v1/models",
            "/r//b/c/v1/models",
            "/r/a/b/c/metrics",
            "/r/a/b/c/admin/v1/keys",
            "/r/a/b/c/v1",
            "/r/a/b/c",
            "/r/",
            "//r/a/b/c/v1/models",
            "/R/a/b/c/v1/models",
            "/r%2fa/b/c/v1/models",
            "/%72/a/b/c/v1/models",
            "/v1/../r/a/b/c/v1/models",
        ]
        for path in out:
            for headers in ("", key):
                status, _, body = split(raw(gateway.url, post(BODY, path, headers)))
                assert status in (400, 401, 404), (path, status)
                assert b"freehold_" not in body and b"keys" not in body
        assert provider.requests == []


def test_feedback_on_a_run_reaches_its_steps_and_no_other_tenants(tmp_path: Path) -> None:
    chosen = settings(tmp_path, {"main": upstream("http://127.0.0.1:9/v1")})
    with (
        Scripted(answering(plain())) as provider,
        serve_in_thread(settings(tmp_path, {"main": upstream(provider.base_url)})) as gateway,
    ):
        for agent in ("a", "b"):
            raw(gateway.url, post(BODY, f"/r/run-9/{agent}/-/v1/chat/completions"))
        raw(gateway.url, post(BODY))
        status, _, body = split(raw(gateway.url, post(b'{"episode":"run-9","score":0.5}', "/v1/feedback")))
        assert status == 200 and json.loads(body)["episode"] == "run-9"
        for bad in (
            b'{"episode":"run-9"}',
            b'{"episode":"","score":1}',
            b'{"episode":"a","trace_id":"tr_00112233","score":1}',
        ):
            assert split(raw(gateway.url, post(bad, "/v1/feedback")))[0] == 400
        wait_for(lambda: len(records(tmp_path)) == 4)
        first, second, _ = traces(tmp_path)
        (given,) = [record for record in records(tmp_path) if isinstance(record, Feedback)]
    with closing(Store.open(chosen.data, chosen.control_url)) as store:
        found = read_feedback(store)
        assert set(found.get_column("trace_id")) == {first.trace_id, second.trace_id}
        assert found.get_column("episode").to_list() == ["run-9", "run-9"]
        assert read_feedback(store, trace_ids=[first.trace_id]).height == 1
        episode = read_episode(store, "run-9", derive=Deriver(chosen.upstreams))
        assert [agent.run for agent in episode.agents] == ["a", "b"] and episode.feedback == (given,)
        with closing(store.open_journal()) as journal:  # another tenant has a run of this name, and judges it
            journal.append(
                Feedback(feedback_id="fb_0011223344", trace_id="", episode="run-9", at_ns=1, score=0.0, key="key_x")
            )
        assert read_feedback(store).height == 2, "a key judges its own traces only"
        assert read_episode(store, "run-9", derive=Deriver(chosen.upstreams)).feedback == (given,)


def test_sixty_agents_at_once_are_one_tree_and_nobody_elses(tmp_path: Path) -> None:
    chosen = settings(tmp_path, {"main": upstream("http://127.0.0.1:9/v1")})

    def work(url: str, run: str, number: int) -> None:
        first = [{"role": "user", "content": f"part {number}"}]
        answer = {"role": "assistant", "content": "caf\u00e9 \u00e9"}  # as in JSON_ANSWER
        for messages in (first, [*first, answer, {"role": "user", "content": "go on"}]):
            body = json.dumps({"model": "m", "messages": messages}).encode()
            assert split(raw(url, post(body, f"/r/{run}/w{number}/main/v1/chat/completions")))[0] == 200

    with (
        Scripted(answering(plain(), pause=0.01)) as provider,
        serve_in_thread(settings(tmp_path, {"main": upstream(provider.base_url)})) as gateway,
        ThreadPoolExecutor(40) as pool,
    ):
        for run in ("left", "right"):
            raw(gateway.url, post(BODY, f"/r/{run}/main/-/v1/chat/completions"))
        for done in [pool.submit(work, gateway.url, run, n) for n in range(60) for run in ("left", "right")]:
            done.result()
    with closing(Store.open(chosen.data, chosen.control_url)) as store:
        for run in ("left", "right"):
            episode = read_episode(store, run, derive=Deriver(chosen.upstreams))
            assert episode.roots == ("main",) and not episode.problems
            assert sorted(episode.agent("main").children) == sorted(f"w{number}" for number in range(60))
            shapes = {tuple((s.begins, len(s.steps)) for s in agent.segments) for agent in episode.agents[1:]}
            assert shapes == {(("start", 2),)}
