"""Unit tests of code, run in a box: see `sandbox`. The verdict comes from a process that never runs the answer's code.

Tests and answer live in two processes; between them cross numbers, texts, bytes, lists, tuples, dicts, sets and
exceptions, while objects of the answer's classes stay where they are. Tests that hand a function to the answer, or ask
`isinstance` of one of its classes, fail: for the reference too. The standard library is there, nothing else is.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from freehold.domain.errors import ScorerError
from freehold.domain.scoring import PythonScorer, Score, scored
from freehold.scorers.base import Context, fenced_code, shown

_LAUNCH = Path(__file__).parent / "sandbox" / "launch.py"
_START_SECONDS = 1.0
"""For two interpreters to start, on top of the time the tests may take."""


def score_python(scorer: PythonScorer, answer: str, context: Context) -> Score:
    """1 if all tests pass (with `partial`: their share), else 0; code that fails, ends or does not end scores 0.

    Raises:
        ScorerError: there are no tests, they are not Python, or the system cannot isolate the code.
    """
    tests = context.tests or scorer.tests
    if not tests.strip():
        raise ScorerError("The python scorer has no tests.", "Set `tests`, or score requests that bring their own.")
    job = json.dumps({"answer": fenced_code(answer), "tests": tests, "entry": scorer.entry}).encode()
    result = _run(scorer, job, isolate=True)
    if "no_isolation" in result and scorer.allow_without_network_isolation:
        result = _run(scorer, job, isolate=False)
    if "no_isolation" in result:
        raise ScorerError(
            f"The code cannot be cut off from the network here: {result['no_isolation']}.",
            "Allow unprivileged user namespaces (in a container: its seccomp profile), or, for code you trust, set "
            "allow_without_network_isolation.",
        )
    if "unusable" in result:
        raise ScorerError(f"The python scorer cannot be used: {result['unusable']}.", "Mend the tests.")
    if "problem" in result:
        return scored(0.0, str(result["problem"]))
    return _verdict(scorer, int(result["tests"]), [str(one) for one in result["failures"]])


def _verdict(scorer: PythonScorer, tests: int, failures: list[str]) -> Score:
    if not failures:
        return scored(1.0, f"All of {tests} test(s) pass.")
    share = max(0.0, 1 - len(failures) / tests) if tests else 0.0
    value = share if scorer.partial else 0.0
    return scored(value, f"{len(failures)} of {max(1, tests)} test(s) fail; first {shown(failures[0])}.")


def _run(scorer: PythonScorer, job: bytes, *, isolate: bool) -> dict[str, Any]:
    arguments = ["1" if isolate else "0", f"{scorer.seconds:g}", str(scorer.memory_mb)]
    with tempfile.TemporaryDirectory(prefix="freehold-tests-") as folder:
        try:
            box = subprocess.Popen(
                [sys.executable, "-I", "-S", "-B", str(_LAUNCH), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={},
                cwd=folder,
                start_new_session=True,
            )
        except OSError as error:
            raise ScorerError(f"The sandbox cannot be started: {error}.", "Free memory or processes.") from error
        try:
            output, _ = box.communicate(job, scorer.seconds + _START_SECONDS)
        except subprocess.TimeoutExpired:
            return {"problem": f"The tests did not end within {scorer.seconds:g} s."}
        finally:
            _kill(box)
    lines = [json.loads(line) for line in output.splitlines()]
    if not lines:
        raise ScorerError("The sandbox did not start.", "Give the scorer more memory_mb, or look at the system's log.")
    if "started" in lines[-1]:
        return {"problem": "The code brought the tests to an end: out of memory or processor time, most likely."}
    return lines[-1]


def _kill(box: subprocess.Popen[bytes]) -> None:
    """End the whole group; with it goes the first process of the box's own namespace, and so everything in it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(box.pid, signal.SIGKILL)
    box.wait()
    for stream in (box.stdin, box.stdout):
        if stream is not None:
            stream.close()
