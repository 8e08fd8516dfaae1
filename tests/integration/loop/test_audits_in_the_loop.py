"""A running loop over a rung certified by a scorer: audits at rates that change, a drift, and the withdrawal."""

from __future__ import annotations

import random
from typing import Any

import msgspec
from desk_fixtures import Office, office

from freehold.config import Price
from freehold.domain.scoring import ExactScorer
from freehold.loop import Loop

__all__ = ["office"]
SYSTEM = "Is it urgent? Answer yes or no."


class Serving:
    """Answers of the rung in force, audited at the rate in force, in the office's journal."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._random = random.Random(8)
        self._number = 0

    def serve(self, count: int, share_wrong: float) -> None:
        """`count` owned answers, of which this share is wrong."""
        entry = self._office.store.control.current_policy().tasks[self._office.task]
        for _ in range(count):
            self._number += 1
            user = f"question {self._number}"
            answer = "no" if self._random.random() < share_wrong else "Yes"
            audited = self._random.random() < entry.audit_rate
            served: dict[str, Any] = {
                "owned": True,
                "audited": audited,
                "audit_probability": entry.audit_rate,
                "reason": "accepted",
                "certificate": entry.rungs[0].certificate,
                "answered_by": f"student/{entry.rungs[0].student}",
            }
            owned = self._office.append(f"owned {self._number}", SYSTEM, user, answer, **served)
            if audited:
                changes = {"kind": "audit", "of": owned.trace_id, "reason": ""}
                self._office.append(f"audit {self._number}", SYSTEM, user, "yes", **changes)


def test_a_rung_certified_by_a_scorer_is_withdrawn_when_it_drifts_at_whatever_rates(office: Office) -> None:
    patient = msgspec.structs.replace(office.settings.loop, min_samples=9999)
    office.send(1, 300)
    Loop(office.store, msgspec.structs.replace(office.settings, loop=patient)).turn()
    scorer = ExactScorer()
    office.store.control.tasks.change(office.task, lambda task: msgspec.structs.replace(task, scorer=scorer))
    office.send(2, 800)
    Loop(office.store, office.settings).until_idle()
    rung = office.store.control.current_policy().tasks[office.task].rungs[0]
    certificate = office.store.control.certificates.get(rung.certificate)
    assert certificate is not None and certificate.loss == "harm"
    # Dollars enough for about a tenth of the answers: the budget, not the configured 30%, says how many are audited.
    upstream = msgspec.structs.replace(office.settings.upstreams["inc"], prices={"*": Price(input=10.0, output=10.0)})
    loop_settings = msgspec.structs.replace(office.settings.loop, audit_dollars_per_day=25.0, max_audit_rate=0.4)
    settings = msgspec.structs.replace(office.settings, upstreams={"inc": upstream}, loop=loop_settings)
    loop, serving = Loop(office.store, settings), Serving(office)
    rates: set[float] = set()
    for _ in range(3):
        serving.serve(150, 0.01)
        assert not loop.turn().rolled_back, "a good rung stays"
        loop = Loop(office.store, settings)  # as after a restart: its budget looks again at once
        rates.add(office.store.control.current_policy().tasks[office.task].audit_rate)
    before = office.store.control.monitors.get(rung.certificate)
    assert before is not None and before.weighted and len(rates) >= 1 and before.requests == 450
    assert before.losses <= 3, "`Yes` is as good as `yes` to this scorer"
    gone = False
    for _ in range(20):
        serving.serve(50, 0.5)
        gone = bool(loop.turn().rolled_back)
        if gone:
            break
    assert gone and office.store.control.current_policy().tasks[office.task].rungs == ()
    [event] = [event for event in office.store.control.events(100) if event.kind == "rolled-back"]
    assert event.evidence["weighted"] and event.evidence["loss"] == "harm"
    assert "lost" in event.message and "against the incumbent's" in event.message
    kept = office.store.data / "audits" / f"{rung.certificate}.jsonl"
    assert len(kept.read_bytes().split()) >= event.evidence["audits"]
