"""Presidio's pattern recognisers as an engine: without a model, and without the network."""

from __future__ import annotations

import socket
from typing import Any

import pytest

pytest.importorskip("presidio_analyzer", reason='Presidio is not installed: pip install "freehold[pii]"')

from freehold.curate.pii import Engine, Redactor, find, make_engine
from freehold.domain.errors import ConfigError

TEXT = (
    "Mail anna@beispiel.de, IBAN DE89 3704 0044 0532 0130 00, codice fiscale RSSMRA85T10A562S, API key AIza"
    + "Sy1" * 11
    + "ab"
)


@pytest.fixture(scope="module")
def presidio() -> Engine:
    return make_engine("presidio")


def test_it_finds_under_our_names_without_the_network(presidio: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **named: Any) -> None:
        raise AssertionError("a name was looked up")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert [span.kind for span in presidio.find(TEXT)] == ["email", "iban", "it-codice-fiscale"]


def test_words_beside_a_number_make_it_surer(presidio: Engine) -> None:
    (alone,), (beside,) = presidio.find_many(["030 1234567", "telephone: 030 1234567"])
    assert alone.kind == beside.kind == "phone" and beside.confidence > alone.confidence


def test_both_find_what_either_finds(presidio: Engine) -> None:
    both = make_engine("both").find(TEXT)
    assert {span.kind for span in both} == {span.kind for span in (*find(TEXT), *presidio.find(TEXT))}
    assert "google-key" in {span.kind for span in both}


def test_only_some_kinds(presidio: Engine) -> None:
    assert [span.kind for span in make_engine("presidio", ["iban"]).find(TEXT)] == ["iban"]


def test_what_it_finds_is_redacted_once() -> None:
    redactor = Redactor(bytes(32), engine=make_engine("both"))
    once = redactor.redact(TEXT + " tel. 0171 2345678 AU ACN 612 345 678")
    assert once.counts and redactor.redact(once.text).counts == {}


def test_a_model_that_is_not_installed_is_named() -> None:
    with pytest.raises(ConfigError, match=r"'xx_none_sm' is not installed.*spacy download"):
        make_engine("presidio", model="xx_none_sm")
