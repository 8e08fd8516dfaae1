"""A judge behind a real upstream: `freehold scorer try` asks it over HTTP and shows whether people agree with it."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import structlog

from freehold.cli.main import main
from freehold.domain.chat import parse_chat
from freehold.domain.fingerprint import shape_of, task_id_of_fingerprint
from freehold.domain.scoring import JudgeScorer
from freehold.domain.tasks import Task
from freehold.domain.traces import Feedback, Trace
from freehold.store import Store

PAIRS = 60
REQUEST = json.dumps({"model": "gpt", "messages": [{"role": "user", "content": "Write to the customer."}]}).encode()
TASK = task_id_of_fingerprint(shape_of(parse_chat(REQUEST)).fingerprint)


class Judge(BaseHTTPRequestHandler):
    """Prefers the answer with the word `warm`; every seventh request is answered with idle talk first."""

    asked = 0
    authorization: ClassVar[set[str | None]] = set()

    def do_POST(self) -> None:
        """One chat completion."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        cls = type(self)
        cls.asked += 1
        cls.authorization.add(self.headers.get("authorization"))
        prompt = body["messages"][0]["content"]
        first, second = (prompt.split(f"ANSWER {n}\n")[1] for n in (1, 2))
        better = "tie" if ("warm" in first) == ("warm" in second) else "1" if "warm" in first else "2"
        text = "Let me think." if cls.asked % 7 == 0 else json.dumps({"better": better})
        reply = json.dumps({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def judge() -> Iterator[str]:
    """The judge's base URL."""
    Judge.asked, Judge.authorization = 0, set()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Judge)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def trace(name: str, number: int, text: str, **more: Any) -> Trace:
    """An answered request."""
    body = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}
    return Trace(
        trace_id="tr_" + hashlib.sha256(f"{name} {number}".encode()).hexdigest()[:28],
        at_ns=time.time_ns(),
        task=TASK,
        model="gpt",
        answered_by="inc/gpt",
        status=200,
        request=REQUEST,
        response=json.dumps(body).encode(),
        **more,
    )


@pytest.fixture
def config(tmp_path: Path, judge: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sixty owned answers, audited, both scored by people, who like warmth, except for four."""
    monkeypatch.setenv("JUDGE_KEY", "k-judge")
    path = tmp_path / "freehold.toml"
    path.write_text(
        f'[upstreams.inc]\nbase_url = "{judge}"\napi_key_env = "JUDGE_KEY"\n'
        "[upstreams.inc.prices]\njudge-model = { input = 1.0, output = 1.0 }\n"
    )
    store = Store.open(tmp_path / "freehold-data", f"sqlite:///{tmp_path / 'freehold-data' / 'control.sqlite'}")
    store.control.tasks.put(Task(task_id=TASK, name="letters", scorer=JudgeScorer(model="judge-model")))
    journal = store.open_journal()
    for number in range(PAIRS):
        warm = number % 3 == 0
        owned = trace("owned", number, f"A {'warm' if warm else 'dry'} letter {number}.", owned=True, audited=True)
        audit = trace("audit", number, f"A warm text {number}.", kind="audit", of=owned.trace_id)
        journal.append(owned)
        journal.append(audit)
        liked = 1.0 if warm != (number < 4) else 0.0
        for item, value in ((owned, liked), (audit, 1.0)):
            journal.append(
                Feedback(feedback_id=f"fb_{item.trace_id[3:]}", trace_id=item.trace_id, at_ns=1, score=value)
            )
    journal.close()
    store.close()
    return path


def test_a_judge_is_asked_and_its_agreement_with_people_is_shown(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["scorer", "try", "letters", "--limit", "100", "--json", "--config", str(config)])
    tried = json.loads(capsys.readouterr().out)
    structlog.reset_defaults()
    assert (tried["pairs"], tried["failed"]) == (PAIRS, 0)
    assert sum(row["harm"] for row in tried["rows"]) == PAIRS * 2 / 3
    assert Judge.asked > 2 * PAIRS and Judge.authorization == {"Bearer k-judge"}
    agreement = tried["agreement"]
    assert (agreement["pairs"], agreement["agreed"]) == (PAIRS, PAIRS - 4)
    assert 0.8 < agreement["lower"] < agreement["share"] and agreement["kappa"] > 0.8
    assert tried["stands_in_the_way"] is None
    main(["ledger", "--by", "model", "--json", "--config", str(config)])
    books = json.loads(capsys.readouterr().out)
    lines = {line["key"]: line for line in books["models"]}
    assert lines["judge-model"]["judges_usd"] == books["total"]["judges_usd"] > Judge.asked * 100 / 1e6
    assert lines["judge-model"]["requests"] == 0, "nobody else asked for it"
    main(["scorer", "try", "letters", "--limit", "30", "--config", str(config)])
    said = " ".join(capsys.readouterr().out.split())
    structlog.reset_defaults()
    assert "Agreement with people: 30 of 30 pairs" in said and "there are 30" in said
