"""Presidio's recognisers as an engine: `pip install freehold[pii]`.

All of Presidio's pattern recognisers look at every text, whatever its language, with the words that they know beside
their numbers; no language model is needed for that. Names and places need one: a spaCy pipeline with named entities,
which you install and name, such as `en_core_web_sm` (`python -m spacy download en_core_web_sm`).

Its entities carry the names of `freehold.curate.pii.kinds` where there is one, else `presidio-` and their own. Web
addresses, dates and UUIDs are left: they are nobody's by themselves.

Presidio would fetch the list of public suffixes from the network the first time it meets an e-mail address; here it
takes the copy that tldextract was installed with.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from importlib import import_module
from typing import Any, cast

from freehold.curate.pii.pseudonyms import blank_pseudonyms
from freehold.curate.pii.spans import Span, resolve
from freehold.domain.errors import ConfigError

LEAST_SCORE = 0.4
"""What Presidio gives a telephone number with no word beside it; its guesses by form alone score less."""
_LANGUAGE = "en"
"""Presidio picks recognisers by language; here all are registered under one."""
_REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "NL", "PL", "AT", "CH", "BE", "PT")
_LEFT = frozenset(("URL", "DATE_TIME", "UUID"))
OUR_NAMES = {
    "EMAIL_ADDRESS": "email",
    "PHONE_NUMBER": "phone",
    "IBAN_CODE": "iban",
    "CREDIT_CARD": "card",
    "IP_ADDRESS": "ip",
    "MAC_ADDRESS": "mac",
    "CRYPTO": "btc-address",
    "US_SSN": "us-ssn",
    "UK_NINO": "uk-nino",
    "UK_NHS": "uk-nhs",
    "DE_TAX_ID": "de-tax-id",
    "ES_NIF": "es-dni",
    "ES_NIE": "es-nie",
    "IT_FISCAL_CODE": "it-codice-fiscale",
    "PL_PESEL": "pl-pesel",
}
"""Presidio's entities that are kinds of ours."""
_NAMED = {"PERSON": "presidio-person", "PER": "presidio-person", "GPE": "presidio-place", "LOC": "presidio-place"}


class Presidio:
    """Presidio's pattern recognisers, and a spaCy pipeline for names and places if one is named.

    Args:
        model: an installed spaCy pipeline; empty: names and places are not looked for.
        least_score: findings with a lower score are left.

    Raises:
        ConfigError: Presidio, or the model, is not installed.
    """

    def __init__(self, model: str = "", least_score: float = LEAST_SCORE) -> None:
        try:
            analyzer, engines, spacy = (
                import_module(name) for name in ("presidio_analyzer", "presidio_analyzer.nlp_engine", "spacy")
            )
        except ImportError as error:
            raise ConfigError(
                f"Presidio is not installed: {error}.", 'Install it (`pip install "freehold[pii]"`), or use builtin.'
            ) from None
        self._nlp = _pipeline(spacy, model)
        self._artifacts = engines.NlpArtifacts
        self._engine = engines.SpacyNlpEngine()
        self._engine.nlp = {_LANGUAGE: self._nlp}
        registry = analyzer.RecognizerRegistry(recognizers=_recognisers(analyzer), supported_languages=[_LANGUAGE])
        self._analyzer = analyzer.AnalyzerEngine(
            registry=registry, nlp_engine=self._engine, supported_languages=[_LANGUAGE]
        )
        entities: set[str] = {name for one in registry.recognizers for name in one.supported_entities}
        self._entities = sorted(entities - _LEFT)
        self._least = least_score

    def find(self, text: str) -> list[Span]:
        """What one text holds."""
        return resolve(self.find_all(text))

    def find_all(self, text: str) -> list[Span]:
        """As `find`, with all that Presidio says of one place: several recognisers may know it under several names."""
        view = blank_pseudonyms(text)
        document = self._nlp(view)
        read = self._artifacts(
            entities=[],
            tokens=document,
            tokens_indices=[token.idx for token in document],
            lemmas=[token.lower_ for token in document],
            nlp_engine=self._engine,
            language=_LANGUAGE,
            scores=[],
        )
        results = self._analyzer.analyze(
            view, _LANGUAGE, entities=self._entities, score_threshold=self._least, nlp_artifacts=read
        )
        spans = [Span(one.start, one.end, _kind(one.entity_type), float(one.score)) for one in results]
        named = [one for one in document.ents if one.label_ in _NAMED]
        spans += [Span(one.start_char, one.end_char, _NAMED[one.label_], 0.85) for one in named]
        return [span for span in spans if "\ufffc" not in view[span.start : span.end]]

    def find_many(self, texts: Sequence[str]) -> list[list[Span]]:
        """What each text holds."""
        return [self.find(text) for text in texts]


def _kind(entity: str) -> str:
    return OUR_NAMES.get(entity) or f"presidio-{entity.lower().replace('_', '-')}"


def _pipeline(spacy: Any, model: str) -> Any:
    """The named pipeline, or one that only parts a text into words."""
    if not model:
        return spacy.blank("xx")
    try:
        return spacy.load(model)
    except OSError:
        raise ConfigError(
            f"The spaCy pipeline {model!r} is not installed.",
            f"Install it (`python -m spacy download {model}`), or leave out `model`: then no names are looked for.",
        ) from None


def _recognisers(analyzer: Any) -> list[Any]:
    """One of each of Presidio's pattern recognisers, and its telephone numbers for more regions than by default."""
    known: Any = import_module("presidio_analyzer.predefined_recognizers")
    members = cast("dict[str, Any]", vars(known))
    classes: list[Any] = [members[name] for name in sorted(members) if inspect.isclass(members[name])]
    patterns: list[Any] = [one for one in classes if issubclass(one, analyzer.PatternRecognizer)]
    phones = known.PhoneRecognizer(supported_language=_LANGUAGE, supported_regions=_REGIONS)
    emails = known.EmailRecognizer(supported_language=_LANGUAGE)
    suffixes = import_module("tldextract").TLDExtract(suffix_list_urls=())

    def has_domain(address: str) -> bool:
        return suffixes(address).fqdn != ""

    emails.validate_result = has_domain
    others = [one for one in patterns if one not in (known.EmailRecognizer, known.UrlRecognizer)]
    return [*(one(supported_language=_LANGUAGE) for one in others), emails, phones]
