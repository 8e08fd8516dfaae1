"""Unit conversions in words: what a small student cannot learn, and what a certificate must refuse.

The quantities are open, and so are the sums; the sentences are few. A student that has the form of the answer has
learned nothing yet.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from freehold.demo.phrases import Composed, Part, phrasing, say
from freehold.demo.values import belongs

UNITS = {
    ("feet", "centimetres"): 30.48,
    ("miles", "kilometres"): 1.609,
    ("pounds", "grams"): 453.6,
    ("gallons", "litres"): 3.785,
    ("ounces", "grams"): 28.35,
    ("hours", "minutes"): 60.0,
    ("dozens", "pieces"): 12.0,
    ("weeks", "days"): 7.0,
}
"""From, to: how many of the second one of the first is."""


class Story(NamedTuple):
    """Sentences of one kind of sum: `{a}`, `{b}` are quantities, `{from}`, `{to}` the units."""

    bodies: tuple[str, ...]
    times: bool
    """a · b of them, in place of a + b."""


STORIES = (
    Story(
        (
            "how many {to} are {a} {from}?",
            "convert {a} {from} to {to}",
            "I have {a} {from}; what is that in {to}?",
            "what are {a} {from} in {to}?",
        ),
        times=False,
    ),
    Story(
        (
            "one [crate|box] takes {a} {from} and another {b} {from}. how many {to} do they take together?",
            "on Monday it was {a} {from}, on Tuesday {b} {from}. what is the sum in {to}?",
            "add {b} {from} to {a} {from} and give it in {to}",
            "one takes {a} {from}, another {b} {from}. what do they take together in {to}?",
        ),
        times=False,
    ),
    Story(
        (
            "{b} [crates|boxes] of {a} {from} each, how many {to} is that?",
            "every [crate|box] has {a} {from}. what do {b} of them have, in {to}?",
            "a [crate|box] has {a} {from}; give {b} of them in {to}",
            "{b} of them have {a} {from} each. how many {to} is that together?",
        ),
        times=True,
    ),
)


def compose_conversion(rng: Random, part: Part = "all") -> Composed:
    """A sum in words, and the number with two decimals."""
    source, target = rng.choice(list(UNITS))
    at = rng.randrange(len(STORIES))
    story = STORIES[at]
    a = _quantity(rng, part)
    b = rng.randint(2, 19) if story.times else _quantity(rng, part)
    whole = a * b if story.times else a + b if at else a
    slots = {"a": [f"{a:g}"], "b": [f"{b:g}"], "from": [source], "to": [target]}
    text = say(phrasing(story.bodies, rng, part), rng, slots)
    return Composed(text[:1].upper() + text[1:], f"{whole * UNITS[source, target]:.2f}")


def _quantity(rng: Random, part: Part) -> float:
    while True:
        quantity = rng.randint(11, 999) / rng.choice((1, 10))
        if belongs(f"{quantity:g}", part):
            return quantity
