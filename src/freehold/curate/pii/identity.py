"""National numbers, and dates of birth. A number with a weak check digit, or none, needs a word beside it."""

from __future__ import annotations

import re
from collections.abc import Callable

from freehold.curate.pii import checks
from freehold.curate.pii.cues import BIRTH, cue, follows, said, says_other
from freehold.curate.pii.rules import Rule, rule

_END = r"(?![\w-])"


def _number(kind: str, pattern: str, holds: Callable[[str], bool], alone: float, *words: str) -> Rule:
    """A number that `holds` its own rules (asked of its letters and digits, in capitals).

    `alone`: how sure it is without a word beside it; where the words before it name another number, it needs one.
    """
    before, after = cue(*words), re.compile(rf"(?i)(?<![^\W\d_])(?:{'|'.join(words)})")

    def sure(match: re.Match[str]) -> float:
        if not holds("".join(character for character in match.group("v").upper() if character.isalnum())):
            return 0.0
        start, end = match.span("v")
        if said(before, match.string, start) or follows(after, match.string, end):
            return 0.95
        return 0.0 if says_other(match.string, start) else alone

    return rule(kind, rf"(?<![\w+.-])(?P<v>{pattern}){_END}", sure, re.ASCII)


def _ssn(number: str) -> bool:
    """Area not 000, 666 or 900 and above; group and serial not zero (US Social Security Administration)."""
    area, group, serial = number[:3], number[3:5], number[5:]
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def _nie(number: str) -> bool:
    return checks.spanish_letter(f"{'XYZ'.index(number[0])}{number[1:8]}", number[8])


_BELGIAN = (r"rijksregister\w*", r"registre national", r"niss", r"insz")

NUMBERS = (
    _number("us-ssn", r"\d{3}-\d\d-\d{4}", _ssn, 0.85, r"ssn", r"social security"),
    _number("us-ssn", r"\d{3} ?\d\d ?\d{4}", _ssn, 0.0, r"ssn", r"social[ _]security(?:[ _]number)?"),
    _number(
        "uk-nino",
        r"(?i:[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]) ?\d\d ?\d\d ?\d\d ?[A-Da-d]",
        lambda number: number[:2] not in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ"),
        0.6,
        r"national insurance",
        r"\bni(?:no)?\b",
    ),
    _number("uk-nhs", r"\d{3}[ -]?\d{3}[ -]?\d{4}", checks.british_nhs, 0.0, r"nhs", r"health service"),
    _number(
        "de-tax-id",
        r"[1-9]\d[ /]?\d{3}[ /]?\d{3}[ /]?\d{3}",
        checks.german_tax_id,
        0.6,
        r"steuer\w*",
        r"idnr",
        r"tin",
        r"tax[ -_]?id\w*",
    ),
    _number(
        "fr-nir",
        r"[1-478][ .]?\d\d[ .]?(?:[0-3]\d|[4-9]\d)[ .]?(?:\d\d|2[ABab])[ .]?\d{3}[ .]?\d{3}[ .]?\d\d",
        checks.french_nir,
        0.8,
        r"nir",
        r"s[ée]cu(?:rit[ée] sociale)?",
        r"insee",
    ),
    _number(
        "es-dni",
        r"(?:\d{8}|\d\d\.\d{3}\.\d{3})[ -]?[A-Za-z]",
        lambda number: checks.spanish_letter(number[:8], number[8]),
        0.8,
        r"dni",
        r"nif",
        r"documento",
    ),
    _number("es-nie", r"[XYZxyz][ -]?\d{7}[ -]?[A-Za-z]", _nie, 0.9, r"nie", r"extranjero"),
    _number(
        "it-codice-fiscale",
        r"(?i:[A-Z]{6}[\dL-NP-V]{2}[A-EHLMPRST][\dL-NP-V]{2}[A-Z][\dL-NP-V]{3}[A-Z])",
        checks.codice_fiscale,
        1.0,
        r"codice fiscale",
        r"c\.?f\.?",
    ),
    _number(
        "nl-bsn",
        r"\d{9}|\d{4}[. ]\d\d[. ]\d{3}|\d{3}[. ]\d{3}[. ]\d{3}",
        checks.dutch_bsn,
        0.0,
        r"bsn",
        r"burgerservice\w*",
        r"sofi\w*",
    ),
    _number("pl-pesel", r"\d{11}", checks.polish_pesel, 0.65, r"pesel"),
    _number("be-nrn", r"\d\d\.\d\d\.\d\d-\d{3}\.\d\d", checks.belgian_number, 0.9, *_BELGIAN),
    _number("be-nrn", r"\d{11}", checks.belgian_number, 0.0, *_BELGIAN),
    _number("ch-ahv", r"756\.?\d{4}\.?\d{4}\.?\d\d", checks.swiss_ahv, 0.9, r"ahv\w*", r"avs", r"oasi"),
    _number("br-cpf", r"\d{3}\.\d{3}\.\d{3}-\d\d", checks.brazilian_cpf, 0.9, r"cpf"),
    _number("br-cpf", r"\d{11}", checks.brazilian_cpf, 0.0, r"cpf"),
)  # fmt: skip

_MONTHS = (
    r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|"
    r"mär|mai|okt|dez|janv|févr?|mars|avr|juin|juil|août|déc|ene|abr|ago|dic|gen|mag|giu|lug|set|ott|maart|mei)"
    r"[^\W\d_]{0,8}\.?"
)
_DATE = (
    r"(?:(?:19|20)\d\d[-/.](?:0?[1-9]|1[0-2])[-/.](?:3[01]|[12]\d|0?[1-9])|"
    r"(?:3[01]|[12]\d|0?[1-9])[-/.](?:3[01]|[12]\d|0?[1-9])[-/.](?:19|20)?\d\d|"
    rf"(?:3[01]|[12]\d|0?[1-9])(?:st|nd|rd|th|er|\.|º)? (?:of |de |di )?{_MONTHS} (?:de |del )?(?:19|20)\d\d|"
    rf"{_MONTHS} (?:3[01]|[12]\d|0?[1-9])(?:st|nd|rd|th)?,? (?:19|20)\d\d)"
)
BIRTHS = rule("date-of-birth", rf"(?i)(?<![^\W_])(?:{BIRTH})[^\w\n]{{0,6}}(?P<v>{_DATE})(?!\w)", 0.9)
BIRTH_TRIGGER = r"(?i:birth|\bdob\b|born|gebor|geburt|\bgeb\.|\bnée?\b|naiss|nacid|nacim|nasc|\bnat[oa]\b|geboor|urodz)"
