"""A data folder in which one subject has left traces everywhere, and a search that opens every file of it."""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from freehold.config import CacheSettings, UpstreamSettings
from freehold.domain.evidence import Certificate, Dataset, Sample, Student, Verdict
from freehold.domain.ids import new_id
from freehold.domain.policy import Policy, Rung, TaskPolicy
from freehold.domain.tasks import AnswerForm, Task
from freehold.domain.traces import Feedback, Trace
from freehold.gateway.cache import ResponseCache, tenant_of
from freehold.record.sealer import Sealer
from freehold.store import JournalWriter, Store
from freehold.store.artifacts import dataset_sha256, write_dataset
from freehold.store.journal.read import read_segment

SUBJECT = "customer-4711"
MARKER = "zanzibar-marker-8c1f"
"""In everything that the subject said or was told."""
UPSTREAMS = {"up": UpstreamSettings(base_url="http://127.0.0.1:1/v1", terms="own")}
TASK = "task_test"


def exchange(number: int, **changes: Any) -> Trace:
    """One exchange; of the subject, its text holds the marker."""
    mine = changes.get("subject") == SUBJECT or changes.pop("marked", False)
    text = f"{MARKER if mine else 'nobody'} asks number {number} " + "with many words " * 20
    answer = f"answer {number} {MARKER if mine else ''}"
    body = {"model": "m", "messages": [{"role": "user", "content": text}], **changes.pop("body", {})}
    response = {"model": "m", "choices": [{"index": 0, "message": {"content": answer}, "finish_reason": "stop"}]}
    trace = Trace(
        trace_id=new_id("tr"),
        at_ns=time.time_ns(),
        task=TASK,
        model="m",
        answered_by="up/m",
        reason="no-rung",
        status=200,
        request=json.dumps(body).encode(),
        response=json.dumps(response).encode(),
    )
    return msgspec.structs.replace(trace, **changes)


class House:
    """The folder; `mine`: ids of all traces that must go, `others`: of those that must stay."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.store = Store.open(data, f"sqlite:///{data / 'control.sqlite'}")
        self.mine: list[str] = []
        self.others: list[str] = []

    def fill(self) -> None:
        """Sealed and unsealed traces, damaged copies, a dataset with a student in force, feedback, the cache."""
        self._damaged()
        self._recorded()
        Sealer(self.store, UPSTREAMS).seal_once()
        self._dataset()
        self._cached()
        self._left_over()
        writer = self.store.open_journal()
        for trace in (exchange(1000, subject=SUBJECT), exchange(1001, subject="somebody")):
            writer.append(trace)
            (self.mine if trace.subject == SUBJECT else self.others).append(trace.trace_id)
        writer.close()

    def keep(self, writer: JournalWriter, trace: Trace, *, goes: bool = False) -> Trace:
        writer.append(trace)
        (self.mine if goes else self.others).append(trace.trace_id)
        return trace

    def _recorded(self) -> None:
        writer = self.store.open_journal()
        mine = exchange(99)
        for number in range(6):
            other = self.keep(writer, exchange(number, subject=f"somebody-{number}"))
            mine = self.keep(writer, exchange(100 + number, subject=SUBJECT), goes=True)
            for trace in (other, mine):
                comment = f"said {MARKER}" if trace is mine else "said nobody"
                writer.append(Feedback(feedback_id=new_id("fb"), trace_id=trace.trace_id, at_ns=1, comment=comment))
        self.keep(writer, exchange(200, body={"user": SUBJECT}, marked=True), goes=True)
        self.keep(writer, exchange(201, kind="audit", of=mine.trace_id, marked=True), goes=True)
        question = {"messages": [{"role": "user", "content": f"Which is better? {_asked(mine)} A or B"}]}
        self.keep(writer, exchange(202, kind="judge", marked=True, body=question), goes=True)
        self.keep(writer, exchange(203, subject=SUBJECT, episode="run-1", key="key_a"), goes=True)
        self.keep(writer, exchange(204, episode="run-1", key="key_a", marked=True), goes=True)
        self.keep(writer, exchange(205, episode="run-1", key="key_b"))  # another tenant's run of that name
        writer.append(Feedback(feedback_id=new_id("fb"), trace_id="", episode="run-1", at_ns=2, key="key_b"))
        writer.close()

    def _damaged(self) -> None:
        """A segment with one damaged frame of the subject's, and intact ones beside it."""
        writer = JournalWriter(self.store.journal_root / "wk_damaged")
        for number in range(4):
            trace = exchange(300 + number, subject=SUBJECT if number % 2 == 0 else "somebody")
            writer.append(trace)
            if number:  # the first one is damaged below, and lost
                (self.mine if trace.subject == SUBJECT else self.others).append(trace.trace_id)
        writer.close()
        path = writer.folder / "00000001.seg"
        data = bytearray(path.read_bytes())
        data[60] ^= 0xFF
        path.write_bytes(data)

    def _dataset(self) -> None:
        samples = [
            Sample(trace_id=trace_id, at_ns=number, prompt=f"{number} {MARKER if trace_id in self.mine else ''}",
                   answer="a", part="fit", terms="own", input_tokens=1, output_tokens=1, uniform=True)
            for number, trace_id in enumerate([*self.mine[:3], *self.others[:3]])
        ]  # fmt: skip
        sha256 = dataset_sha256(samples)
        write_dataset(self.data / "datasets" / "one", samples)
        verdict = Verdict(action="train", outcome="allow", subject="own", reason="own")
        self.store.control.datasets.put(
            Dataset(dataset_id="ds_1", task=TASK, path="datasets/one", sha256=sha256, rows=6, parts={}, left_out={},
                    verdicts=(verdict,), form=AnswerForm(kind="label"), since_ns=0, until_ns=1, created_ns=1)
        )  # fmt: skip
        (self.data / "students" / "one").mkdir(parents=True)
        (self.data / "students" / "one" / "manifest.json").write_text(MARKER)
        self.store.control.students.put(
            Student(student_id="st_1", task=TASK, dataset_id="ds_1", kind="classifier", path="students/one",
                    sha256="0" * 64, verdicts=(verdict,), metrics={}, created_ns=1)
        )  # fmt: skip
        self.store.control.tasks.put(Task(task_id=TASK, name="test", created_ns=1, updated_ns=1))
        self.store.control.certificates.put(certificate())
        rung = Rung(student="st_1", path="students/one", sha256="0" * 64, threshold=0.5, novelty_limit=1.0,
                    certificate="ce_1", fingerprints=())  # fmt: skip
        self.store.control.publish_policy(Policy(tasks={TASK: TaskPolicy(task=TASK, rungs=(rung,))}), 0)

    def _cached(self) -> None:
        cache = ResponseCache(self.data, CacheSettings(enabled=True))
        for number, trace_id in enumerate([self.mine[0], self.others[0]]):
            asked = cache.ask(tenant_of("key"), "up", "o", b"POST", b"/completions", [], b"%d" % number)
            text = MARKER if trace_id in self.mine else "nobody"
            body = b'{"choices":[{"message":{"content":"%b"},"finish_reason":"stop"}]}' % text.encode()
            cache.put(asked.key, "up", trace_id, [(b"content-type", b"application/json")], body)
        cache.settle()
        cache.close()

    def _left_over(self) -> None:
        """What a killed job and an import leave: a dataset half written, a rejected row, a row on the shelf."""
        draft = self.data / "datasets" / ".two.tmp_1"
        draft.mkdir()
        (draft / "samples.parquet").write_bytes(b"PAR1" + MARKER.encode())
        (self.data / "summaries").mkdir()
        (self.data / "summaries" / "days.parquet").write_bytes(b"key_a")
        imports = self.data / "imports"
        imports.mkdir()
        row = {"reason": "no answer", "content": {"user": SUBJECT, "text": MARKER}}
        (imports / "rejects-1.jsonl").write_bytes(b'{"line":1}\n' + msgspec.json.encode(row) + b'\n{"line":3}\n')
        with sqlite3.connect(imports / "progress.sqlite") as database:
            database.execute("CREATE TABLE shelf (job TEXT, kind TEXT, key TEXT, row BLOB)")
            body = msgspec.msgpack.encode({"user": SUBJECT, "text": MARKER})
            database.execute("INSERT INTO shelf VALUES ('1', 'a', 'b', ?)", (body,))
        database.close()

    def cached(self) -> int:
        """Entries of the cache on disk."""
        return sum(path.is_file() for path in (self.data / "cache").glob("*/*"))

    def ids(self) -> list[str]:
        """Sealed traces, doubles included."""
        return self.store.traces.scan().select("trace_id").collect().get_column("trace_id").to_list()


