"""Open values of the demo's messages: invented names, dates and amounts, to be copied and not learned by heart."""

from __future__ import annotations

from datetime import date, timedelta
from random import Random
from typing import NamedTuple
from zlib import crc32

from freehold.demo.phrases import Part, common

YEAR = 2026
_ONSETS = (
    "b",
    "br",
    "d",
    "dr",
    "f",
    "g",
    "gr",
    "h",
    "k",
    "kl",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "st",
    "t",
    "tr",
    "v",
    "w",
)
_VOWELS = ("a", "e", "i", "o", "u", "ai", "ea", "ou")
_CODAS = ("", "", "l", "m", "n", "nd", "r", "rk", "s", "st", "x")
_FIRST_DAY, _DAYS = date(YEAR, 1, 1), 270
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
MONTHS = _MONTHS[: (_FIRST_DAY + timedelta(_DAYS - 1)).month]
"""The months of the desk's year that messages speak of."""


class Said(NamedTuple):
    """A value in the form an answer must have, and as somebody writes it."""

    value: str
    said: str


def belongs(value: str, part: Part) -> bool:
    """Whether a value may be used: a quarter of all values are kept for messages that are to be unseen."""
    return part == "all" or (crc32(value.encode()) % 4 == 3) == (part == "unseen")


def made_up_word(rng: Random, syllables: int) -> str:
    """A word that means nothing, with a capital."""
    parts = [rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(syllables)]
    return "".join(parts).capitalize()


def made_up_name(rng: Random, part: Part = "all") -> str:
    """A first name and a surname that nobody has."""
    while True:
        first = rng.choice(common().slots["name"]) if rng.random() < 0.5 else made_up_word(rng, 2)
        name = f"{first} {made_up_word(rng, rng.choice((2, 2, 3)))}"
        if belongs(name, part):
            return name


def some_date(rng: Random, part: Part = "all") -> Said:
    """A day of the desk's year as ISO 8601, and as people write it, with or without the year."""
    while True:
        day = _FIRST_DAY + timedelta(rng.randrange(_DAYS))
        if belongs(day.isoformat(), part):
            break
    month = _MONTHS[day.month - 1]
    forms = (
        f"{day.day} {month}",
        f"{month} {day.day}",
        f"{day.day} {month} {day.year}",
        f"{day:%d.%m.%Y}",
        f"{day:%d/%m/%Y}",
        day.isoformat(),
    )
    return Said(day.isoformat(), rng.choice(forms))


def some_amount(rng: Random, part: Part = "all") -> Said:
    """A price as a number with two decimals, and as people write it."""
    while True:
        whole, cents = rng.randint(5, 399), rng.choice((0, 50, 90, 95, rng.randrange(100)))
        value = f"{whole}.{cents:02}"
        if belongs(value, part):
            break
    plain = str(whole) if cents == 0 and rng.random() < 0.7 else value
    forms = (f"{plain} euros", f"€{plain}", f"{plain} EUR", f"{plain.replace('.', ',')} EUR", f"EUR {plain}")
    return Said(value, rng.choice(forms))
