"""W3C Trace Context: what is valid is continued, what is not restarts the trace, and nothing else is passed on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.domain.ids import new_id
from freehold.gateway.telemetry.trace_context import MAX_STATE_BYTES, begin_span, replace_headers
from freehold.upstreams.base import Headers

TRACE, SPAN = b"4bf92f3577b34da6a3ce929d0e0e4736", b"00f067aa0ba902b7"
GOOD = b"00-%s-%s-01" % (TRACE, SPAN)
OURS = "tr_18a3f00dcafe0123456789abcdef"


@pytest.mark.parametrize(
    ("value", "sampled"),
    [
        (GOOD, True),
        (b"  " + GOOD + b"\t", True),
        (GOOD[:-2] + b"00", False),
        (GOOD[:-2] + b"fe", False),
        (GOOD[:-2] + b"09", True),  # flags are bits: others than `sampled` are not for us to understand
        (b"cc" + GOOD[2:], True),  # a later version, as far as it is like this one
        (b"cc" + GOOD[2:] + b"-what-the-future-will-be-like", True),
    ],
)
def test_a_valid_parent_is_continued(value: bytes, sampled: bool) -> None:
    span = begin_span([(b"traceparent", value), (b"tracestate", b"congo=t61rcWkgMzE")], OURS, 0.0)
    assert (span.trace_id, span.parent_id, span.sampled) == (TRACE.decode(), SPAN.decode(), sampled)
    assert span.span_id != span.parent_id and len(span.span_id) == 16
    sent = dict(replace_headers([(b"x-other", b"1"), (b"traceparent", value), (b"tracestate", b"old")], span))
    assert sent == {
        b"x-other": b"1",
        b"traceparent": b"00-%s-%s-0%d" % (TRACE, span.span_id.encode(), sampled),
        b"tracestate": b"congo=t61rcWkgMzE",
    }


BAD: list[bytes] = [
    b"",
    b"00",
    GOOD[:-1],
    GOOD + b"-",
    GOOD + b"-more",  # version 00 ends there
    b"cc" + GOOD[2:] + b".more",
    b"ff" + GOOD[2:],
    b"0X" + GOOD[2:],
    GOOD.upper(),
    GOOD.replace(b"-", b"_"),
    b"00-%s-%s-01" % (b"0" * 32, SPAN),
    b"00-%s-%s-01" % (TRACE, b"0" * 16),
    b"00-%s-%s-0g" % (TRACE, SPAN),
    b"00-%s-%s-01" % (TRACE[:-1] + b"-", SPAN),
    b"00-%s-%s-01" % (TRACE[:16] + b"\xff" + TRACE[17:], SPAN),
]


@pytest.mark.parametrize("value", BAD)
def test_an_invalid_parent_restarts_the_trace_and_drops_the_state(value: bytes) -> None:
    span = begin_span([(b"traceparent", value), (b"tracestate", b"congo=1")], OURS, 1.0)
    assert span.trace_id == "0000" + OURS[3:] and span.parent_id == "" and span.state == b"" and span.sampled


def test_two_parents_are_none() -> None:
    span = begin_span([(b"traceparent", GOOD), (b"traceparent", GOOD)], OURS, 1.0)
    assert span.parent_id == ""


def test_a_new_trace_can_be_computed_from_the_journals_id_and_is_sampled_by_share() -> None:
    ids = [new_id("tr") for _ in range(2000)]
    spans = [begin_span([], trace_id, 0.25) for trace_id in ids]
    assert [f"tr_{span.trace_id[4:]}" for span in spans] == ids
    assert len({span.span_id for span in spans}) == len(spans)
    assert 350 < sum(span.sampled for span in spans) < 650  # 500 ± 7.7 standard deviations


@pytest.mark.parametrize(
    ("states", "passed"),
    [
        ([b"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"], b"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
        ([b"rojo=1", b"congo=2"], b"rojo=1,congo=2"),
        ([b"rojo=1 ,\t congo=2 , ,"], b"rojo=1,congo=2"),
        ([b"tenant@vendor=a b", b""], b"tenant@vendor=a b"),
        ([b"rojo=1,rojo=2"], b""),
        ([b"Rojo=1"], b""),
        ([b"rojo"], b""),
        ([b"rojo=1=2"], b""),
        ([b"rojo=\xc3\xa9"], b""),
        ([b"rojo=" + b"x" * 257], b""),
        ([b"k" * 257 + b"=1"], b""),
        ([b",".join(b"k%d=1" % number for number in range(33))], b""),
        ([b",".join(b"k%d=1" % number for number in range(32))], b",".join(b"k%d=1" % n for n in range(32))),
        ([b",".join(b"k%d=%s" % (number, b"x" * 200) for number in range(30))], b""),
        ([b""], b""),
    ],
)
def test_a_state_is_passed_on_only_if_all_of_it_is_valid(states: list[bytes], passed: bytes) -> None:
    headers: Headers = [(b"traceparent", GOOD), *((b"tracestate", state) for state in states)]
    span = begin_span(headers, OURS, 1.0)
    assert span.parent_id == SPAN.decode() and span.state == passed and len(span.state) <= MAX_STATE_BYTES


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_whatever_is_sent_what_goes_out_is_valid(parent: bytes, state: bytes) -> None:
    span = begin_span([(b"traceparent", parent), (b"tracestate", state)], OURS, 1.0)
    again = begin_span(replace_headers([], span), OURS, 0.0)
    assert (again.trace_id, again.parent_id, again.sampled, again.state) == (
        span.trace_id,
        span.span_id,
        span.sampled,
        span.state,
    )


def test_a_child_stays_in_the_trace() -> None:
    span = begin_span([(b"traceparent", GOOD)], OURS, 1.0)
    child = span.child()
    assert (child.trace_id, child.parent_id) == (span.trace_id, span.span_id) and child.span_id != span.span_id
