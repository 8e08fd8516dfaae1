"""Telephone numbers: international ones (ITU-T E.164), and national ones by the forms in which they are written.

Numbers without + or 00 are told by their grouping (North America, Germany and others with a trunk 0, Spain, Italy), or
by a word before them. A run of digits with neither is nobody's number as far as this module can tell.
"""

from __future__ import annotations

import re

from freehold.curate.pii.cues import PHONE, said, says_other
from freehold.curate.pii.rules import Rule, digits_of
from freehold.curate.pii.spans import Span

_GAP = r"[ .\-/()\u00a0\u202f\u2011\u2013]{0,3}"
_START = r"(?<![\w+.,#])(?<!\d-)"
_ASSIGNED = (
    "1 7 20 27 30-34 36 39-41 43-49 51-58 60-66 81 82 84 86 90-95 98 211-213 216 218 220-258 260-269 290 291 297-299 "
    "350-359 370-383 385-387 389 420 421 423 500-509 590-599 670 672-683 685-692 800 808 850 852 853 855 856 870 878 "
    "880-883 886 888 960-968 970-977 979 992-996 998"
)
"""Country codes (E.164) that are assigned: 999, among others, is not."""
_LENGTHS = {
    "1": (10, 10), "7": (10, 10), "31": (9, 9), "32": (8, 9), "33": (9, 9), "34": (9, 9), "36": (8, 9), "39": (6, 11),
    "41": (9, 9), "44": (9, 10), "45": (8, 8), "47": (8, 8), "48": (9, 9), "49": (6, 11), "55": (10, 11), "61": (9, 9),
    "91": (10, 10), "351": (9, 9), "420": (9, 9),
}  # fmt: skip
"""Country code → fewest and most digits after it; others have 5 to 12."""
_DATE = re.compile(
    r"(?:3[01]|[12]\d|0?[1-9])([./-])(?:3[01]|[12]\d|0?[1-9])\1(?:19|20)?\d\d(?!\d|\1\d)|\d{4}-\d\d-\d\d(?!\d)"
)
_MONEY_BEFORE = re.compile(r"(?:[$€£¥]|EUR|USD|GBP|PLN|CHF)\s?\Z")
_MONEY_AFTER = re.compile(r"\s?(?:[$€£¥%]|EUR|USD|GBP|PLN|CHF|euros?|zł)|[.,]\d")
_NUMBER_BEFORE = re.compile(r"\d[ \t]{1,2}\Z")
_NUMBER_AFTER = re.compile(r"[ \t]{1,2}\d|\s?[=*^]")
"""What stands beside a number that is one of a list, or part of a sum."""
_GROUPS = re.compile(r"\d+", re.ASCII)


def _codes() -> frozenset[str]:
    found: set[str] = set()
    for part in _ASSIGNED.split():
        first, _, last = part.partition("-")
        found.update(str(code) for code in range(int(first), int(last or first) + 1))
    return frozenset(found)


_CODES = _codes()


def country_code(digits: str) -> str:
    """The country code that international digits begin with; empty if it is not assigned."""
    return next((digits[:length] for length in (1, 2, 3) if digits[:length] in _CODES), "")


def _international(match: re.Match[str]) -> Span | None:
    """From + or 00 as many groups of digits as a number of that country has."""
    start = match.start("number")
    digits = digits_of(match.group("number"))
    code = country_code(digits)
    if not code:
        return None
    fewest, most = _LENGTHS.get(code, (5, 12))
    trunk = match.group("number").find("(0)")
    most += len(code) + (trunk >= 0)
    fewest += len(code) + (trunk >= 0)
    count, end = 0, start
    for group in _GROUPS.finditer(match.string, start, match.end()):
        if count + len(group.group()) > most:
            break
        count, end = count + len(group.group()), group.end()
    if count < fewest or (end < len(match.string) and match.string[end].isdigit()):
        return None
    if match.group("plus") == "+":
        return Span(match.start(), end, "phone", 0.95)
    if match.string[start:end].isdigit() and code not in _LENGTHS and not said(PHONE, match.string, match.start()):
        return None
    return None if says_other(match.string, match.start()) else Span(match.start(), end, "phone", 0.8)


def _national(match: re.Match[str]) -> Span | None:
    text, (start, end) = match.string, match.span()
    if len(set(digits_of(match.group()))) < 3:  # as in 0101001010
        return None
    if _DATE.match(text, start) or _MONEY_BEFORE.search(text[max(0, start - 4) : start]):
        return None
    if _MONEY_AFTER.match(text, end) or says_other(text, start):
        return None
    if said(PHONE, text, start):
        return Span(start, end, "phone", 0.9)
    return (
        None
        if _NUMBER_BEFORE.search(text[max(0, start - 3) : start]) or _NUMBER_AFTER.match(text, end)
        else Span(start, end, "phone", 0.6)
    )


def _trunk(match: re.Match[str]) -> Span | None:
    """From a trunk 0: nine to twelve digits in all."""
    return _national(match) if 9 <= len(digits_of(match.group())) <= 12 else None


def _after_cue(match: re.Match[str]) -> Span | None:
    text, start = match.string, match.start()
    if len(_GROUPS.findall(match.group())) > 6:  # single digits, as in a matrix
        return None
    if not 7 <= len(digits_of(match.group())) <= 15 or _DATE.match(text, start) or not said(PHONE, text, start):
        return None
    return Span(start, match.end(), "phone", 0.85)


RULES = tuple(
    Rule(re.compile(pattern, re.ASCII), look)
    for pattern, look in (
        (rf"(?<![\w+.,/)^])(?<!\d-)\(?(?P<plus>\+|00)\(?(?P<number>[1-9](?:{_GAP}\d){{6,15}})", _international),
        (_START + r"(?:1[ .-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d[ .-])[2-9]\d\d[ .-]\d{4}(?![\w-])", _national),
        (_START + r"\(?0[1-9]\d{0,4}\)?(?:[ \-/.\u00a0\u202f\u2011\u2013]{1,3}\d{2,8}){1,5}(?![\w-])", _trunk),
        (_START + r"0[1-9]\d{8,9}(?![\w-])", _national),
        (_START + r"[679]\d\d([ .-])(?:\d{3}\1\d{3}|\d\d\1\d\d\1\d\d)(?![\w-])", _national),
        (_START + r"3\d\d[ .\-/](?:\d{6,7}|\d{3} \d{4})(?![\w-])", _national),
        (_START + rf"\(?\d(?:{_GAP}\d){{6,14}}(?!\w)", _after_cue),
    )
)
