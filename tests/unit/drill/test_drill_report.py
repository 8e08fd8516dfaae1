"""A drill from its beginning to its report: what is kept, what counts as what, and what the loop must not learn."""

from __future__ import annotations

import datetime
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cli_fixtures import Run
from monitor_fixtures import BEGIN, SECOND, Watched, certificate, completion

from freehold.config import DrillSettings, Settings, UpstreamSettings
from freehold.curate.answers import AnswerRights
from freehold.curate.samples import collect_samples
from freehold.domain.drills import Drill
from freehold.domain.errors import Conflict, NotFound, RequestError
from freehold.domain.tasks import Task
from freehold.domain.traces import Trace
from freehold.ledger import ledger
from freehold.loop.drill_forecast import forecast
from freehold.loop.drills import GRACE_NS, begin_drill, find_drill, settle_drills, stop_drill
from freehold.monitor import watch
from freehold.monitor.drill_needs import needs_of
from freehold.record.sealer import Sealer
from freehold.rights import TrainingJudge
from freehold.store import Store
from freehold.store.traces.read import read_traces

UPSTREAMS = {
    "inc": UpstreamSettings(base_url="http://127.0.0.1:1/v1"),
    "own": UpstreamSettings(base_url="http://127.0.0.1:2/v1", owned=True, keyless=True, models=("llama",)),
}
TODAY = datetime.date(2026, 1, 1)
SINCE, MINUTE = BEGIN, 60 * SECOND
PLAIN = b'{"model":"gpt","messages":[{"role":"user","content":"what?"}]}'
VECTOR = b'{"model":"embed","input":"x"}'


class Traffic:
    """One data folder, and traces put in its journal."""

    def __init__(self, folder: Path, stand_in: str = "llama") -> None:
        self.settings = Settings(upstreams=UPSTREAMS, drill=DrillSettings(stand_in), data_dir=str(folder))
        self.store = Store.open(self.settings.data, self.settings.control_url)
        self.store.control.tasks.put(Task(task_id="task_1", name="triage"))
        self._journal = self.store.open_journal()
        self._number = itertools.count(1)

    def close(self) -> None:
        self._journal.close()
        self.store.close()

    def put(self, at_ns: int, reason: str, answered_by: str, **more: Any) -> str:
        number = next(self._number)
        fields: dict[str, Any] = {
            "trace_id": f"tr_{number:028x}",
            "at_ns": at_ns,
            "reason": reason,
            "answered_by": answered_by,
            "task": "task_1",
            "model": "gpt",
            "status": 200,
            "request": PLAIN,
            "response": completion(more.pop("answer", "yes")),
            "duration_us": 1000 * number,
        }
        self._journal.append(Trace(**(fields | more)))
        return str(fields["trace_id"])

    def begin(self, seconds: float = 60, **more: Any) -> Drill:
        return begin_drill(self.store, self.settings, ("inc",), seconds, SINCE, **more)

    def settle(self, at_ns: int) -> list[Drill]:
        return settle_drills(self.store, self.settings, at_ns)


@pytest.fixture
def traffic(tmp_path: Path) -> Iterator[Traffic]:
    made = Traffic(tmp_path)
    yield made
    made.close()


