"""Certificates in force, made by hand, and traffic recorded under them in a real store, at any rate and any time."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from freehold.config import LoopSettings, Price, Settings, UpstreamSettings
from freehold.domain.evidence import Certificate, CertifiedRung
from freehold.domain.ids import content_id
from freehold.domain.policy import Policy, Rung, TaskPolicy
from freehold.domain.tasks import Task
from freehold.domain.traces import Trace
from freehold.record.derive import Deriver
from freehold.store import Store
from freehold.store.traces.rows import trace_frame

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
BEGIN = 1_800_000_000 * SECOND // DAY * DAY
"""A midnight."""


def completion(text: str | None, tokens: int = 100, finish: str = "stop") -> bytes:
    """The body of a chat completion."""
    choice = {"message": {"content": text}, "finish_reason": finish}
    usage = {"prompt_tokens": tokens, "completion_tokens": tokens}
    return json.dumps({"choices": [choice], "usage": usage}).encode()


def certificate(task: str, **changes: Any) -> Certificate:
    """A certificate of one student, issued at `BEGIN`."""
    rung = CertifiedRung(
        kind="student",
        name=f"st_{task}",
        sha256="",
        record_sha256="",
        signal=f"st_{task}",
        signal_path="",
        signal_sha256="",
        novelty_limit=1.0,
    )
    fields: dict[str, Any] = {
        "certificate_id": content_id("ce", task.encode()),
        "version": 3,
        "task": task,
        "rungs": (rung,),
        "thresholds": (0.5,),
        "dataset_id": "ds_1",
        "dataset_sha256": "",
        "dataset_record_sha256": "",
        "evidence_path": "",
        "evidence_sha256": "",
        "loss": "disagreement",
        "scorer": "",
        "risk": "served",
        "test": "exact binomial",
        "epsilon": 0.08,
        "delta": 0.05,
        "attempt": 1,
        "delta_spent": 0.0304,
        "certify_rows": 400,
        "accepted": 300,
        "loss_sum": 12.0,
        "p_value": 0.001,
        "loss_estimate": 0.04,
        "loss_upper": 0.07,
        "coverage": 0.75,
        "traffic_loss_upper": 0.06,
        "self_disagreement": None,
        "tested": (),
        "assumptions": (),
        "software": "freehold",
        "issued_ns": BEGIN,
    }
    known = {name: value for name, value in (fields | changes).items() if name in Certificate.__struct_fields__}
    return Certificate(**known)


class Watched:
    """One data folder. Each `serve` puts one request in the trace table's queue; `seal` writes them."""

    def __init__(self, folder: Path, *certificates: Certificate, **loop: Any) -> None:
        self.prices = {"inc": {"*": Price(input=1.0, output=3.0)}}
        self.settings = Settings(loop=LoopSettings(**loop), data_dir=str(folder))
        self.store = Store.open(self.settings.data, self.settings.control_url)
        self.certificates = {item.task: item for item in certificates}
        self._traces: list[Trace] = []
        self._number = itertools.count(1)
        self._sealed = itertools.count(1)
        self._random = random.Random(5)
        entries: dict[str, TaskPolicy] = {}
        for item in certificates:
            self.store.control.tasks.put(Task(task_id=item.task, name=item.task, state="owned", epsilon=item.epsilon))
            self.store.control.certificates.put(item)
            rung = Rung(
                student=item.rungs[0].name,
                path="",
                sha256="",
                threshold=0.5,
                novelty_limit=1.0,
                certificate=item.certificate_id,
                fingerprints=(),
            )
            entries[item.task] = TaskPolicy(task=item.task, rungs=(rung,), audit_rate=0.05)
        self.store.control.publish_policy(Policy(tasks=entries), 0)

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def rate(self, task: str) -> float:
        """The audit rate in force."""
        return self.store.control.current_policy().tasks[task].audit_rate

    def serve(
        self,
        task: str,
        at_ns: int,
        answer: str | None,
        reference: str | None,
        rate: float,
        *,
        accepted: bool = True,
        tokens: int = 100,
        **audit: Any,
    ) -> bool:
        """One request, answered by a rung or (`accepted` false) escalated; True if it was audited.

        `audit`: what is different about the audit; `answered=False`: it was dropped.
        """
        item = self.certificates[task]
        drawn = accepted and self._random.random() < rate
        trace = Trace(
            trace_id=f"tr_{next(self._number):016x}{self._random.getrandbits(48):012x}",
            at_ns=at_ns,
            task=task,
            model="gpt",
            answered_by=f"student/{item.rungs[0].name}" if accepted else "inc/gpt",
            owned=accepted,
            policy=1,
            certificate=item.certificate_id if accepted else None,
            reason="accepted" if accepted else "uncertain",
            audit_probability=rate,
            audited=drawn,
            status=200,
            request=b'{"model":"gpt","messages":[{"role":"user","content":"what?"}]}',
            response=completion(answer if accepted else reference, tokens),
        )
        self._traces.append(trace)
        if drawn and audit.pop("answered", True):
            self._traces.append(self._audit(trace, reference, tokens, audit))
        return drawn

    def _audit(self, of: Trace, reference: str | None, tokens: int, changes: dict[str, Any]) -> Trace:
        fields: dict[str, Any] = {
            "trace_id": f"tr_{next(self._number):016x}{self._random.getrandbits(48):012x}",
            "kind": "audit",
            "of": of.trace_id,
            "at_ns": of.at_ns + SECOND,
            "answered_by": "inc/gpt",
            "owned": False,
            "certificate": None,
            "reason": "",
            "audit_probability": 0.0,
            "audited": False,
            "response": completion(reference, tokens),
        }
        return msgspec.structs.replace(of, **(fields | changes))

    def seal(self) -> None:
        """Put what was served in the trace table."""
        derive = Deriver({"inc": UpstreamSettings(base_url="http://127.0.0.1:1/v1", prices=self.prices["inc"])})
        frame = trace_frame(self._traces, [derive(trace) for trace in self._traces])
        self.store.traces.append(frame, {"wk_1": next(self._sealed)})
        self._traces.clear()

    def right_or_wrong(self, task: str, begin_ns: int, wrong: Sequence[bool], rates: Sequence[float]) -> None:
        """Serve and seal one answer a second, each wrong or not, at its own rate."""
        for number, (is_wrong, rate) in enumerate(zip(wrong, rates, strict=True)):
            self.serve(task, begin_ns + number * SECOND, "no" if is_wrong else "yes", "yes", rate)
        self.seal()
