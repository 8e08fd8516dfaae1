"""A request's way to an upstream: tries, pauses, rests, budgets, deployments and hedges, without sockets."""

from __future__ import annotations

import gc
import weakref
from email.utils import formatdate
from typing import Any

import pytest
from sending_fixtures import STALE, UNREACHABLE, Asked, Desk

from freehold.domain.errors import UpstreamProtocolError, UpstreamResting, UpstreamTimeout
from freehold.upstreams.http.backoff import back_off, retry_after

BROKEN = UpstreamProtocolError("Broke off.", "Try again.")
SILENT = UpstreamTimeout("Said nothing.", "Wait.")


def answered(body: bytes = b"ok") -> list[object]:
    return [200, (body, True)]


def test_an_answer_goes_straight_through_and_leaves_nothing_behind() -> None:
    desk = Desk()
    asked = desk.send()
    desk.exchanges[0].answer(200, b"o", last=False)
    asked.call.pause()
    assert desk.exchanges[0].paused and desk.outstanding == [1]
    asked.call.resume()
    desk.exchanges[0].sink.data(b"k", True)
    assert asked.heard == [200, (b"o", False), (b"k", True)]
    assert asked.attempts == ["200"] and desk.outstanding == [0] and desk.clock.due == []
    gc.disable()
    try:
        sinks = weakref.ref(asked)
        desk.exchanges.clear()
        del asked
        assert sinks() is None, "a cycle holds the sink until the garbage collector comes"
    finally:
        gc.enable()


def test_what_a_retry_may_cure_is_tried_again_after_a_pause() -> None:
    desk = Desk()
    asked = desk.send()
    desk.exchanges[0].answer(503, b"whole")
    assert desk.clock.due == [0.25]
    desk.clock.advance(0.25)
    desk.exchanges[1].answer(429, b"part", last=False)
    assert desk.exchanges[1].dropped and not desk.exchanges[0].dropped, "only what has not come whole is cut"
    desk.clock.advance(0.5)
    desk.exchanges[2].answer(200, b"ok")
    assert asked.heard == answered() and asked.attempts == ["503", "429", "200"]


def test_after_the_last_try_the_upstreams_own_answer_stands() -> None:
    desk = Desk(retries=1)
    asked = desk.send()
    desk.exchanges[0].answer(503)
    desk.clock.advance(1.0)
    desk.exchanges[1].answer(502, b"mine")
    assert asked.heard == [502, (b"mine", True)] and desk.outstanding == [0]


@pytest.mark.parametrize(
    ("value", "pause"),
    [(b"0.2", 0.2), (b"5", 5.0), (b"0", 0.0), (b"6", None), (b"1e3", 0.25), (b"-1", 0.25), (b"soon", 0.25)],
)
def test_retry_after_is_honoured_up_to_a_limit_and_passed_on_beyond(value: bytes, pause: float | None) -> None:
    desk = Desk()
    asked = desk.send()
    desk.exchanges[0].answer(429, b"busy", headers=[(b"retry-after", value)])
    if pause is None:
        assert asked.heard == [429, (b"busy", True)] and desk.clock.due == []
    else:
        assert asked.heard == [] and desk.clock.due == [pytest.approx(pause)]


def test_retry_after_may_be_a_date() -> None:
    now = 1_700_000_000
    date = formatdate(now + 7, usegmt=True).encode()
    assert retry_after([(b"x", b"1"), (b"retry-after", date)], lambda: float(now)) == 7.0
    assert retry_after([(b"retry-after", date)], lambda: now + 60.0) == 0.0
    assert retry_after([(b"retry-after", b"Fri, 99 Nov 2023")]) is None
    assert retry_after([]) is None


def test_pauses_grow_and_are_jittered() -> None:
    assert [back_off(attempt, lambda: 1.0) for attempt in range(6)] == [0.25, 0.5, 1.0, 2.0, 4.0, 4.0]
    assert back_off(0, lambda: 0.0) == 0.125


