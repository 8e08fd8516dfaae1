"""What is found in texts, and what is not. Values are published examples of their issuers or made with valid checks."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from pii_examples import FOUND, NOBODYS, texts_with_values

from freehold.curate.pii import KINDS, PERSONAL, SECRETS, find, find_many
from freehold.curate.pii.spans import Span, resolve


@pytest.mark.parametrize(("kind", "text", "value"), FOUND)
def test_a_value_is_found_under_its_kind(kind: str, text: str, value: str) -> None:
    assert [(span.kind, text[span.start : span.end]) for span in find(text)] == [(kind, value)]


def test_every_kind_that_is_promised_has_an_example_or_a_form() -> None:
    personal = {kind for kind, _, _ in FOUND}
    assert personal >= set(PERSONAL)
    assert len(personal & set(SECRETS)) >= 20


@pytest.mark.parametrize("text", NOBODYS)
def test_what_is_nobodys_is_left(text: str) -> None:
    assert [(span.kind, text[span.start : span.end]) for span in find(text)] == []


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("card", "card 4111 1111 1111 1112"),
        ("iban", "IBAN DE88 3704 0044 0532 0130 00"),
        ("es-dni", "DNI 12345678A"),
        ("it-codice-fiscale", "CF RSSMRA85T10A562T"),
        ("pl-pesel", "PESEL 44051401358"),
        ("nl-bsn", "BSN 111222334"),
        ("fr-nir", "NIR 1 85 05 78 006 084 92"),
        ("btc-address", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb"),
        ("btc-address", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdp"),
    ],
)
def test_a_wrong_check_digit_is_no_value(kind: str, text: str) -> None:
    assert kind not in {span.kind for span in find(text)}


def test_escapes_of_json_are_no_part_of_a_value() -> None:
    text = r'{"note": "ask\nanna@example.com\tor \"ben@example.com\""}'
    assert [text[span.start : span.end] for span in find(text)] == ["anna@example.com", "ben@example.com"]


def test_kinds_that_are_not_asked_for_hide_nothing_that_is() -> None:
    text = "postgres://ann:Tr0ub4dor@mail.example.com/db or ann@example.com"
    assert [span.kind for span in find(text)] == ["url-credentials", "email"]
    assert [span.kind for span in find(text, ["email"])] == ["email"]


@given(texts_with_values())
@settings(max_examples=15, deadline=None)
def test_texts_are_looked_at_alike_alone_and_in_batches(text: str) -> None:
    assert find(text) == find_many(["", text, "nothing"])[1]


@given(texts_with_values())
@settings(max_examples=15, deadline=None)
def test_findings_are_apart_in_order_and_known(text: str) -> None:
    spans = find(text)
    assert all(one.end <= other.start for one, other in pairwise(spans))
    assert all(0 <= span.start < span.end <= len(text) and span.kind in KINDS for span in spans)


def test_findings_that_overlap_are_one() -> None:
    short, long, other = Span(2, 6, "phone", 0.9), Span(0, 5, "card", 0.7), Span(6, 8, "ip", 0.5)
    assert resolve([short, other, long]) == [Span(0, 6, "card", 0.7), other]


@pytest.mark.parametrize("piece", ["1 ", "(0", "password=", "-----BEGIN PRIVATE KEY-----\n", "api_key: aB3", "::1"])
def test_time_grows_with_the_text_and_not_faster(piece: str) -> None:
    text = piece * (8_000 // len(piece))
    spent: list[float] = []
    for size in (len(text), len(text) // 4):
        started = time.process_time()
        find_many([text[:size]])
        spent.append(time.process_time() - started)
    assert spent[0] < 12 * max(spent[1], 0.02)
