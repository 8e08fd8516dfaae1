"""Speed with wide margins: what fails here is slower by a multiple, not by a busy machine."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
from loop_fixtures import Desk, urgency

HEAVY = ("sklearn", "scipy", "polars", "deltalake", "torch", "pandas")


def test_a_decision_takes_well_below_five_milliseconds(owned_desk: Desk) -> None:
    assert owned_desk.rung is not None
    student = owned_desk.student(owned_desk.rung)
    taken: list[float] = []
    for prompt, _ in urgency(9, 400):
        before = time.thread_time()
        student.answer(prompt)
        taken.append(time.thread_time() - before)
    assert np.percentile(taken, 95) < 0.003


def test_a_very_long_prompt_is_bounded(owned_desk: Desk) -> None:
    assert owned_desk.rung is not None
    student = owned_desk.student(owned_desk.rung)
    before = time.thread_time()
    student.answer("all different words " + " ".join(f"w{chr(97 + n % 26)}x{n}" for n in range(100_000)))
    assert time.thread_time() - before < 0.25


def test_importing_freehold_and_its_student_is_light() -> None:
    code = (
        "import time; t = time.process_time(); import freehold, freehold.upstreams.student; "
        f"import sys; print(time.process_time() - t, [name for name in {HEAVY} if name in sys.modules])"
    )
    seconds, heavy = subprocess.check_output([sys.executable, "-c", code], text=True, timeout=60).strip().split(" ", 1)
    assert heavy == "[]"
    assert float(seconds) < 1.5
