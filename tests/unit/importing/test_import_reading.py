"""How files and loose values are read, whatever lies in them; and that what we write comes back the same."""

from __future__ import annotations

import datetime
import io
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import import_examples as examples
import otlp_examples as otlp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from import_fixtures import NOW, made, maker

from freehold.curate.export import _openai, _sharegpt
from freehold.domain.errors import RequestError, RowError, StoreError
from freehold.domain.evidence import Sample
from freehold.domain.ids import is_id
from freehold.gateway.telemetry import genai
from freehold.record.answers import read_answer
from freehold.record.derive import Deriver
from freehold.record.importing import exchange
from freehold.record.importing.exchange import Exchange
from freehold.record.importing.files import Place, files_in, lines_of
from freehold.record.importing.format import MISREAD
from freehold.record.importing.formats import FORMATS
from freehold.record.importing.json_array import elements
from freehold.record.importing.spans import nested
from freehold.record.importing.values import loads, time_ns, uuid7_ns
from freehold.store.traces.rows import trace_frame

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
WORDS = st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip)


@settings(max_examples=50)
@given(st.lists(JSON, max_size=6), st.integers(1, 40), st.booleans())
def test_an_array_is_cut_at_its_elements_whatever_is_read_at_once(values: list[Any], size: int, pretty: bool) -> None:
    file = io.BytesIO(json.dumps(values, indent=2 if pretty else None, ensure_ascii=not pretty).encode())
    found = [loads(element or b"") for element in elements(lambda _: file.read(size), 1 << 20)]
    assert found == values


def test_an_element_too_long_is_passed_over() -> None:
    file = io.BytesIO(b'[{"a": "' + b"x" * 5000 + b'"}, {"b": 1}, [' + b"2, " * 3000 + b"2], 3]")
    assert list(elements(lambda _: file.read(100), 1000)) == [None, b'{"b": 1}', None, b"3"]


