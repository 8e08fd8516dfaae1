"""A prompt's features: what they tell apart, and that no prompt is too long or too strange."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.signals.text import BUCKETS, HEAD, STRUCTURE, TAIL, hash_text


@given(st.text(max_size=300))
def test_any_text_has_features(text: str) -> None:
    found = hash_text(text)
    assert found.structure.shape == (STRUCTURE,) and np.isfinite(found.structure).all()
    assert (np.diff(found.buckets) > 0).all() and (found.buckets < BUCKETS).all()
    assert len(found.buckets) == len(found.counts) and (found.counts >= 1.0).all()


def test_lone_surrogates_and_nothing_at_all() -> None:
    assert len(hash_text("").buckets) == 0
    assert np.isfinite(hash_text("\ud800 \x00").structure).all()


def test_long_prompts_are_read_at_both_ends() -> None:
    head, tail = "alpha " * (HEAD // 6 + 1), " omega" * (TAIL // 6 + 1)
    one, other = hash_text(head + "x " * 50_000 + tail), hash_text(head + "y " * 50_000 + tail)
    assert one.buckets.tolist() == other.buckets.tolist()
    assert one.buckets.tolist() != hash_text(head + "x " * 50_000 + "end " * TAIL).buckets.tolist()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("12 + 30 = ?", "what is the sum"),
        ("def f(x):\n    return {x}", "tell me about x"),
        ("Привет, мир", "Hello, world"),
    ],
)
def test_structure_tells_kinds_of_text_apart(one: str, other: str) -> None:
    assert np.abs(hash_text(one).structure[:-3] - hash_text(other).structure[:-3]).max() > 0.1


def test_word_order_counts_through_pairs() -> None:
    assert hash_text("dog bites man").buckets.tolist() != hash_text("man bites dog").buckets.tolist()
