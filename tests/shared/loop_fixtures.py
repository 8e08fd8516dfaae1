"""A support desk whose traffic is recorded as the gateway would record it, in process, with a policy that is obeyed."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from freehold.config import LoopSettings, Settings, UpstreamSettings
from freehold.demo.grammar import SupportDesk
from freehold.demo.incumbent import incumbent_answers
from freehold.domain.chat import parse_chat, student_input
from freehold.domain.evidence import Sample
from freehold.domain.fingerprint import shape_of, task_id_of_fingerprint
from freehold.domain.policy import Rung
from freehold.domain.traces import Trace
from freehold.loop import Loop
from freehold.store import Store
from freehold.store.artifacts import read_student
from freehold.upstreams.student import Classifier, build_classifier

SYSTEM = "Is this message urgent? Answer yes or no."


def desk_settings(data: Path, terms: str = "own", **loop: Any) -> Settings:
    """Settings of one data folder with one upstream, `inc`."""
    upstream = UpstreamSettings(base_url="http://127.0.0.1:1/v1", terms=terms)
    return Settings(upstreams={"inc": upstream}, loop=LoopSettings(**loop), data_dir=str(data))


def completion(text: str | None, finish: str = "stop") -> bytes:
    """The body of a chat completion."""
    choice = {"message": {"content": text}, "finish_reason": finish}
    return json.dumps({"choices": [choice], "usage": {"prompt_tokens": 30, "completion_tokens": 4}}).encode()


def chat(user: str, system: str = SYSTEM, **more: Any) -> bytes:
    """A chat request."""
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    return json.dumps({"model": "gpt", "messages": messages, **more}).encode()


def incumbent_trace(number: int, user: str, answer: str | None, **changes: Any) -> Trace:
    """One request the incumbent answered; ids depend on `number` alone, so that thinning by them repeats."""
    body = changes.pop("request", None) or chat(user)
    fingerprint = shape_of(parse_chat(body)).fingerprint
    trace = Trace(
        trace_id="tr_" + hashlib.sha256(str(number).encode()).hexdigest()[:28],
        at_ns=time.time_ns(),
        task=task_id_of_fingerprint(fingerprint),
        fingerprint=fingerprint,
        model="gpt",
        answered_by="inc/gpt",
        reason="no-rung",
        status=200,
        request=body,
        response=completion(answer),
    )
    return msgspec.structs.replace(trace, **changes)


def urgency(seed: int, n: int, *, drifted: bool = False, mistakes: float = 0.02) -> list[tuple[str, str]]:
    """Messages of the demo's urgency task, each with the incumbent's answer."""
    messages = list(SupportDesk(seed).messages("urgency", n, drifted=drifted))
    answers = incumbent_answers(messages, seed, mistakes)
    return [(message.user, answer) for message, answer in zip(messages, answers, strict=True)]


def make_samples(rows: Iterable[tuple[str, str]], parts: Sequence[str] = ("fit", "tune", "certify")) -> list[Sample]:
    """Samples of prompts and answers, the parts taken in turn."""
    return [
        Sample(
            trace_id=f"tr_{number:028x}",
            at_ns=number + 1,
            prompt=prompt,
            answer=answer,
            part=part,  # type: ignore[arg-type]
            terms="own",
            input_tokens=0,
            output_tokens=0,
            uniform=True,
        )
        for number, ((prompt, answer), part) in enumerate(zip(rows, itertools.cycle(parts), strict=False))
    ]


class Desk:
    """One data folder, the loop over it (jobs in process), and callers who obey the policy in force."""

    def __init__(self, folder: Path, terms: str = "own", asking: dict[str, Any] | None = None, **loop: Any) -> None:
        """`asking`: what requests have beside their messages."""
        self._asking = asking or {}
        self.settings = desk_settings(folder, terms, **loop)
        self.store = Store.open(self.settings.data, self.settings.control_url)
        self.loop = Loop(self.store, self.settings)
        self.served: list[bool] = []
        """Of every request: whether a student answered it."""
        self._journal = self.store.open_journal()
        self._random = random.Random(0)
        self._number = itertools.count()
        self._students: dict[str, Classifier] = {}

    def close(self) -> None:
        """Close the journal and the store."""
        self._journal.close()
        self.store.close()

    @property
    def task_id(self) -> str:
        """Of the one task that SYSTEM makes."""
        return incumbent_trace(0, "", "", request=chat("", **self._asking)).task

    @property
    def rung(self) -> Rung | None:
        """The rung in force for it."""
        entry = self.store.control.current_policy().tasks.get(self.task_id)
        return entry.rungs[0] if entry and entry.rungs else None

    def append(self, trace: Trace) -> None:
        """Record a trace as it is."""
        self._journal.append(trace)

    def send(self, rows: Iterable[tuple[str, str]]) -> None:
        """Requests, each with the answer the incumbent gives if it is asked, served under the policy in force."""
        entry = self.store.control.current_policy().tasks.get(self.task_id)
        for user, reference in rows:
            trace = incumbent_trace(next(self._number), user, reference, request=chat(user, **self._asking))
            if entry is None or not entry.rungs:
                self.served.append(False)
                self._journal.append(trace)
            else:
                self._serve(trace, reference, entry.rungs[0], entry.audit_rate)

    def _serve(self, trace: Trace, reference: str, rung: Rung, audit_rate: float) -> None:
        answer = self.student(rung).answer(student_input(parse_chat(trace.request)) or "")
        known: dict[str, Any] = {
            "signal": answer.signal,
            "novelty": answer.novelty,
            "audit_probability": audit_rate,
        }
        reason = "novel" if answer.novelty > rung.novelty_limit else "uncertain"
        if reason == "uncertain" and answer.signal >= rung.threshold:
            reason = "accepted"
        owned = reason == "accepted"
        audited = owned and self._random.random() < audit_rate
        self.served.append(owned)
        if owned:
            known |= {
                "owned": True,
                "certificate": rung.certificate,
                "audited": audited,
                "answered_by": f"student/{rung.student}",
                "response": completion(answer.text),
            }
        self._journal.append(msgspec.structs.replace(trace, reason=reason, **known))
        if audited:
            self._journal.append(incumbent_audit(next(self._number), trace, reference))

    def student(self, rung: Rung) -> Classifier:
        """The rung's student, in memory."""
        if rung.student not in self._students:
            self._students[rung.student] = build_classifier(*read_student(self.store.data / rung.path, rung.sha256))
        return self._students[rung.student]

    def events(self, *kinds: str) -> list[Any]:
        """The events of these kinds, oldest first."""
        return [event for event in reversed(self.store.control.events(10_000)) if event.kind in kinds]


def incumbent_audit(number: int, of: Trace, reference: str, **changes: Any) -> Trace:
    """The incumbent asked about an owned answer."""
    audit = incumbent_trace(number, "", reference, request=of.request)
    return msgspec.structs.replace(audit, kind="audit", of=of.trace_id, reason="", **changes)


@pytest.fixture(scope="session")
def owned_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterable[Desk]:
    """A desk whose urgency task was promoted. Shared: tests change nothing that is there."""
    desk = Desk(tmp_path_factory.mktemp("owned"), epsilon=0.1, delta=0.1, min_samples=600, growth=1.2)
    desk.send(urgency(1, 900))
    desk.loop.until_idle()
    yield desk
    desk.close()