@given(st.datetimes(datetime.datetime(1980, 1, 1), datetime.datetime(2100, 1, 1)))
def test_a_time_is_the_same_in_every_unit(at: datetime.datetime) -> None:
    at = at.replace(microsecond=at.microsecond // 1000 * 1000, tzinfo=datetime.UTC)
    millis = round(at.timestamp() * 1000)
    expected = millis * 1_000_000
    zoned = at.astimezone(datetime.timezone(datetime.timedelta(hours=5, minutes=30)))
    for value in (at, at.isoformat(), zoned.isoformat(), millis, millis * 1000, str(expected), at.replace(tzinfo=None)):
        assert time_ns(value) == expected, value


def test_what_is_no_time_is_none() -> None:
    assert [time_ns(value) for value in (None, "", "soon", True, float("nan"), -1, {}, 10**40)] == [0] * 8
    assert uuid7_ns("01942e26-88ab-7331-8293-de75cc2b88a7") == 0x01942E2688AB * 1_000_000
    assert uuid7_ns("01942e26-88ab-4331-8293-de75cc2b88a7") == 0


def test_dotted_names_are_trees() -> None:
    flat = {"a.0.b": 1, "a.1.b.c": [{"d.e": 2}], "a.1.b.f": '{"g": 3}', "h": None, "i.j": 4, "i": 5}
    assert nested(flat) == {
        "a": [{"b": 1}, {"b": {"c": [{"d": {"e": 2}}], "f": '{"g": 3}'}}],
        "h": None,
        "i": {"j": 4},
    }


def test_lines_say_where_they_are_and_where_to_go_on(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"n": 1}\n\n{"n": NaN}\n{"n"\n{"n": 4}')
    found = list(lines_of(path))
    assert [(line.number, line.row) for line in found] == [(1, {"n": 1}), (3, {"n": None}), (4, None), (5, {"n": 4})]
    assert [line.row for line in lines_of(path, found[1].after)] == [None, {"n": 4}]
    assert list(lines_of(path, Place(5, found[-1].after.offset))) == []


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_files_that_are_not_what_their_name_says(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PAR1 no such thing")
    with pytest.raises(StoreError, match="cannot be read"):
        list(lines_of(tmp_path / name))


def test_folders_without_rows_say_so(tmp_path: Path) -> None:
    (tmp_path / "dataset_info.json").write_text("{}")
    with pytest.raises(RequestError, match="no file that can be imported"):
        files_in((tmp_path,))


ROWS: list[tuple[str, dict[str, Any]]] = [
    ("openai-chat", examples.OPENAI_CHAT[0]),
    ("openai-batch", examples.OPENAI_BATCH_INPUT[0]),
    ("anthropic-batch", examples.ANTHROPIC_BATCH_INPUT[0]),
    ("litellm", examples.LITELLM_SPEND_LOG),
    ("litellm", examples.LITELLM_PAYLOAD),
    ("tensorzero", examples.TENSORZERO_JSON),
    ("tensorzero", examples.TENSORZERO_CHAT),
    ("tensorzero", examples.TENSORZERO_FEEDBACK[0]),
    ("kiln", examples.KILN),
    ("langfuse", examples.LANGFUSE[1]),
    ("langfuse", examples.LANGFUSE[3]),
    ("openinference", examples.OPENINFERENCE_FRAME),
    ("openinference", examples.OPENINFERENCE_JSON),
    ("otel", otlp.span_document(otlp.GEN_AI | otlp.GEN_AI_MESSAGES)),
    *(("opentracy", row) for row in examples.OPENTRACY),
    *(("tracer", row) for row in examples.TRACER),
    *(("huggingface", row) for row in examples.HUGGINGFACE),
]


@settings(max_examples=80)
@given(st.data(), st.sampled_from(ROWS), JSON)
def test_a_field_of_any_form_rejects_its_row_at_most(data: st.DataObject, row: tuple[str, Any], value: Any) -> None:
    """Whatever one field holds: the row says something, or is rejected in a way that the importer knows."""
    name, given_row = row
    broken = given_row | {data.draw(st.sampled_from(sorted(given_row))): value}
    if FORMATS[name].role(broken) is None:
        return
    with suppress(RowError, *MISREAD):
        made(name, [broken])


@settings(max_examples=25)
@given(prompt=WORDS, answer=WORDS)
def test_datasets_that_we_export_come_back(prompt: str, answer: str) -> None:
    sample = Sample(
        trace_id="tr_00",
        at_ns=1,
        prompt=prompt,
        answer=answer,
        part="fit",
        terms="own",
        input_tokens=1,
        output_tokens=1,
        uniform=False,
    )
    for name, row in (("openai-chat", _openai(sample)), ("huggingface", _sharegpt(sample))):
        (trace,) = made(name, [json.loads(json.dumps(row))]).traces
        assert json.loads(trace.request)["messages"][-1] == {"role": "user", "content": prompt}
        assert read_answer(trace.response, stream=False).text == answer
        assert is_id(trace.trace_id)


@settings(max_examples=25)
@given(system=WORDS, prompt=WORDS, answer=WORDS, tokens=st.integers(1, 10**6))
def test_spans_that_we_send_come_back(system: str, prompt: str, answer: str, tokens: int) -> None:
    asked = {"messages": [{"role": "system", "content": system}, {"role": "user", "content": prompt}], "seed": 7}
    answered = examples.COMPLETION | {"usage": {"prompt_tokens": tokens, "completion_tokens": 3}}
    answered["choices"] = [{"index": 0, "message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}]
    first = maker("x").trace(Exchange(request=asked, response=answered, model="m", provider="openai"))
    told = read_answer(first.response, stream=False)
    attributes = genai.attributes(first, told, {"openai": "openai"}) | genai.content(first, told)
    (second,) = made("otel", [otlp.span_document(attributes)]).traces
    assert json.loads(second.request) == json.loads(first.request)
    again = read_answer(second.response, stream=False)
    assert (again.text, again.finish_reason, again.usage) == (told.text, told.finish_reason, told.usage)
    assert (second.model, second.answered_by) == ("m", "openai/gpt-4o-2024-08-06")


def test_rows_that_could_not_be_stored_are_rejected_or_bounded() -> None:
    row = {"messages": [{"role": "user", "content": "\ud800"}, {"role": "assistant", "content": "x"}]}
    with pytest.raises(RowError, match="JSON cannot say"):
        made("openai-chat", [row])
    with pytest.raises(RowError, match="no text of Unicode"):
        made("litellm", [examples.LITELLM_SPEND_LOG | {"end_user": "\ud800"}])
    with pytest.raises(RowError, match="no text of Unicode"):
        made("tracer", [examples.TRACER[0] | {"ground_truth": "\ud800"}])
    endless = examples.OPENTRACY[0] | {"latency_ms": 1e300, "timestamp": 10**19, "tokens_in": 10**30}
    (trace,) = made("opentracy", [endless]).traces
    assert (trace.duration_us, trace.at_ns) == (2**53, NOW)
    frame = trace_frame([trace], [Deriver({})(trace)])
    assert frame.get_column("tokens_source").item() == "estimated"
    failed = examples.LITELLM_SPEND_LOG | {"status": "failure", "error_information": {"error_code": 10**20}}
    assert made("litellm", [failed]).traces[0].status == 500


def test_an_exchange_too_long_for_the_journal_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "MAX_BODIES_BYTES", 200)
    with pytest.raises(RowError, match="is longer than"):
        made("openai-chat", examples.OPENAI_CHAT)