def test_a_stale_connection_is_replaced_once() -> None:
    desk = Desk()
    asked = desk.send()
    desk.exchanges[0].sink.fail(STALE)
    [(_, fresh)] = desk.pools[0].waiting
    assert fresh
    desk.pools[0].connect()
    desk.exchanges[1].answer(200, b"ok")
    assert asked.heard == answered() and asked.attempts == ["200"]
    again = desk.send()
    for number in (2, 3):
        desk.exchanges[number].sink.fail(STALE)
        if number == 2:
            desk.pools[0].connect()
    assert again.heard == ["upstream_protocol_error"] and desk.outstanding == [0]


def test_what_was_sent_is_not_sent_again_to_the_same_deployment() -> None:
    for error in (BROKEN, SILENT):
        desk = Desk()
        asked = desk.send()
        desk.exchanges[0].sink.fail(error)
        assert asked.heard == [error.code] and len(desk.exchanges) == 1 and desk.clock.due == []
    desk = Desk(kept=False)
    asked = desk.send()
    desk.pools[0].refuse()
    desk.clock.advance(0.25)
    desk.pools[0].connect()
    desk.exchanges[0].answer(200, b"ok")
    assert asked.heard == answered() and asked.attempts == ["upstream_unreachable", "200"]


def test_an_answer_that_breaks_off_is_nobodys_to_repeat() -> None:
    desk = Desk(1, 1)
    asked = desk.send()
    desk.exchanges[0].answer(200, b"half", last=False)
    desk.exchanges[0].sink.fail(BROKEN)
    assert asked.heard == [200, (b"half", False), "upstream_protocol_error"]
    assert desk.pools[1].exchanges == [] and desk.upstream.deployments[0].breaker.failures == 1


# Several deployments.


def test_weights_are_kept_smoothly() -> None:
    desk = Desk(3, 1)
    for _ in range(8):
        desk.send()
    chosen = [pool.exchanges for pool in desk.pools]
    assert [len(each) for each in chosen] == [6, 2]
    for _ in range(4):
        desk.send()
    assert [len(each) for each in chosen] == [9, 3], "every four requests one is the other's"


def test_of_equals_the_least_busy_is_asked() -> None:
    desk = Desk(1, 1)
    for _ in range(2):
        desk.send()
    desk.pools[1].exchanges[0].answer(200)
    desk.send()
    assert [len(pool.exchanges) for pool in desk.pools] == [1, 2]


def test_what_fails_is_tried_elsewhere_at_once() -> None:
    for fail in ("answer", "silence", "refusal"):
        desk = Desk(1, 1, kept=fail != "refusal")
        asked = desk.send()
        if fail == "answer":
            desk.exchanges[0].answer(500)
        elif fail == "silence":
            desk.exchanges[0].sink.fail(SILENT)
        else:
            desk.pools[0].refuse()
        desk.clock.advance(0.0)
        if fail == "refusal":
            desk.pools[1].connect()
        desk.pools[1].exchanges[0].answer(200, b"ok")
        assert asked.heard == answered() and desk.outstanding == [0, 0]


def test_a_deployment_that_says_429_rests_while_there_are_others() -> None:
    desk = Desk(1, 1)
    first = desk.send()
    desk.exchanges[0].answer(429, headers=[(b"retry-after", b"30")])
    desk.clock.advance(0.0)
    desk.pools[1].exchanges[0].answer(200, b"ok")
    assert first.heard == answered()
    for _ in range(4):
        desk.send()
    assert [len(pool.exchanges) for pool in desk.pools] == [1, 5]
    assert [health.state for health in desk.upstream.health()] == ["limited", "closed"]
    desk.clock.advance(30.0)
    desk.send()
    desk.send()
    assert len(desk.exchanges) == 2
    alone = Desk(retries=0)
    alone.send()
    alone.exchanges[0].answer(429, headers=[(b"retry-after", b"30")])
    alone.send()
    assert len(alone.exchanges) == 2, "the only one is asked nevertheless: it answers best for itself"


# Rests.


