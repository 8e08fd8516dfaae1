"""Bank accounts, payment cards and coins: each has a checksum, which is asked."""

from __future__ import annotations

import re

from freehold.curate.pii import checks
from freehold.curate.pii.cues import CARD, said, says_other
from freehold.curate.pii.rules import Rule, digits_of, rule
from freehold.curate.pii.spans import Span

_IBAN_LENGTHS = {
    name: int(length)
    for name, length in re.findall(
        r"([A-Z]{2})(\d\d)",
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 "
        "ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 "
        "LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 "
        "QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30",
    )
}
"""Country → characters of its IBANs (the registry of ISO 13616)."""

_ISSUERS = re.compile(
    r"4\d{15}(?:\d{3})?|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}|"
    r"6(?:011|4[4-9]\d|5\d\d)\d{12,15}|3(?:0[0-5]|09|[689]\d)\d{11}|35(?:2[89]|[3-8]\d)\d{12,15}|"
    r"62\d{14,17}|220[0-4]\d{12,15}"
)
"""By first digits: Visa, Mastercard (two ranges), American Express, Discover, Diners, JCB, UnionPay, Mir."""
_WITH_WORD = re.compile(r"(?:50|5[6-8]|6\d)\d{10,17}|4\d{12}")
"""Maestro, and Visa's old ones of thirteen digits: too many other numbers look like them."""
_NUMBER_BEFORE = re.compile(r"\d[ \t]{1,2}\Z")
"""What stands before a number that is one of a list."""
_CARD_GROUPS = re.compile(r"\d{12,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{1,7}(?:\1\d{3})?|\d{4}([ -])\d{6}\2\d{4,5}")


def _iban(match: re.Match[str]) -> Span | None:
    """As many letters and digits as the country's accounts have, whatever follows."""
    text, start = match.string, match.start()
    length = _IBAN_LENGTHS.get(match.group()[:2].upper(), 0)
    places = [place for place in range(start, match.end()) if text[place].isalnum()][:length]
    if not length or len(places) < length:
        return None
    end = places[-1] + 1
    if end < len(text) and text[end].isalnum():
        return None
    compact = "".join(text[place] for place in places).upper()
    return Span(start, end, "iban", 1.0) if checks.iban(compact) else None


def _card(match: re.Match[str]) -> float:
    digits = digits_of(match.group())
    if not _CARD_GROUPS.fullmatch(match.group()) or not checks.luhn(digits):
        return 0.0
    if said(CARD, match.string, match.start()):
        return 1.0 if _ISSUERS.fullmatch(digits) else 0.8 * bool(_WITH_WORD.fullmatch(digits))
    if _NUMBER_BEFORE.search(match.string[max(0, match.start() - 3) : match.start()]):
        return 0.0
    return 0.9 * bool(_ISSUERS.fullmatch(digits) and not says_other(match.string, match.start()))


def _bech32(match: re.Match[str]) -> float:
    written = match.group()
    return float(written in (written.lower(), written.upper()) and checks.bech32(written.lower()))


IBAN = Rule(re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d\d(?:[ \u00a0-]?[A-Za-z0-9]){11,30}", re.ASCII), _iban)
CARDS = rule("card", r"(?<![\w.-])\d(?:[ -]?\d){11,18}(?![\w-])", _card, re.ASCII)
COINS = (
    rule(
        "btc-address",
        r"(?<![A-Za-z0-9])[13LM][1-9A-HJ-NP-Za-km-z]{25,34}(?![A-Za-z0-9])",
        lambda match: float(checks.base58_check(match.group())),
    ),
    rule("btc-address", r"(?i)(?<![A-Za-z0-9])(?:bc|tb|ltc)1[02-9ac-hj-np-z]{11,71}(?![A-Za-z0-9])", _bech32),
    rule("eth-address", r"(?<![A-Za-z0-9])0x[0-9a-fA-F]{40}(?![A-Za-z0-9])", 0.8),
)
