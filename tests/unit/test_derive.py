"""What is derived from a recorded exchange: answer, tokens, cost; from JSON, streams, halves and garbage."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from genai_prices import Usage, calc_price

from freehold.config import Price, UpstreamSettings
from freehold.domain.traces import Trace
from freehold.record.answers import read_answer
from freehold.record.derive import Deriver

REQUEST = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Where is my card?!!!"}]}  # 20 bytes
USAGE = {"prompt_tokens": 1000, "completion_tokens": 10, "prompt_tokens_details": {"cached_tokens": 400}}


def _completion(**changes: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": "card"}, "finish_reason": "stop"}
    return msgspec.json.encode({"model": "gpt-4o-mini-2024-07-18", "choices": [choice], "usage": USAGE} | changes)


def _chunk(content: str | None, finish: str | None = None, index: int = 0) -> bytes:
    delta = {} if content is None else {"content": content}
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return b"data: " + msgspec.json.encode({"model": "m-1", "choices": [choice], "usage": None}) + b"\n\n"


STREAM = (
    b": ping\r\n\r\n"
    + _chunk("")
    + _chunk("car")
    + _chunk("other choice", index=1)
    + _chunk("d ☃")
    + _chunk(None, "stop")
    + b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}\r\n\r\ndata: [DONE]\n\n'
)


def _trace(response: bytes, **changes: Any) -> Trace:
    trace = Trace(
        trace_id="tr_00000001",
        at_ns=time.time_ns(),
        model="gpt-4o-mini",
        answered_by="openai/gpt-4o-mini",
        status=200,
        request=msgspec.json.encode(REQUEST),
        response=response,
    )
    return msgspec.structs.replace(trace, **changes)


OPENAI = {"openai": UpstreamSettings(base_url="https://api.openai.com/v1")}


def test_a_whole_completion_is_measured_and_quoted() -> None:
    derived = Deriver(OPENAI)(_trace(_completion()))
    assert (derived.answer, derived.finish_reason) == ("card", "stop")
    assert (derived.input_tokens, derived.cached_input_tokens, derived.output_tokens) == (1000, 400, 10)
    assert (derived.tokens_source, derived.price_source) == ("measured", "quoted")
    assert (derived.upstream, derived.answer_model) == ("openai", "gpt-4o-mini-2024-07-18")
    usage = Usage(input_tokens=1000, cache_read_tokens=400, output_tokens=10)
    assert derived.cost_nanousd == calc_price(usage, "gpt-4o-mini").total_price * Decimal(10**9)


@pytest.mark.parametrize("model", ["gpt-4o", "gemini-2.5-pro", "claude-sonnet-4-5", "deepseek-chat"])
def test_quoted_costs_are_the_librarys_own_also_for_tiered_prices(model: str) -> None:
    counts = {"prompt_tokens": 300_000, "completion_tokens": 5000, "prompt_tokens_details": {"cached_tokens": 1000}}
    trace = _trace(_completion(usage=counts, model=model), answered_by=f"elsewhere/{model}", model=model)
    derived = Deriver({})(trace)
    usage = Usage(input_tokens=300_000, cache_read_tokens=1000, output_tokens=5000)
    wanted = calc_price(usage, model).total_price * 10**9
    assert (derived.price_source, derived.cost_nanousd) == ("quoted", round(wanted))


def test_the_price_in_the_settings_comes_first() -> None:
    price = Price(input=2.0, output=10.0, cached_input=0.5)
    named = {"openai": UpstreamSettings(base_url="http://x/v1", prices={"gpt-4o-mini": price, "*": Price(9.0, 9.0)})}
    derived = Deriver(named)(_trace(_completion()))
    assert (derived.cost_nanousd, derived.price_source) == (600 * 2000 + 400 * 500 + 10 * 10_000, "config")
    star = {"openai": UpstreamSettings(base_url="http://x/v1", prices={"*": Price(1.0, 1.0)})}
    assert Deriver(star)(_trace(_completion())).cost_nanousd == 1010 * 1000


def test_an_unknown_price_is_not_made_up_and_an_owned_answer_is_free() -> None:
    unknown = _trace(_completion(model="our-own-thing"), answered_by="lab/our-own-thing", model="our-own-thing")
    derived = Deriver({})(unknown)
    assert (derived.cost_nanousd, derived.price_source, derived.tokens_source) == (0, "none", "measured")
    owned = Deriver(OPENAI)(_trace(_completion(), answered_by="student/st_1", owned=True))
    assert (owned.cost_nanousd, owned.price_source, owned.tokens_source) == (0, "owned", "estimated")
    assert owned.answer == "card"


def test_an_owned_answer_is_priced_as_the_model_that_was_asked_for_at_its_own_upstream() -> None:
    first = UpstreamSettings(base_url="http://x/v1", prices={"*": Price(9.0, 9.0)})  # takes any model
    glob = UpstreamSettings(base_url="http://y/v1", models=("gpt-*",), prices={"*": Price(2.0, 10.0)})
    exact = UpstreamSettings(base_url="http://z/v1", models=("gpt-4o",), prices={"*": Price(3.0, 1.0)})
    derive = Deriver({"first": first, "glob": glob, "exact": exact})
    tokens = {"prompt_tokens": 1000, "completion_tokens": 10}
    for model, wanted in (("gpt-4o-mini", 2_100_000), ("gpt-4o", 3_010_000), ("other", 9_090_000)):
        owned = derive(_trace(_completion(usage=tokens), model=model, answered_by="student/st_1", owned=True))
        assert (owned.incumbent_cost_nanousd, owned.incumbent_price_source) == (wanted, "config")
        assert (owned.cost_nanousd, owned.tokens_source) == (0, "estimated")
    unknown = Deriver({})(_trace(_completion(), model="our-own-thing", answered_by="student/st_1", owned=True))
    assert (unknown.incumbent_cost_nanousd, unknown.incumbent_price_source) == (0, "none")
    rented = derive(_trace(_completion()))
    assert (rented.incumbent_cost_nanousd, rented.incumbent_price_source) == (0, "none")


def test_a_stream_is_joined_and_half_a_stream_says_that_it_did_not_finish() -> None:
    whole = read_answer(STREAM, stream=True)
    assert (whole.text, whole.finish_reason, whole.model) == ("card ☃", "stop", "m-1")
    assert whole.usage is not None and (whole.usage.input, whole.usage.output) == (7, 2)
    for length in range(len(STREAM)):
        half = read_answer(STREAM[:length], stream=True)
        assert "card ☃".startswith(half.text or "")
    cut = Deriver({})(_trace(STREAM[: STREAM.index("☃".encode()) + 20], stream=True))
    assert (cut.finish_reason, cut.tokens_source, cut.input_tokens) == ("", "estimated", 5)


@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"\xff\xfe garbage",
        b"{",
        b"[]",
        b'{"choices": 3}',
        b'{"choices": [{"message": {"content": null, "tool_calls": []}}]}',
        b"[" * 100_000,
        b"data: {\n\ndata: \xff\n\n",
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_garbage_gives_no_answer_and_no_error(response: bytes, stream: bool) -> None:
    derived = Deriver({})(_trace(response, stream=stream))
    assert (derived.answer, derived.output_tokens, derived.tokens_source) == (None, 0, "estimated")
    nonsense = Deriver({})(_trace(response, stream=stream, request=b"\0\xff"))
    assert (nonsense.input_tokens, nonsense.tokens_source, nonsense.price_source) == (0, "", "none")


def test_what_was_not_answered_costs_nothing() -> None:
    error = b'{"error":{"message":"no"}}'
    for trace in (_trace(error, status=429), _trace(b"", answered_by="")):
        derived = Deriver(OPENAI)(trace)
        assert (derived.answer, derived.input_tokens, derived.cost_nanousd, derived.price_source) == (
            None,
            0,
            0,
            "none",
        )


def test_parts_are_joined() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}]
    body = _completion(choices=[{"message": {"content": parts}, "finish_reason": "stop"}])
    assert read_answer(body, stream=False).text == "ab"


@pytest.mark.parametrize(
    ("changes", "terms"),
    [
        ({}, "openai-api@2025-12-01"),
        ({"cached": True}, "openai-api@2025-12-01"),
        ({"answered_by": "student/st_1", "owned": True}, "own"),
        ({"answered_by": "ours/m"}, "own"),
        ({"answered_by": "bought/m", "source": "otlp"}, "unknown"),
        ({"answered_by": "elsewhere/m"}, "unknown"),
        ({"answered_by": ""}, ""),
        ({"status": 500}, ""),
    ],
)
def test_every_answer_says_under_whose_terms_it_was_got(changes: dict[str, Any], terms: str) -> None:
    ours = UpstreamSettings(base_url="http://127.0.0.1:1/v1", terms="own")
    elsewhere = UpstreamSettings(base_url="http://127.0.0.1:2/v1")
    derive = Deriver({**OPENAI, "ours": ours, "elsewhere": elsewhere})
    assert derive(_trace(_completion(), **changes)).terms == terms