def test_a_report_counts_every_request_that_the_provider_would_have_answered_once(traffic: Traffic) -> None:
    for second in range(3):
        traffic.put(SINCE - MINUTE + second * SECOND, "no-rung", "inc/gpt", duration_us=10_000)
    traffic.put(SINCE - 2 * MINUTE, "no-rung", "inc/gpt", duration_us=10**9)
    drill = traffic.begin()
    at = SINCE + SECOND
    owned: dict[str, Any] = {"owned": True}
    traffic.put(at, "no-rung", "inc/gpt")
    traffic.put(at, "pinned", "inc/gpt", task="task_2", task_name="mail")
    traffic.put(at, "drill", "student/st_1", certificate="ce_1", **owned)
    traffic.put(at, "drill", "student/st_1", **owned)
    first = traffic.put(at, "drill", "own/llama", answer="yes!", task="", **owned)
    second = traffic.put(at, "drill", "own/llama", answer='{"a": 1}', **owned)
    traffic.put(at, "drill", "own/llama", status=400, request=PLAIN[:-1] + b',"tools":[{"type":"function"}]}', **owned)
    traffic.put(at, "drill", "", status=503, error="drill: nothing owned", api="embeddings", request=VECTOR, task="")
    traffic.put(at, "drill", "", status=0, response=b"")
    traffic.put(at, "drill", "inc/gpt")  # spared
    traffic.put(at, "accepted", "student/st_1", cached=True, **owned)
    traffic.put(at, "no-rung", "own/llama", model="llama", **owned)  # nobody asked the provider for it
    traffic.put(SINCE + MINUTE, "drill", "own/llama", **owned)  # after its end
    for of, answer in ((first, "no, not at all"), (second, '{ "a":1}')):
        traffic.put(at + 1, "", "inc/gpt", kind="drill", of=of, answer=answer)
    traffic.put(at + 1, "", "inc/gpt", kind="drill", of=second, status=500)
    [done] = traffic.settle(SINCE + MINUTE + GRACE_NS)
    report = done.report
    assert done.state == "ended" and report is not None
    assert report.outcomes == {
        "outside": 1, "pinned": 1, "certified": 1, "uncertified": 1, "stand-in": 2, "failed": 3, "spared": 1,
    }  # fmt: skip
    assert (report.requests, report.drilled, report.kept) == (10, 8, 4)
    assert {line.name: line.requests for line in report.tasks} == {"triage": 7, "mail": 1, "": 2}
    assert {line.key: line.outcomes.get("failed", 0) for line in report.apis} == {"chat": 2, "embeddings": 1}
    assert report.before is not None and (report.before.answers, report.before.p50) == (3, 10.0)
    assert report.during is not None and report.during.answers == 4
    assert report.errors == {
        "The caller left before an answer began": 1, "drill: nothing owned": 1, "own/llama answered with status 400": 1,
    }  # fmt: skip
    assert report.unable == {"tools": 1, "embeddings": 1, "plain text": 2}
    assert {(one.name, one.pairs, one.same) for one in report.compared} == {("triage", 1, 1), ("", 1, 0)}
    assert [one.examples for one in report.compared if one.key == ""] == [(first,)] and report.not_compared == 1
    assert any("Embeddings" in step for step in report.next_steps) and any("8 requests" in n for n in report.notes)
    assert find_drill(traffic.store, "last").report == report == find_drill(traffic.store, "1").report
    assert not traffic.settle(SINCE + 2 * MINUTE), "a report is made once"
    kinds = [(event.kind, event.evidence.get("failed")) for event in traffic.store.control.events()]
    assert sorted(kinds) == [("drill-ended", 3), ("drill-started", None)] and drill.drill_id == done.drill_id


def test_only_one_drill_runs_and_it_ends_by_the_clock_whoever_dies(traffic: Traffic) -> None:
    control = traffic.store.control
    drill = traffic.begin(60)
    with pytest.raises(Conflict, match="Another exit drill is running"):
        traffic.begin(60)
    assert control.drill_in_force(SINCE + MINUTE - 1) == drill and control.drill_in_force(SINCE + MINUTE) is None
    assert not traffic.settle(SINCE + MINUTE - 1)
    assert not traffic.settle(SINCE + MINUTE + 1), "answers under way may still end"
    assert find_drill(traffic.store, "1").state == "ended"
    second = begin_drill(traffic.store, traffic.settings, ("inc",), 60, SINCE + 2 * MINUTE)
    stopped = stop_drill(traffic.store, SINCE + 2 * MINUTE + 10 * SECOND)
    assert (stopped.drill_id, stopped.state) == (second.drill_id, "stopped")
    with pytest.raises(NotFound, match="No exit drill is running"):
        stop_drill(traffic.store, SINCE + 2 * MINUTE + 11 * SECOND)
    reported = traffic.settle(SINCE + 3 * MINUTE)
    assert {one.drill_id for one in reported} == {"dr_00000001", "dr_00000002"}
    report = find_drill(traffic.store, "2").report
    assert report is not None and report.seconds == 10 and "instead of the 60 s" in report.notes[0]
    assert "it shows nothing" in report.notes[1]


def test_a_drill_in_which_everything_would_fail_is_refused(tmp_path: Path) -> None:
    poor = Traffic(tmp_path, stand_in="")
    with pytest.raises(RequestError, match="every request would fail"):
        poor.begin()
    with pytest.raises(RequestError, match="a day at most"):
        poor.begin(10**6)
    assert poor.begin(spare=True).spare
    poor.close()


def test_a_forecast_says_who_could_answer_what_was_asked_before(traffic: Traffic) -> None:
    traffic.put(SINCE - SECOND, "no-rung", "inc/gpt")
    traffic.put(SINCE - SECOND, "pinned", "inc/gpt")
    traffic.put(SINCE - SECOND, "passthrough", "inc/embed", api="embeddings", model="embed", request=VECTOR, task="")
    traffic.put(SINCE - 2 * MINUTE, "no-rung", "inc/gpt")
    drill = Drill(
        drill_id="x",
        without=("inc",),
        upstreams=("inc",),
        since_ns=SINCE,
        until_ns=SINCE + MINUTE,
        wanted_seconds=60,
        created_ns=0,
        updated_ns=0,
    )
    made = forecast(traffic.store, traffic.settings, drill, SINCE - MINUTE)
    assert made.outcomes == {"stand-in": 1, "pinned": 1, "failed": 1} and made.unable == {"embeddings": 1}
    none = msgspec.structs.replace(traffic.settings, drill=DrillSettings())
    assert forecast(traffic.store, none, drill, SINCE - MINUTE).outcomes == {"failed": 2, "pinned": 1}


