"""Verdicts on training: the table's own answers, counsel, and unknown terms."""

from __future__ import annotations

import datetime

import pytest
from counsel_fixtures import decided

from freehold.domain.rights import Organisation
from freehold.rights import TrainingJudge, judge_training, terms_of_url

TODAY = datetime.date(2026, 11, 21)


def test_unknown_terms_are_denied_and_say_what_to_do() -> None:
    verdict = judge_training("train_classifier", "someone-else", (), TODAY)
    assert verdict.outcome == "deny" and not verdict.permits
    assert "own" in verdict.reason


def test_not_verified_terms_are_denied() -> None:
    assert judge_training("train_classifier", "cohere", (), TODAY).outcome == "deny"


def test_purpose_decides() -> None:
    classifier = judge_training("train_classifier", "openai-api", (), TODAY)
    generative = judge_training("distil", "openai-api", (), TODAY)
    assert classifier.outcome == "duties" and classifier.permits and classifier.duties
    assert generative.outcome == "needs-counsel" and not generative.permits


@pytest.mark.parametrize(
    ("until", "allow", "outcome"),
    [
        ("2027-01-01", True, "allow"),
        ("2027-01-01", False, "deny"),
        ("2026-01-01", True, "needs-counsel"),
    ],
)
def test_counsel_settles_until_it_expires(until: str, allow: bool, outcome: str) -> None:
    decision = decided("google-gemini-api", "train_classifier", until, allow=allow)
    assert judge_training("train_classifier", "google-gemini-api", (decision,), TODAY).outcome == outcome


def test_counsel_cannot_overrule_a_clear_ban() -> None:
    decision = decided("xai", "train_classifier")
    assert judge_training("train_classifier", "xai", (decision,), TODAY).outcome == "deny"


def test_terms_are_known_by_exact_host_only() -> None:
    assert terms_of_url("https://api.openai.com/v1") == "openai-api"
    assert terms_of_url("https://api.openai.com.evil.example/v1") == "unknown"
    assert terms_of_url("http://127.0.0.1:8000/v1") == "unknown"


def test_the_facts_of_the_organisation_count_in_every_judgement() -> None:
    giving = TrainingJudge("train_classifier", (), TODAY, Organisation(distributes_weights=True))
    assert giving.verdict("openai-api").outcome == "needs-counsel"
    assert TrainingJudge("train_classifier", (), TODAY).verdict("openai-api").outcome == "duties"
    assert list(giving.given) == ["openai-api"]
