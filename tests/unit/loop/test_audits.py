"""Audits after promotion: which of them count, and that looking at them often withdraws only what is worse than ε."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from loop_fixtures import Desk, incumbent_audit, incumbent_trace

from freehold.domain.evidence import Certificate
from freehold.domain.ids import new_id
from freehold.monitor import breached, watch
from freehold.monitor.pairs import Audited

audits_module = import_module("freehold.monitor.audits")


def _certificate(desk: Desk) -> Certificate:
    rung = desk.rung
    certificate = desk.store.control.certificates.get(rung.certificate) if rung else None
    assert certificate is not None
    return certificate


def _looks(desk: Desk, monkeypatch: pytest.MonkeyPatch, wrong: Any) -> int | None:
    """How many audits there were when a look every 100 audits first found a breach; None if none did."""
    certificate = msgspec.structs.replace(_certificate(desk), certificate_id=new_id("ce"))
    number = range(len(wrong))
    everything = pl.DataFrame(
        {
            "trace_id": [f"tr_{n}" for n in number],
            "at_ns": list(number),
            "rate": [0.3] * len(wrong),
            "owned_answer": ["yes"] * len(wrong),
            "answer": np.where(wrong, "no", "yes"),
        }
    )
    seen = 0

    def looked_at(*_: Any) -> Audited:
        drawn = {0.3: seen} if seen else {}
        none = everything.head(0).select("at_ns", "rate")
        return Audited({0.3: 3 * seen}, drawn, none, everything.head(seen), 0)

    monkeypatch.setattr(audits_module, "audited", looked_at)
    for seen in range(0, len(wrong) + 1, 100):
        monitor = watch(desk.store, certificate, 1)
        assert monitor.audits == seen and monitor.lower <= monitor.losses / max(1, seen) <= monitor.upper
        if breached(monitor):
            return seen
    return None


def test_a_good_student_is_never_rolled_back_over_thousands_of_audits(
    owned_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = _certificate(owned_desk).loss_estimate
    for seed in range(2):
        wrong = np.random.default_rng(seed).random(3000) < good
        assert _looks(owned_desk, monkeypatch, wrong) is None


def test_a_student_worse_than_epsilon_is_rolled_back_soon(owned_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(3):
        wrong = np.random.default_rng(seed).random(1000) < 0.3
        found = _looks(owned_desk, monkeypatch, wrong)
        assert found is not None and found <= 200


def test_only_whole_audits_of_this_certificate_count(tmp_path: Path, owned_desk: Desk) -> None:
    desk = Desk(tmp_path)
    certificate = msgspec.structs.replace(_certificate(owned_desk), issued_ns=0)
    served: dict[str, Any] = {"owned": True, "answered_by": "student/st_1", "audited": True, "reason": "accepted"}
    served["audit_probability"] = 0.9
    for number in range(40):
        given = certificate.certificate_id if number < 30 else "ce_another"
        owned = incumbent_trace(number, f"m {number}", "yes", certificate=given, **served)
        if number % 10 == 9:
            owned = msgspec.structs.replace(owned, audited=False)
        desk.append(owned)
        changes: dict[str, Any] = {}
        if number == 3:
            changes = {"status": 500}
        elif number == 4:
            changes = {"error": "upstream_timeout: late"}
        elif number == 5:
            changes = {"response": b'{"choices":[{"message":{"content":"no"},"finish_reason":"length"}]}'}
        desk.append(incumbent_audit(1000 + number, owned, "no" if number in (3, 4, 5, 6, 35) else "yes", **changes))
    desk.loop.turn()
    monitor = watch(desk.store, certificate, 1)
    assert (monitor.audits, monitor.losses) == (24, 1.0), "30 of this certificate, less 3 not audited and 3 not whole"
    assert watch(desk.store, certificate, 2) == monitor, "nothing new, nothing changed"
    assert desk.store.control.monitors.get(certificate.certificate_id) == monitor
    desk.close()