def test_after_failures_in_a_row_requests_are_refused_until_one_tries_again() -> None:
    desk = Desk(kept=False, retries=0)
    desk.fail_until_it_rests()
    assert desk.upstream.deployments[0].breaker.failures == 5
    refused = desk.send()
    desk.clock.advance(0.0)
    assert refused.heard == ["upstream_resting"] and desk.pools[0].waiting == []
    error = desk.upstream.resting()
    assert isinstance(error, UpstreamResting) and error.http_status == 503
    assert error.retry_after is not None and 0 < error.retry_after <= 5.0
    [health] = desk.upstream.health()
    assert health.state == "open" and "Nobody there" in health.last_error and 0 < health.rests_for <= 5.0
    desk.clock.advance(5.0)
    probe, other = desk.send(), desk.send()
    desk.clock.advance(0.0)
    assert len(desk.pools[0].waiting) == 1 and other.heard == ["upstream_resting"]
    assert desk.upstream.health()[0].state == "half-open"
    desk.pools[0].connect()
    desk.exchanges[0].answer(200, b"ok")
    assert probe.heard == answered() and desk.upstream.health()[0].state == "closed"
    desk.send()
    assert len(desk.pools[0].waiting) == 1


def test_rests_grow_while_it_keeps_failing_and_a_probe_given_up_frees_the_place() -> None:
    desk = Desk(kept=False, retries=0)
    desk.fail_until_it_rests()
    for rest in (5.0, 10.0, 20.0, 40.0, 60.0, 60.0):
        assert desk.upstream.health()[0].rests_for == pytest.approx(rest, abs=4.1)
        desk.clock.advance(desk.upstream.health()[0].rests_for)
        desk.send()
        desk.pools[0].refuse()
    desk.clock.advance(60.0)
    desk.send().call.cancel()
    assert desk.pools[0].waiting == [] and desk.outstanding == [0]
    desk.send()
    assert len(desk.pools[0].waiting) == 1, "the next may try"


def test_an_outage_in_the_middle_of_a_request_passes_on_what_came_last() -> None:
    desk = Desk(retries=10)
    asked = desk.send()
    for number in range(5):
        desk.exchanges[number].answer(503, b"down")
        desk.clock.advance(4.0)
    assert asked.heard == [503, (b"down", True)], "the fifth opened the breaker: there is nowhere to try again"


def test_a_deployment_that_rests_is_passed_over() -> None:
    desk = Desk(1, 1, retries=1)
    for _ in range(9):
        asked = desk.send()
        if len(desk.pools[0].exchanges) and desk.outstanding[0]:
            desk.pools[0].exchanges[-1].sink.fail(SILENT)
            desk.clock.advance(0.0)
        desk.pools[1].exchanges[-1].answer(200, b"ok")
        assert asked.heard == answered()
    assert desk.upstream.health()[0].state == "open"
    before = len(desk.pools[0].exchanges)
    for _ in range(4):
        desk.send()
    assert len(desk.pools[0].exchanges) == before == 5


@pytest.mark.parametrize("status", [400, 401, 404, 422, 429])
def test_a_callers_own_mistakes_never_open_it(status: int) -> None:
    desk = Desk(retries=0)
    for number in range(200):
        desk.send()
        desk.exchanges[number].answer(status)
    assert desk.upstream.deployments[0].breaker.ready()


def test_500_may_be_the_requests_fault_so_only_many_of_many_open_it() -> None:
    desk = Desk(retries=0)
    for number in range(19):
        desk.send()
        desk.exchanges[number].answer(500)
    assert desk.upstream.deployments[0].breaker.ready()
    desk.send()
    desk.exchanges[19].answer(500)
    assert not desk.upstream.deployments[0].breaker.ready()
    mixed = Desk(retries=0)
    for number in range(300):
        mixed.send()
        mixed.exchanges[number].answer(500 if number % 3 == 0 else 200)
        mixed.clock.advance(0.01)
    assert mixed.upstream.deployments[0].breaker.ready(), "a third is under the share"


# The budget of retries.


def test_an_outage_is_not_multiplied() -> None:
    desk = Desk()
    for _ in range(1000):
        desk.send()
        while desk.outstanding[0]:  # a storm: no time passes, so that the allowance per second adds nothing
            desk.exchanges[-1].answer(429, headers=[(b"retry-after", b"0")])
            desk.clock.advance(0.0)
    assert len(desk.exchanges) - 1000 == 0.2 * 1000 + 10
    desk.clock.advance(3.0)
    asked = desk.send()
    for _ in range(3):
        desk.exchanges[-1].answer(429, headers=[(b"retry-after", b"0")])
        desk.clock.advance(0.0)
    assert asked.attempts == ["429"] * 3, "three seconds allow three"


