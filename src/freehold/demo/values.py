"""Open values of the demo's messages: invented names, dates and amounts, to be copied and not learned by heart."""

from __future__ import annotations

from datetime import date, timedelta
from random import Random
from typing import NamedTuple
from zlib import crc32

from freehold.demo.phrases import Part, common

YEAR = 2026
_BEGINNINGS = (
    *("Vel", "Har", "Bram", "Thorn", "Kest", "Pell", "Mar", "Lind", "Ash", "Brook", "Stan", "Wind", "Hol", "Gren"),
    *("Fair", "Kirk", "Ren", "Wal", "Sten", "Tor", "Dun", "El", "Ros", "Nor", "Cal", "Ber", "Hed", "Mil", "Sor", "Tal"),
)
_ENDINGS = (
    *("ding", "well", "ford", "berg", "mann", "sen", "ton", "wick", "ley", "dale", "stad", "horst", "by", "croft"),
    *("haven", "gate", "more", "field", "beck", "low", "ling", "strom", "lund", "rup", "vik", "hurst", "ham", "den"),
)
_MAKES = ("o", "ix", "ara", "ent", "ova", "ia", "us", "on", "eta", "ic", "or", "ano")
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


def made_up_make(rng: Random) -> str:
    """The make of a product: made of parts, as names are."""
    return rng.choice(_BEGINNINGS) + rng.choice(_MAKES)


def made_up_name(rng: Random, part: Part = "all") -> str:
    """A first name and a surname; surnames are made of parts that come again and again, as those of people are."""
    while True:
        surname = rng.choice(_BEGINNINGS) + rng.choice(_ENDINGS)
        if belongs(surname, part):
            return f"{rng.choice(common().slots['name'])} {surname}"


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
