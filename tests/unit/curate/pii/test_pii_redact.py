"""What redaction promises, whatever the text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pii_examples import FOUND, texts_with_values

from freehold.curate.pii import Redactor, find
from freehold.curate.pii.pseudonyms import Pseudonyms, mask

SECRET = bytes(range(32))
REDACTOR = Redactor(SECRET)
MODES = [REDACTOR, Redactor(SECRET, "mask")]


@pytest.mark.parametrize("redactor", MODES, ids=["pseudonym", "mask"])
@given(text=texts_with_values())
@settings(max_examples=15, deadline=None)
def test_nothing_that_is_found_survives_and_twice_is_once(redactor: Redactor, text: str) -> None:
    once = redactor.redact(text)
    assert (once.text != text) == bool(once.counts)
    assert redactor.redact(once.text).counts == {}
    assert redactor.redact(once.text).text == once.text


@given(texts_with_values())
@settings(max_examples=15, deadline=None)
def test_text_beside_findings_stays_as_it_was(text: str) -> None:
    expected, at = "", 0
    for span in find(text):
        expected += text[at : span.start] + mask(span.kind)
        at = span.end
    expected += text[at:]
    done = Redactor(SECRET, "mask").redact(text).text
    assert done == expected or find(expected)  # what stood beside a value may be one itself, once that has gone


def values_of(document: Any) -> list[Any]:
    if isinstance(document, dict):
        return [one for key, value in document.items() for one in (key, *values_of(value))]
    if isinstance(document, list):
        return [one for value in document for one in values_of(value)]
    return [document]


SCALARS = st.one_of(texts_with_values(), st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False, width=32))
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["phone", "note", "a b", "é"]), inner),
    max_leaves=6,
).filter(lambda document: isinstance(document, dict | list))


@given(DOCUMENTS, st.booleans(), st.sampled_from([None, 2]))
@settings(max_examples=15, deadline=None)
def test_json_stays_json(document: Any, ascii_only: bool, indent: int | None) -> None:
    written = json.dumps(document, ensure_ascii=ascii_only, indent=indent)
    done = REDACTOR.redact(written)
    read = json.loads(done.text)
    before, after = values_of(document), values_of(read)
    assert len(before) == len(after)
    for old, new in zip(before, after, strict=True):
        if not done.counts:
            assert new == old
        if isinstance(new, str):
            assert new == old or not REDACTOR.redact(new).counts
    assert REDACTOR.redact(done.text).text == done.text


def test_json_keeps_every_byte_beside_findings() -> None:
    text = '{ "mail" : "zo\\u00eb: a@example.com",\n\t"n": 1.50, "phone": 1712345678, "card": 4111111111111111 }'
    done = REDACTOR.redact(text)
    mail, phone, card = (
        Pseudonyms(SECRET).of(*pair)
        for pair in (("email", "a@example.com"), ("phone", "1712345678"), ("card", "4111111111111111"))
    )
    assert done.text == f'{{ "mail" : "zo\\u00eb: {mail}",\n\t"n": 1.50, "phone": "{phone}", "card": {card} }}'
    assert done.counts == {"email": 1, "phone": 1, "card": 1}


def test_json_within_json_is_redacted_as_what_it_means() -> None:
    inner = json.dumps({"to": "a@example.com", "text": "line\nb@example.com"})
    done = REDACTOR.redact(json.dumps({"arguments": inner}))
    read = json.loads(json.loads(done.text)["arguments"])
    assert read["to"] == Pseudonyms(SECRET).of("email", "a@example.com")
    assert read["text"] == "line\n" + Pseudonyms(SECRET).of("email", "b@example.com")


def test_one_value_has_one_pseudonym_however_it_is_written() -> None:
    pseudonyms = Pseudonyms(SECRET)
    assert pseudonyms.of("email", "Ann@Example.com") == pseudonyms.of("email", "ann@example.COM")
    assert pseudonyms.of("phone", "+49 171 2345678") == pseudonyms.of("phone", "0171/2345678")
    assert pseudonyms.of("iban", "DE89 3704 0044 0532 0130 00") == pseudonyms.of("iban", "de89370400440532013000")
    assert pseudonyms.of("card", "4111-1111-1111-1111") == pseudonyms.of("card", "4111111111111111")
    assert pseudonyms.of("aws-key", "AKIAIOSFODNN7EXAMPLE") != pseudonyms.of("aws-key", "akiaiosfodnn7example")


def test_pseudonyms_depend_on_the_secret_and_do_not_show_it() -> None:
    other = Pseudonyms(bytes(32))
    assert other.of("email", "a@example.com") != Pseudonyms(SECRET).of("email", "a@example.com")
    assert SECRET.hex() not in repr(other) + repr(REDACTOR) and "x00" not in repr(other)
    with pytest.raises(ValueError, match="16 bytes"):
        Pseudonyms(b"short")


@pytest.mark.parametrize(("kind", "text", "value"), FOUND)
def test_no_part_of_a_value_is_left(kind: str, text: str, value: str) -> None:
    done = REDACTOR.redact(text)
    assert done.counts == {kind: 1}
    assert value not in done.text
    assert find(done.text) == []
