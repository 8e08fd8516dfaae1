"""No text of a caller's can forge a line of the log, or colour or steer a terminal; and no secret is in it."""

import json
import logging
import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from freehold.config.logs import LogFormat, configure_logs, escaped
from freehold.domain.traces import Trace
from freehold.gateway.telemetry.access_log import MOST_PROBLEMS, write_lines

FORGED = (
    'x\n2026-01-01T00:00:00Z [info     ] request   status=200\r\n\x1b[2K\x1b[31mred\x9b31m\u2028\u202eevil\x00"}\ud800'
)


@pytest.fixture
def out(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """What was written to standard error."""
    before = list(logging.getLogger().handlers)
    yield lambda: capsys.readouterr().err
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = before


@pytest.mark.parametrize("form", ["json", "console"])
def test_forged_text_stays_within_its_line(out: Callable[[], str], form: LogFormat) -> None:
    configure_logs("info", form)
    trace = Trace(
        trace_id="tr_1",
        at_ns=1,
        model=FORGED,
        answered_by=f"main/{FORGED}",
        task=FORGED,
        status=502,
        error=f"upstream_timeout: {FORGED}",
        attempts=(FORGED, FORGED),
    )
    write_lines([trace], everything=True)
    structlog.get_logger().warning(FORGED, error=FORGED, odd=[FORGED], bytes=FORGED.encode(errors="replace"))
    logging.getLogger("some.library").warning("heard %s", FORGED)
    lines = out().split("\n")
    assert lines.pop() == "" and len(lines) == 3 and all(line.isprintable() for line in lines)
    if form == "json":
        first = json.loads(lines[0])
        assert first["status"] == 502 and first["error"] == "upstream_timeout" and "red" in first["model"]
        assert json.loads(lines[2])["logger"] == "some.library"


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_cannot_begin_a_line_of_its_own(out: Callable[[], str], form: LogFormat) -> None:
    configure_logs("info", form)
    try:
        raise ValueError(FORGED)
    except ValueError:
        structlog.get_logger().exception("request-failed")
    first, *rest = out().splitlines()
    assert "request-failed" in first and all(line.startswith("  | ") and line.isprintable() for line in rest)
    assert bool(rest) == (form == "console")


@given(st.text())
def test_escaping_leaves_what_can_be_printed(text: str) -> None:
    found = escaped(text)
    assert found.isprintable() and (found == text or not text.isprintable())


def test_lines_tell_what_happened_and_nothing_that_was_said(out: Callable[[], str]) -> None:
    configure_logs("info", "json")
    secret = "sk-live-0123456789"
    trace = Trace(
        trace_id="tr_1",
        at_ns=1,
        model="m",
        answered_by="main/m",
        reason="no-rung",
        status=200,
        stream=True,
        request=f'{{"messages":[{{"content":"a prompt {secret}"}}]}}'.encode(),
        response=b'{"choices":"an answer"}',
        first_byte_us=1500,
        duration_us=2500,
        key="key_00000001",
    )
    write_lines([trace], everything=True)
    line = json.loads(out())
    assert line.pop("timestamp") and line == {
        "event": "request",
        "level": "info",
        "trace_id": "tr_1",
        "kind": "request",
        "api": "chat",
        "model": "m",
        "status": 200,
        "ms": 2.5,
        "bytes_in": len(trace.request),
        "bytes_out": len(trace.response),
        "answered_by": "main/m",
        "reason": "no-rung",
        "first_byte_ms": 1.5,
        "stream": True,
        "key": "key_00000001",
    }


def test_by_default_only_failures_that_are_not_the_callers_have_a_line_and_an_outage_is_summed_up(
    out: Callable[[], str],
) -> None:
    configure_logs("info", "json")
    well = Trace(trace_id="tr_well", at_ns=1, status=200)
    theirs = Trace(trace_id="tr_theirs", at_ns=1, status=404, error="model_not_found: x")
    passed = Trace(trace_id="tr_passed", at_ns=1, status=400)
    gone = Trace(trace_id="tr_gone", at_ns=1, status=200, error="client_closed: x")
    broken = Trace(trace_id="tr_broken", at_ns=1, status=200, error="upstream_protocol_error: x")
    down = Trace(trace_id="tr_down", at_ns=1, status=503)
    write_lines([well, theirs, passed, gone, broken, *[down] * MOST_PROBLEMS], everything=False)
    written = out()
    found = re.findall(r"tr_\w+", written)
    assert found == ["tr_broken", *["tr_down"] * (MOST_PROBLEMS - 1)]
    assert json.loads(written.splitlines()[-1])["more"] == 1


def test_lines_of_many_threads_do_not_run_into_each_other(
    out: Callable[[], str], request: pytest.FixtureRequest
) -> None:
    configure_logs("info", "json")
    request.addfinalizer(partial(sys.setswitchinterval, sys.getswitchinterval()))
    sys.setswitchinterval(1e-6)

    def talk(number: int) -> None:
        for _ in range(300):
            structlog.get_logger().info("said", number=number, text="x" * 200)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(talk, range(4)))
    lines = out().splitlines()
    assert len(lines) == 1200 and {json.loads(line)["event"] for line in lines} == {"said"}
