"""What a request is expected to need, what it used, and what that costs."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import Any

import pytest

from freehold.access.grants import Account, Grant
from freehold.config import Price, UpstreamSettings
from freehold.domain.access import Secret, VirtualKey
from freehold.domain.errors import RequestError
from freehold.gateway.limits import admission
from freehold.gateway.limits.one_model import check_one_model
from freehold.gateway.limits.rates import Rates
from freehold.gateway.limits.usage import Tokens
from freehold.record.prices import PriceList

SECRET = Secret(digest="0" * 64, shown="fh-abcd…", created_ns=1)
KEY = VirtualKey(key_id="key_00000001", name="k", secrets=(SECRET,), created_ns=1, updated_ns=1)


def _turn(body: bytes) -> Any:
    return SimpleNamespace(body=body, caller=SimpleNamespace(grant=Grant(KEY, [Account("key_00000001", "key 'k'")])))


def _chat(**more: object) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}], **more}).encode()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"max_tokens": 50}, 50),
        ({"max_completion_tokens": 60, "n": 3}, 180),
        ({"max_output_tokens": 70, "n": 0}, 70),
        ({"max_tokens": 0}, 0),
        ({"max_tokens": -5}, 0),
        ({}, 256),
        ({"max_tokens": "many"}, 256),
    ],
)
def test_an_answer_is_bounded_by_what_the_request_allows(more: dict[str, object], said: int) -> None:
    body = _chat(**more)
    assert admission._expect(_turn(body)) == (len(body) // 4, said)


def test_a_picture_is_not_counted_by_its_bytes() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1_000_000}}
    given, _ = admission._expect(_turn(_chat(messages=[{"role": "user", "content": [picture, picture]}])))
    assert given == 2 * 1_500 + 4_000
    text = "word " * 20_000
    assert admission._expect(_turn(_chat(messages=[{"role": "user", "content": text}])))[0] > 25_000
    assert admission._expect(_turn(b"\xff{"))[0] == 0


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "allowed", "model": "other"}',
        b'{"model": "allowed", "Model": "other"}',
        b'{"model": "allowed", "mod\\u0065l": "other"}',
        b'{"model": "allowed", "\\u004dODEL": "other"}',
        b'{"model": "a", "x": {"model": 1}, "model": "b"}',
        b'{"model": "a", "model": ',
    ],
)
def test_a_body_that_names_two_models_is_refused(body: bytes) -> None:
    with pytest.raises(RequestError):
        check_one_model(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json at all",
        _chat(),
        _chat(tools=[{"function": {"parameters": {"properties": {"model": {"type": "string"}}}}}]),
        _chat(messages=[{"role": "user", "content": 'say "model": "x", "model": "y"'}]),
        b'{"model": "a", "messages": [{"content": "caf\\u0065"}]}',
    ],
)
def test_a_body_that_names_one_is_not(body: bytes) -> None:
    check_one_model(body)


class _Ticket:
    def __init__(self) -> None:
        self.settled: list[tuple[int, int, int | None]] = []

    def settle(self, tokens: int, nanousd: int, said: int | None = None) -> None:
        self.settled.append((tokens, nanousd, said))


def _rates(**upstreams: UpstreamSettings) -> Rates:
    owned = frozenset(name for name, upstream in upstreams.items() if upstream.owned)
    return Rates(PriceList(upstreams), owned)


def _upstream(**more: Any) -> UpstreamSettings:
    return UpstreamSettings(base_url="http://127.0.0.1:1/v1", **more)


PRICED = _rates(main=_upstream(prices={"m": Price(input=1.0, output=2.0, cached_input=0.5)}))


def _settled(used: Tokens | None = None, **exchange: object) -> tuple[int, int, int | None]:
    fields = {"cached": False, "answered_by": "main/m", "status": 200, "stream": False, "response": b"", **exchange}
    ticket = _Ticket()
    admission._settle(PRICED, ticket, 10, SimpleNamespace(**fields), used)  # type: ignore[arg-type]
    (settled,) = ticket.settled
    return settled


def test_what_was_used_is_what_the_answer_says() -> None:
    assert _settled(Tokens(100, 40, 20)) == (120, 60 * 1000 + 40 * 500 + 20 * 2000, 20)
    assert _settled(Tokens(100, 0, 20), answered_by="student/st_1") == (120, 0, 20)
    events = b"data: {}\n\n" * 7 + b"data: [DONE]\n\n"
    assert _settled(stream=True, response=events) == (17, 10 * 1000 + 7 * 2000, 7)
    assert _settled(response=b"x" * 80) == (30, 10 * 1000 + 20 * 2000, 20)


@pytest.mark.parametrize("exchange", [{"cached": True}, {"answered_by": ""}, {"status": 429}])
def test_what_nobody_answered_costs_nothing(exchange: dict[str, object]) -> None:
    assert _settled(Tokens(100, 0, 20), **exchange) == (0, 0, None)


def test_a_rate_is_known_or_said_to_be_unknown() -> None:
    rates = _rates(
        main=_upstream(prices={"m": Price(input=1.0, output=2.0)}), ours=_upstream(owned=True), other=_upstream()
    )
    assert rates.of("main/m") is None
    assert rates.look_up("main/m") == rates.of("main/m") == (1000.0, 1000.0, 2000.0, True)
    assert rates.look_up("ours/nobody-knows-this") == (0.0, 0.0, 0.0, True)  # its weights are ours: it costs nothing
    assert rates.look_up("other/nobody-knows-this") == (0.0, 0.0, 0.0, False)
    assert rates.nanousd("other/nobody-knows-this", 1000, 0, 1000) == 0


def test_a_long_prompt_has_its_own_price_where_the_list_says_so() -> None:
    rates, prices = _rates(g=_upstream()), PriceList({"g": _upstream()})
    for given in (1_000, 250_000):
        exact, source = prices.cost("g", ("gemini-2.5-pro",), input=given, cached=0, output=100, at_ns=time.time_ns())
        assert source == "quoted"
        assert rates.nanousd("g/gemini-2.5-pro", given, 0, 100) == exact