def test_the_loop_learns_nothing_from_a_drill(tmp_path: Path) -> None:
    """Neither monitor, evidence nor owned share: with a drill's traces beside the others they say what they said."""
    item = certificate("t", risk="traffic")
    said: list[Any] = []
    for drilled in (False, True):
        desk = Watched(tmp_path / str(drilled), item)
        desk.right_or_wrong("t", BEGIN, [number % 20 == 0 for number in range(300)], [0.3] * 300)
        if drilled:
            journal = desk.store.open_journal()
            for number in range(100):
                trace = Trace(
                    trace_id=f"tr_{number:016x}{number:012x}",
                    at_ns=BEGIN + 1000 * SECOND + number,
                    task="t",
                    model="gpt",
                    answered_by="student/st_t" if number % 3 else "inc/gpt",
                    owned=number % 3 > 0,
                    policy=1,
                    certificate=item.certificate_id if number % 3 == 1 else None,
                    reason="drill",
                    status=200,
                    request=PLAIN,
                    response=completion("no"),
                )
                journal.append(trace)
                asked = {"trace_id": f"tr_{number + 500:028x}", "kind": "drill", "of": trace.trace_id, "owned": False}
                journal.append(
                    msgspec.structs.replace(trace, **asked, certificate=None, answered_by="inc/gpt", reason="")
                )
            journal.close()
            Sealer(desk.store, {}).seal_once()
        frame = read_traces(desk.store, task="t", kinds=("request", "audit"))
        rights = AnswerRights({"inc": "own"}, TrainingJudge("train_classifier", (), TODAY))
        samples, _ = collect_samples(frame, rights)
        monitor = watch(desk.store, desk.certificates["t"], BEGIN + 2000 * SECOND)
        bounds = (monitor.audits, monitor.losses, monitor.lower, monitor.upper, monitor.requests)
        said.append((bounds, len(samples), ledger(desk.store).total.owned))
        desk.close()
    assert said[0] == said[1] and said[0][1] > 50


@pytest.mark.parametrize(
    ("api", "body", "needs"),
    [
        ("chat", {"messages": [{"role": "user", "content": "x"}]}, ("plain text",)),
        ("chat", {"n": 2, "logprobs": True, "tools": [1], "functions": []},
         ("tools", "log-probabilities", "several answers at once")),
        ("chat", {"messages": [{"role": "user", "content": [{"type": "image_url"}, {"type": "input_audio"}]}]},
         ("images", "audio")),
        ("messages", {"messages": [{"content": [{"type": "tool_result", "content": [{"type": "image"}]}]}]},
         ("images",)),
        ("responses", {"input": [{"role": "user", "content": [{"type": "input_file"}]}], "previous_response_id": "r"},
         ("conversations kept by the provider", "files")),
        ("chat", {"response_format": {"type": "json_schema"}}, ("a form of answer (response_format)",)),
        ("responses", {"text": {"format": {"type": "text"}}, "input": "x"}, ("plain text",)),
        ("embeddings", {}, ("embeddings",)),
        ("chat", [1], ("plain text",)),
    ],
)  # fmt: skip
def test_what_a_request_needs(api: str, body: Any, needs: tuple[str, ...]) -> None:
    assert needs_of(api, json.dumps(body).encode()) == needs
    assert needs_of("chat", b"\xff{") == ("plain text",)


CONFIG = """
[upstreams.inc]
base_url = "http://127.0.0.1:1/v1"
[upstreams.own]
base_url = "http://127.0.0.1:2/v1"
models = ["llama"]
owned = true
keyless = true
[drill]
stand_in = "llama"
"""


def test_the_command_begins_ends_lists_and_shows(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("freehold.loop.drills.GRACE_NS", 0)
    path = tmp_path / "freehold.toml"
    path.write_text(CONFIG)

    def said(*words: str) -> Any:
        code, out, err = run("drill", *words, "--json", "--config", str(path))
        assert code == 0 and not err, out
        return json.loads(out)

    assert said("status") == {"running": None} and said("list") == []
    assert said("--without", "inc", "--dry-run")["forecast"]["requests"] == 0
    begun = said("--without", "inc", "--for", "1h", "--share", "0.5", "--detach")
    assert begun["upstreams"] == ["inc"] and begun["share"] == 0.5
    assert said("status")["running"]["drill_id"] == begun["drill_id"]
    code, out, _ = run("drill", "--without", "inc", "--json", "--config", str(path))
    assert code == 4 and json.loads(out)["error"]["code"] == "conflict"
    assert said("stop")["state"] == "stopped" and said("show")["state"] == "stopped"
    short = said("--without", "inc", "--for", "0.2s")  # waits for its end and its report
    assert short["state"] == "ended" and short["report"]["requests"] == 0
    assert [one["drill_id"] for one in said("list")] == ["dr_00000002", "dr_00000001"]
    code, out, _ = run("drill", "show", "2", "--config", str(path))
    assert code == 0 and "without inc (ended)" in out and "shows nothing" in out
    for words, expected in ((("--without", "nobody"), 3), (("--without", "inc", "--for", "ten"), 2), ((), 2)):
        assert run("drill", *words, "--config", str(path))[0] == expected
