"""A data folder as a few hours of a support desk's traffic leave it: tasks in every state, and their evidence."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np

from freehold.config import GatewaySettings, Price, Settings, UpstreamSettings
from freehold.demo.grammar import chat_request, traffic
from freehold.demo.incumbent import incumbent_answers
from freehold.domain.drills import Drill, DrillLine, DrillReport, Outcome
from freehold.domain.events import Event, EventKind, Monitor
from freehold.domain.evidence import (
    Certificate,
    CertifiedRung,
    Dataset,
    Sample,
    Student,
    Verdict,
    WalkStep,
    signed_bytes,
)
from freehold.domain.fingerprint import task_id_of_name
from freehold.domain.ids import content_id, new_id
from freehold.domain.policy import Policy, Rung, TaskPolicy
from freehold.domain.tasks import AnswerForm, Field, Task
from freehold.domain.traces import Feedback, Trace
from freehold.record.sealer import Sealer
from freehold.store import Store
from freehold.store.artifacts import write_dataset, write_student

SCRIPT = "<script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">"
PRICE = Price(input=3.0, output=15.0)
HOUR = 3600 * 10**9


@dataclass(frozen=True)
class Desk:
    """A filled data folder."""

    settings: Settings
    tasks: dict[str, str]
    """Name → id."""
    audited: str
    """A trace that was audited, and its answers differ."""
    script: str
    """A trace whose prompt and answer hold a script tag."""
    failed: str
    passthrough: str


def settings_in(folder: Path, **gateway: Any) -> Settings:
    """Settings over a data folder, with one upstream that is never called."""
    upstream = UpstreamSettings(base_url="http://127.0.0.1:1/v1", terms="own", prices={"*": PRICE})
    return Settings(gateway=GatewaySettings(**gateway), upstreams={"rented": upstream}, data_dir=str(folder))


def fill(folder: Path, total: int = 1200, seed: int = 7) -> Desk:
    """Fill `folder` with `total` requests and all that goes with them."""
    settings = settings_in(folder)
    with closing(Store.open(settings.data, settings.control_url)) as store:
        tasks = {name: task_id_of_name(name) for name in ("triage", "urgency", "extraction", "reply")}
        certificates = {name: _certify(store, tasks[name], name) for name in ("triage", "urgency")}
        _put_tasks(store, tasks)
        special = _play(store, tasks, certificates, total, Random(seed))
        _put_monitors(store, tasks, certificates)
        _put_policy(store, tasks, certificates)
        _put_events(store, tasks)
        _put_drill(store, tasks)
        Sealer(store, settings.upstreams).seal_once()
    return Desk(settings, tasks, *special)


def completion(text: str, tokens: tuple[int, int]) -> bytes:
    """A chat completion's bytes."""
    usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}
    choices = [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]
    return msgspec.json.encode({"model": "big-1", "choices": choices, "usage": usage})


