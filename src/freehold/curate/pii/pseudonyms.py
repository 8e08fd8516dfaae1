"""Pseudonyms: the same value gets the same replacement, on this installation and on no other.

A replacement is drawn by HMAC-SHA256 of the kind and the normalised value under the installation's secret: without the
secret it says nothing about the value, and values cannot be tried out. Where the form matters to a reader (or a model)
it is kept, in a range that belongs to nobody:

| kind | replacement | why it is nobody's |
|---|---|---|
| e-mail | `person-kbfampdcae@example.invalid` | `.invalid` is reserved (RFC 2606) |
| phone | `+9990123456789` | no country has the code 999 |
| IPv4 | `240.…` to `255.…` (without 255.255…) | reserved (RFC 1112, RFC 6890) |
| IPv6 | `2001:db8:…` | for documentation (RFC 3849) |
| MAC | `02:00:5e:…` | locally administered |
| card | `999999…`, sixteen digits | no issuer's range |
| IBAN | `XX00…`, twenty characters | no country is XX |
| user and password in a URL | `redacted-kbfampdcae` | a word |
| all others | `[us-ssn kbfampdcae]` | in brackets |

A phone number counts by its last nine digits, so that it is the same with its country code and without. Letters are a
to p for the sixteen hex digits: they cannot be taken for a number.
"""

from __future__ import annotations

import hashlib
import hmac
import re

from freehold.curate.pii.kinds import KINDS, SECRETS

PSEUDONYMS = "freehold pseudonyms 1"
"""What an installation's secret for pseudonyms is derived for: one for all, so that a value has one pseudonym."""
_LETTERS = str.maketrans("0123456789abcdef", "abcdefghijklmnop")
_LENGTH = 10
_WORD = rf"[a-p]{{{_LENGTH}}}"
_PSEUDONYM = re.compile(
    rf"person-{_WORD}@example\.invalid|redacted-{_WORD}|"
    rf"\[(?:{'|'.join(KINDS)}|presidio-[a-z-]{{2,32}})(?: {_WORD})?\]|\+999\d{{10}}|"
    r"2001:db8(?::[0-9a-f]{4}){6}|02:00:5e(?::[0-9a-f]{2}){3}|999999\d{10}|XX00\d{16}|"
    r"2(?:4\d|5[0-4])\.\d{1,3}\.\d{1,3}\.\d{1,3}"
)
_BLANK = "\ufffc"
"""The object replacement character: no letter, digit or blank to any pattern."""


def blank_pseudonyms(text: str) -> str:
    """The text with a blank for each character of a pseudonym or mask: nothing is found in one, nor across one."""
    return _PSEUDONYM.sub(lambda match: _BLANK * len(match.group()), text)


def normalised(kind: str, value: str) -> str:
    """What a value has in common with other ways to write it."""
    if kind == "email":
        return value.casefold()
    if kind == "phone":
        return re.sub(r"\D", "", value)[-9:]
    if kind == "ip":
        return value.lower()
    if kind in _CASED or kind in SECRETS:
        return value
    return re.sub(r"[\W_]", "", value).upper()


_CASED = frozenset(("btc-address", "eth-address"))
"""Personal kinds whose case means something; that of all secrets does."""


class Pseudonyms:
    """Replacements under one secret.

    Args:
        secret: at least 16 bytes; whoever has it can try out values, so it stays where the data is.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 16:
            raise ValueError("a secret of at least 16 bytes is needed")
        self._secret = secret

    def of(self, kind: str, value: str) -> str:
        """The replacement of a value."""
        drawn = hmac.new(self._secret, f"{kind}\0{normalised(kind, value)}".encode(), hashlib.sha256).hexdigest()
        word = drawn[:_LENGTH].translate(_LETTERS)
        number = str(int(drawn, 16))[-16:]
        match kind:
            case "email":
                return f"person-{word}@example.invalid"
            case "phone":
                return f"+999{number[-10:]}"
            case "card":
                return f"999999{number[-10:]}"
            case "iban":
                return f"XX00{number}"
            case "ip":
                return _address(drawn, six=":" in value)
            case "mac":
                return f"02:00:5e:{drawn[0:2]}:{drawn[2:4]}:{drawn[4:6]}"
            case "url-credentials":
                return f"redacted-{word}"
            case _:
                return f"[{kind} {word}]"

    def __repr__(self) -> str:
        return "Pseudonyms()"


def _address(drawn: str, *, six: bool) -> str:
    if six:
        return "2001:db8:" + ":".join(drawn[place : place + 4] for place in range(0, 24, 4))
    first, *others = bytes.fromhex(drawn[:8])
    return ".".join(map(str, (240 + first % 15, *others)))


def mask(kind: str) -> str:
    """What stands for a value where pseudonyms are not wanted: `[email]`."""
    return f"[{kind}]"