# Hedges.


def hedged(**options: Any) -> tuple[Desk, Asked]:
    desk = Desk(1, 1, hedge_after=1.5, **options)
    return desk, desk.send()


def test_the_first_of_two_to_begin_wins_and_the_other_is_cut() -> None:
    for winner in (0, 1):
        desk, asked = hedged()
        desk.clock.advance(1.49)
        assert desk.pools[1].exchanges == []
        desk.clock.advance(0.01)
        exchanges = [pool.exchanges[0] for pool in desk.pools]
        exchanges[winner].answer(200, b"o", last=False)
        assert exchanges[1 - winner].dropped and not exchanges[winner].dropped
        exchanges[winner].sink.data(b"k", True)
        assert asked.heard == [200, (b"o", False), (b"k", True)]
        assert asked.attempts == ["200", "cancelled"] and desk.outstanding == [0, 0] and desk.clock.due == []


def test_no_second_is_asked_once_an_answer_has_begun_or_where_there_is_no_other() -> None:
    desk, _ = hedged()
    desk.exchanges[0].answer(200, b"o", last=False)
    desk.clock.advance(10.0)
    assert desk.pools[1].exchanges == [] and desk.clock.due == []
    alone = Desk(hedge_after=1.5)
    alone.send()
    alone.clock.advance(10.0)
    assert len(alone.exchanges) == 1


def test_of_two_the_one_that_fails_is_forgotten_while_the_other_goes_on() -> None:
    for failing in (0, 1):
        desk, asked = hedged()
        desk.clock.advance(1.5)
        exchanges = [pool.exchanges[0] for pool in desk.pools]
        exchanges[failing].answer(503)
        assert asked.heard == [] and desk.outstanding[failing] == 0
        exchanges[1 - failing].sink.fail(SILENT)
        assert asked.heard == ["upstream_timeout"], "both were tried; what was sent is not sent again"
        assert asked.attempts == ["503", "upstream_timeout"] and desk.clock.due == []


# Giving up.


def test_cancelling_leaves_nothing_under_way_at_any_stage() -> None:
    waiting = Desk(kept=False)
    asked = waiting.send()
    asked.call.cancel()
    assert waiting.pools[0].waiting == [] and waiting.outstanding == [0]
    sent = Desk()
    asked = sent.send()
    asked.call.cancel()
    asked.call.cancel()
    assert sent.exchanges[0].dropped and sent.outstanding == [0]
    pausing = Desk()
    asked = pausing.send()
    pausing.exchanges[0].answer(503)
    asked.call.cancel()
    pausing.clock.advance(10.0)
    assert len(pausing.exchanges) == 1 and pausing.outstanding == [0]
    resting = Desk(kept=False, retries=0)
    resting.fail_until_it_rests()
    refused = resting.send()
    refused.call.cancel()
    resting.clock.advance(1.0)
    desk, both = hedged()
    desk.clock.advance(1.5)
    both.call.cancel()
    assert all(pool.exchanges[0].dropped for pool in desk.pools) and desk.outstanding == [0, 0]
    over = Desk()
    asked = over.send()
    over.exchanges[0].answer(200, b"ok")
    asked.call.cancel()
    assert not over.exchanges[0].dropped, "a connection that is kept is not cut"
    assert refused.heard == both.heard == []


def test_a_sink_may_cancel_while_it_hears_of_the_head() -> None:
    desk = Desk()

    class Impatient(Asked):
        def begin(self, upstream: str, status: int, headers: object) -> None:
            self.call.cancel()

    asked = Impatient(desk)
    desk.exchanges[0].answer(200, b"o", last=False)
    assert asked.heard == [] and desk.exchanges[0].dropped and desk.outstanding == [0]


def test_refused_connects_count_for_each_try() -> None:
    desk = Desk(kept=False)
    asked = desk.send()
    for _ in range(3):
        desk.pools[0].refuse(UNREACHABLE)
        desk.clock.advance(4.0)
    assert asked.heard == ["upstream_unreachable"] and len(asked.attempts) == 3