def _play(
    store: Store, tasks: dict[str, str], certificates: dict[str, str], total: int, rng: Random
) -> tuple[str, str, str, str]:
    messages = traffic(rng.randint(0, 99), total)
    answers = incumbent_answers(messages, 3)
    begin = time.time_ns() - 8 * HOUR
    audited = ""
    with closing(store.open_journal()) as journal:
        for index, (message, answer) in enumerate(zip(messages, answers, strict=True)):
            at_ns = begin + index * 8 * HOUR // total
            done = index / total
            owned = _is_owned(message.task, done, rng)
            tokens = (len(message.system + message.user) // 4, len(answer) // 4 + 1)
            changes = _served(message.task, done, certificates[message.task] if owned else "", rng)
            trace = Trace(
                trace_id=new_id("tr"),
                at_ns=at_ns,
                task=tasks[message.task],
                task_name=message.task,
                model="big-1",
                status=200,
                request=msgspec.json.encode(chat_request(message, "big-1")),
                response=completion(answer, tokens),
                first_byte_us=300 if owned else rng.randint(300_000, 700_000),
                duration_us=420 if owned else rng.randint(700_000, 2_400_000),
                **changes,
            )
            journal.append(trace)
            if trace.audited:
                other = "something else" if not audited else answer
                audit = _audit(trace, completion(other, tokens))
                audited = audited or trace.trace_id
                journal.append(audit)
        special = _special(tasks, time.time_ns() - 60 * 10**9)
        for trace in special:
            journal.append(trace)
        journal.append(
            Feedback(
                feedback_id=new_id("fb"),
                trace_id=special[0].trace_id,
                at_ns=time.time_ns(),
                score=0.25,
                comment=f"Not helpful {SCRIPT}",
            )
        )
    script, failed, passthrough = (trace.trace_id for trace in special)
    return audited, script, failed, passthrough


def _served(task: str, done: float, certificate: str, rng: Random) -> dict[str, Any]:
    """Who answered and why, as fields of a trace; `certificate` is empty where the incumbent did."""
    if certificate:
        return {
            "reason": "accepted",
            "answered_by": f"student/{content_id('st', task.encode())}",
            "certificate": certificate,
            "owned": True,
            "signal": 0.97,
            "novelty": 0.12,
            "policy": 3,
            "audit_probability": 0.05,
            "audited": rng.random() < 0.05,
        }
    changes: dict[str, Any] = {"reason": "no-rung", "answered_by": "rented/big-1"}
    if task == "triage" and done > 0.35:
        changes |= {"reason": rng.choice(["uncertain", "novel"]), "signal": 0.41, "novelty": 0.6, "policy": 3}
    return changes


def _is_owned(task: str, done: float, rng: Random) -> bool:
    if task == "triage":
        return done > 0.35 and rng.random() < 0.8
    return task == "urgency" and 0.25 < done < 0.7 and rng.random() < 0.95


def _audit(trace: Trace, response: bytes) -> Trace:
    return msgspec.structs.replace(
        trace,
        trace_id=new_id("tr"),
        kind="audit",
        of=trace.trace_id,
        at_ns=trace.at_ns + 10**9,
        answered_by="rented/big-1",
        owned=False,
        audited=False,
        reason="",
        response=response,
        duration_us=900_000,
    )


def _special(tasks: dict[str, str], at_ns: int) -> list[Trace]:
    """A prompt with a script, a failure, and a request that is no chat completion."""
    request = {"model": "big-1", "messages": [{"role": "user", "content": SCRIPT}], "tools": [{"x": "</script>"}]}
    script = Trace(
        trace_id=new_id("tr"),
        at_ns=at_ns,
        task=tasks["reply"],
        model="big-1",
        answered_by="rented/big-1",
        status=200,
        reason="no-rung",
        request=msgspec.json.encode(request),
        response=completion(SCRIPT, (30, 20)),
        duration_us=800_000,
    )
    failed = msgspec.structs.replace(
        script,
        trace_id=new_id("tr"),
        at_ns=at_ns + 1,
        status=504,
        answered_by="",
        error=f"upstream_timeout: No answer began within 120 s. {SCRIPT}",
        attempts=("rented: 503", "rented: upstream_timeout"),
        response=b'{"error":{"message":"timeout"}}',
    )
    passthrough = msgspec.structs.replace(
        script,
        trace_id=new_id("tr"),
        at_ns=at_ns + 2,
        task="",
        reason="passthrough",
        request=b"\xff\x00 not json",
        response=b"\xfe\xff",
    )
    return [script, failed, passthrough]


def _put_tasks(store: Store, tasks: dict[str, str]) -> None:
    labels = AnswerForm(
        kind="label",
        fields=(Field(path=(), values=tuple(f'"intent_{number}"' for number in range(24))),),
        reason="24 distinct answers in 420; unseen ones make up at most 1.2% of answers.",
    )
    now = time.time_ns()
    common: dict[str, Any] = {"named": True, "epsilon": 0.05, "created_ns": now - 8 * HOUR, "updated_ns": now}
    owned = "triage: 80% of requests now answered by its student; loss at most 3.90% of 5.00% allowed."
    back = (
        "urgency: back to the incumbent. 16 of 41 audited answers differ from the incumbent's: the loss is above "
        "21.30%, more than the 5.00% allowed (confidence 95%)."
    )
    waits = "180 closed answers of the 200 that a first student needs."
    for task in (
        Task(task_id=tasks["triage"], name="triage", state="owned", form=labels, attempts=1, note=owned, **common),
        Task(task_id=tasks["urgency"], name="urgency", state="rolled_back", attempts=1, note=back, **common),
        Task(task_id=tasks["extraction"], name="extraction", state="learning", note=waits, **common),
        Task(
            task_id=tasks["reply"],
            name="reply",
            state="unscorable",
            form=AnswerForm(kind="open", reason="Nearly every answer is new."),
            note="Answers are free text: nothing can score them yet, so they stay with the incumbent.",
            **common,
        ),
    ):
        store.control.tasks.put(task)


_WALKED = tuple(
    WalkStep(thresholds=(threshold,), accepted=accepted, loss_sum=errors, p_value=p_value)
    for threshold, accepted, errors, p_value in (
        (0.99, 120, 0.0, 0.0021),
        (0.9, 201, 2.0, 0.0018),
        (0.82, 248, 4.0, 0.0021),
        (0.7, 280, 13.0, 0.41),
    )
)


def _rung_of(student: Student) -> CertifiedRung:
    return CertifiedRung(
        kind="student",
        name=student.student_id,
        sha256=student.sha256,
        record_sha256="ab" * 32,
        signal=student.student_id,
        signal_path=student.path,
        signal_sha256=student.sha256,
        novelty_limit=0.44,
    )


def _build(store: Store, task_id: str, name: str) -> str:
    """A dataset, and its id."""
    rows = [
        Sample(
            trace_id=content_id("tr", f"{name} {at}".encode()),
            at_ns=at,
            prompt=f"What is {at}?",
            answer=f"intent_{at % 24}",
            part="fit",
            terms="own",
            input_tokens=5,
            output_tokens=2,
            uniform=True,
        )
        for at in range(60)
    ]
    dataset = Dataset(
        dataset_id=content_id("ds", name.encode()),
        task=task_id,
        path=f"datasets/{name}",
        sha256=write_dataset(store.datasets_root / name, rows),
        rows=len(rows),
        parts={"fit": len(rows)},
        left_out={},
        verdicts=(Verdict(action="train_classifier", outcome="allow", subject="own", reason="Your own outputs."),),
        form=AnswerForm(kind="label"),
        since_ns=0,
        until_ns=60,
        created_ns=time.time_ns() - 6 * HOUR,
    )
    store.control.datasets.put(dataset)
    return dataset.dataset_id


def _certify(store: Store, task_id: str, name: str) -> str:
    student = Student(
        student_id=content_id("st", name.encode()),
        task=task_id,
        dataset_id=_build(store, task_id, name),
        kind="classifier",
        path=f"students/{name}",
        sha256=write_student(store.students_root / name, {"kind": "classifier"}, {"w": np.zeros((4, 24), np.float32)}),
        verdicts=(Verdict(action="train", outcome="allow", subject="own", reason="Your own outputs."),),
        metrics={"tune_accuracy": 0.964, "features": 20_480},
        created_ns=time.time_ns() - 5 * HOUR,
    )
    store.control.students.put(student)
    unsigned = Certificate(
        certificate_id=content_id("ce", name.encode()),
        version=2,
        task=task_id,
        rungs=(_rung_of(student),),
        thresholds=(0.82,),
        dataset_id=student.dataset_id,
        dataset_sha256="cd" * 32,
        evidence_path="evidence/none",
        evidence_sha256="ef" * 32,
        loss="disagreement",
        scorer="",
        risk="served",
        test="exact binomial",
        epsilon=0.05,
        delta=0.05,
        attempt=1,
        delta_spent=0.0304,
        certify_rows=310,
        accepted=248,
        loss_sum=4.0,
        p_value=0.0021,
        loss_estimate=4 / 248,
        loss_upper=0.039,
        coverage=0.8,
        traffic_loss_upper=0.031,
        self_disagreement=None if name == "urgency" else 0.018,
        tested=_WALKED,
        assumptions=("Requests to come are drawn like those of the evidence.", "The loss is disagreement."),
        software="freehold 0.1.0",
        issued_ns=time.time_ns() - 5 * HOUR,
        public_key=store.keys.public_key(),
    )
    signature = store.keys.sign(signed_bytes(unsigned))
    store.control.certificates.put(msgspec.structs.replace(unsigned, signature=signature))
    return unsigned.certificate_id


def _put_monitors(store: Store, tasks: dict[str, str], certificates: dict[str, str]) -> None:
    for name, audits, losses, lower, upper in (
        ("triage", 61, 1.0, 0.0008, 0.083),
        ("urgency", 41, 16.0, 0.213, 0.58),
    ):
        monitor = Monitor(
            certificate=certificates[name],
            task=tasks[name],
            epsilon=0.05,
            delta=0.05,
            audits=audits,
            losses=losses,
            lower=lower,
            upper=upper,
            updated_ns=time.time_ns(),
        )
        store.control.monitors.put(monitor)


def _put_policy(store: Store, tasks: dict[str, str], certificates: dict[str, str]) -> None:
    student = store.control.students.get(content_id("st", b"triage"))
    assert student is not None
    rung = Rung(
        student=student.student_id,
        path=student.path,
        sha256=student.sha256,
        threshold=0.82,
        novelty_limit=0.44,
        certificate=certificates["triage"],
        fingerprints=(),
    )
    entries = {
        tasks["triage"]: TaskPolicy(task=tasks["triage"], rungs=(rung,)),
        tasks["urgency"]: TaskPolicy(task=tasks["urgency"]),
    }
    store.control.publish_policy(Policy(reason="triage promoted", tasks=entries), 0)


def _put_drill(store: Store, tasks: dict[str, str]) -> None:
    """Of an hour ago: one task held, one did not."""
    outcomes: dict[str, dict[Outcome, int]] = {
        "triage": {"certified": 61, "uncertified": 9},
        "urgency": {"uncertified": 20, "failed": 4},
    }
    report = DrillReport(
        seconds=600,
        requests=94,
        outcomes={"certified": 61, "uncertified": 29, "failed": 4},
        tasks=tuple(
            DrillLine(key=tasks[name], name=name, requests=sum(one.values()), outcomes=one)
            for name, one in outcomes.items()
        ),
    )
    now = time.time_ns()
    drill = Drill(
        drill_id="dr_00000001",
        without=("rented",),
        upstreams=("rented",),
        state="ended",
        since_ns=now - HOUR - 600 * 10**9,
        until_ns=now - HOUR,
        wanted_seconds=600,
        report=report,
        created_ns=now - HOUR - 600 * 10**9,
        updated_ns=now - HOUR,
    )
    store.control.drills.put(drill)


def _put_events(store: Store, tasks: dict[str, str]) -> None:
    told: tuple[tuple[EventKind, str, str, float], ...] = (
        ("task-discovered", "triage", "triage: named by its caller.", 8),
        ("task-discovered", "reply", f"reply: named by its caller {SCRIPT}", 7.9),
        ("form-recognised", "triage", "triage: one of 24 labels.", 7.4),
        ("student-trained", "triage", "triage: a classifier on 640 samples.", 5.2),
        ("certified", "triage", "triage: loss at most 3.90% at attempt 1.", 5.1),
        ("promoted", "triage", "triage: 80% of requests now answered by its student.", 5),
        ("promoted", "urgency", "urgency: 95% of requests now answered by its student.", 4.9),
        ("rolled-back", "urgency", "urgency: back to the incumbent. 16 of 41 audited answers differ.", 2.3),
    )
    for kind, name, message, hours in told:
        at_ns = time.time_ns() - int(hours * HOUR)
        evidence = {"audits": 41, "losses": 16, "lower": 0.213} if kind == "rolled-back" else {}
        store.control.add_event(
            Event(event_id=new_id("ev"), at_ns=at_ns, kind=kind, task=tasks[name], message=message, evidence=evidence)
        )