def certificate() -> Certificate:
    """One that rests on the dataset; only its names matter here."""
    figures: dict[str, Any] = dict.fromkeys(
        ("epsilon", "delta", "delta_spent", "loss_sum", "p_value", "loss_estimate", "loss_upper", "coverage",
         "traffic_loss_upper"), 0.1)  # fmt: skip
    counts: dict[str, Any] = {"attempt": 1, "certify_rows": 1, "accepted": 1, "issued_ns": 1}
    texts: dict[str, Any] = {"dataset_sha256": "", "evidence_path": "evidence/one", "evidence_sha256": "", "scorer": ""}
    return Certificate(
        certificate_id="ce_1", version=2, task=TASK, rungs=(), thresholds=(), dataset_id="ds_1", loss="disagreement",
        risk="served", test="exact binomial", self_disagreement=None, tested=(), assumptions=(), software="",
        **figures, **counts, **texts,
    )  # fmt: skip


def _asked(trace: Trace) -> str:
    return json.loads(trace.request)["messages"][0]["content"]


def places_with(data: Path, *names: str) -> list[str]:
    """Every file below `data` that holds one of these texts, compressed or not."""
    found: list[str] = []
    for path in sorted(path for path in data.rglob("*") if path.is_file()):
        texts = [path.read_bytes()]
        if path.suffix == ".parquet" and texts[0].endswith(b"PAR1"):
            texts.append(str(pl.read_parquet(path).to_dicts()).encode())
        if path.suffix == ".seg":
            texts += [msgspec.msgpack.encode(record) for _, record in read_segment(path)]
        if any(name.encode() in text for name in names for text in texts):
            found.append(str(path.relative_to(data)))
    return found


if __name__ == "__main__":  # forget the subject, and be killed at the n-th step
    import os
    import signal

    from freehold.record.forgetting.forget import Ways, forget

    left = int(sys.argv[2])

    def at_step(name: str) -> None:
        global left
        sys.stdout.write(name + "\n")
        sys.stdout.flush()
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    forget(House(Path(sys.argv[1])).store, UPSTREAMS, "subject", SUBJECT, ways=Ways(at_step=at_step))
