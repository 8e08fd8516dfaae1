"""Keys, tokens and passwords: by the prefixes and lengths that providers give theirs, by armour, or by a name that says
so beside a random value.

The forms are those that providers document, or that the keys they hand out have; lengths are given a little room, since
providers lengthen theirs. A checksum, where one is known (GitHub, npm), makes a finding surer and decides nothing: a
mistyped key is none of a reader's business either.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections import Counter

import msgspec

from freehold.curate.pii import checks
from freehold.curate.pii.rules import Rule, rule
from freehold.curate.pii.spans import Span

_URLSAFE = r"[A-Za-z0-9_-]"
_ALNUM = r"[A-Za-z0-9]"
_HEX = r"[0-9a-f]"

_FORMS: tuple[tuple[str, str, str], ...] = (
    ("anthropic-key", "sk-ant-", rf"[a-z]{{2,8}}\d\d-{_URLSAFE}{{32,128}}"),
    ("openrouter-key", "sk-or-v1-", rf"{_HEX}{{64}}"),
    ("openai-key", "sk-(?:proj|svcacct|admin|None)-", rf"{_URLSAFE}{{20,200}}"),
    ("openai-key", "sk-", rf"{_ALNUM}{{20}}T3BlbkFJ{_ALNUM}{{20}}"),
    ("sk-key", "sk-", rf"(?=[A-Za-z]{{0,40}}\d){_ALNUM}{{32,64}}"),
    ("freehold-key", "fh-", rf"(?=\D{{0,31}}\d){_URLSAFE}{{32}}"),
    ("aws-key", "(?:AKIA|ASIA|ABIA|ACCA)", "[A-Z2-7]{16}"),
    ("google-key", "AIza", rf"{_URLSAFE}{{35}}"),
    ("google-key", "GOCSPX-", rf"{_URLSAFE}{{28}}"),
    ("google-key", r"ya29\.", rf"{_URLSAFE}{{20,400}}"),
    ("azure-key", "[A-Za-z0-9_~.]{3}[0-9]Q~", "[A-Za-z0-9_~.-]{31,34}"),
    ("github-token", "github_pat_", rf"{_ALNUM}{{22}}_{_ALNUM}{{59}}"),
    ("gitlab-token", "gl(?:pat|dt|rt|ptt|cbt|ft|soat|agent|oas|imt|ffct)-", rf"{_URLSAFE}{{20,64}}"),
    ("slack-token", "xox[abeoprs]", r"(?:\.xox[bp])?-[A-Za-z0-9-]{10,200}"),
    ("slack-token", "xapp-", rf"\d-{_ALNUM}{{6,20}}-\d{{6,20}}-{_HEX}{{32,80}}"),
    ("stripe-key", "(?:sk|rk)_(?:live|test)_", rf"{_ALNUM}{{16,128}}"),
    ("stripe-key", "whsec_", rf"{_ALNUM}{{32,64}}"),
    ("huggingface-token", "hf_", rf"{_ALNUM}{{34,40}}"),
    ("pypi-token", "pypi-AgE", rf"{_URLSAFE}{{50,250}}"),
    ("sendgrid-key", r"SG\.", rf"{_URLSAFE}{{22}}\.{_URLSAFE}{{43}}"),
    ("telegram-token", "[0-9]{8,10}:A", rf"{_URLSAFE}{{34}}"),
    ("twilio-key", "SK[0-9a-f]{8}", rf"{_HEX}{{24}}"),
    ("digitalocean-token", "do[opr]_v1_", rf"{_HEX}{{64}}"),
    ("shopify-token", "shp(?:at|ca|pa|ss)_", "[0-9a-fA-F]{32}"),
    ("mailgun-key", "key-[0-9a-f]{8}", rf"{_HEX}{{24}}"),
    ("groq-key", "gsk_", rf"{_ALNUM}{{48,60}}"),
    ("replicate-token", "r8_", rf"{_ALNUM}{{37}}"),
    ("xai-key", "xai-", rf"{_ALNUM}{{60,90}}"),
    ("perplexity-key", "pplx-", rf"{_ALNUM}{{40,60}}"),
    ("databricks-token", "dapi", rf"{_HEX}{{32}}(?:-\d)?"),
    ("nvidia-key", "nvapi-", rf"{_URLSAFE}{{60,70}}"),
    ("linear-key", "lin_(?:api|oauth)_", rf"{_ALNUM}{{32,64}}"),
    ("postman-key", "PMAK-", rf"{_HEX}{{24}}-{_HEX}{{34}}"),
    ("newrelic-key", "NRAK-", "[A-Z0-9]{27}"),
    ("vault-token", r"hv[bs]\.", rf"{_URLSAFE}{{24,200}}"),
    ("docker-token", "dckr_(?:pat|oat)_", rf"{_URLSAFE}{{27,32}}"),
    ("grafana-token", "gl(?:c|sa)_", rf"{_URLSAFE}{{32,200}}"),
    ("atlassian-token", "ATATT3", "[A-Za-z0-9_=-]{60,200}"),
    ("age-key", "AGE-SECRET-KEY-1", "[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}"),
)
"""Kind, how it begins, and the rest; where two forms fit, the first is the kind."""

TOKEN_TRIGGER = "|".join(dict.fromkeys([start for _, start, _ in _FORMS] + ["gh[opusr]_", "npm_"]))
_KIND_OF = {f"k{place}": kind for place, (kind, _, _) in enumerate(_FORMS)}
_TOKEN = re.compile(
    r"(?<![A-Za-z0-9_-])(?:"
    + "|".join(f"(?P<k{place}>{start}{rest})" for place, (_, start, rest) in enumerate(_FORMS))
    + r")(?![A-Za-z0-9_])"
)
_CHECKED = re.compile(
    r"(?<![A-Za-z0-9])(?:(?P<github>gh[opusr])|npm)_(?P<body>[A-Za-z0-9]{30,80})(?P<check>[A-Za-z0-9]{6})(?![A-Za-z0-9_])"
)


def _token(match: re.Match[str]) -> Span:
    return Span(match.start(), match.end(), _KIND_OF[match.lastgroup or ""], 0.95)


def _checked(match: re.Match[str]) -> Span:
    holds = checks.crc32_base62(match["body"], match["check"])
    kind = "github-token" if match["github"] else "npm-token"
    return Span(match.start(), match.end(), kind, 1.0 if holds else 0.9)


def _jwt(match: re.Match[str]) -> float:
    """Whether the first part is a JSON object with an algorithm (RFC 7515)."""
    head = match.group().split(".", 1)[0]
    try:
        header = msgspec.json.decode(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)), type=dict[str, object])
    except (msgspec.DecodeError, binascii.Error):
        return 0.6
    return 1.0 if "alg" in header else 0.6


_VALUE = r"[A-Za-z0-9_\-+/=.~!@#$%^&*?:]"
_WORDS = re.compile(
    r"(?i)example|placeholder|your|changeme|redacted|xxxx|\*{3}|\.{3}|env\b|process\.|os\.|getenv|config|settings|self\."
)


_LONG_WORD = r"[A-Za-z][a-z]{3,}|[A-Z]{4,}"
_SHORT_WORD = r"[A-Za-z][a-z]{2,}|[A-Z]{3,}"
"""Where signs part a value, its parts may be short words: `payments.api-key.2024`."""


def entropy(text: str) -> float:
    """Shannon's entropy of a text's characters, in bits per character."""
    return -sum(count / len(text) * math.log2(count / len(text)) for count in Counter(text).values())


def looks_random(value: str) -> bool:
    """Whether nobody would have chosen the value to be read: long, mixed, and not words, paths or calls."""
    digits = sum(character.isdigit() for character in value)
    letters = sum(character.isalpha() for character in value)
    if len(value) < 16 or digits < 1 or letters < 2 or _WORDS.search(value):
        return False
    words = re.findall(_SHORT_WORD if re.search(r"[-_./:]", value) else _LONG_WORD, value)
    return entropy(value) >= 3.0 and sum(map(len, words)) < 0.6 * len(value)


def _looks_chosen(value: str) -> bool:
    """Whether the value of something called a password is one: eight characters or more of three classes."""
    classes = (r"[a-z]", r"[A-Z]", r"\d", r"[^A-Za-z\d]")
    used = sum(re.search(one, value) is not None for one in classes)
    return len(value) >= 8 and used >= 3 and re.search(r"\d", value) is not None and not _WORDS.search(value)


def _assigned(match: re.Match[str]) -> float:
    value = match.group("v")
    if looks_random(value):
        return 0.8
    return 0.6 if match.group("password") and _looks_chosen(value) else 0.0


def _bearer(match: re.Match[str]) -> float:
    return 0.8 * looks_random(match.group("v"))


TOKENS = (
    Rule(_TOKEN, _token),
    Rule(_CHECKED, _checked),
)
WEBHOOK = rule("slack-token", r"https://hooks\.slack\.com/(?:services|workflows)/(?P<v>[A-Za-z0-9/]{20,120})", 0.95)
JWT = rule("jwt", r"(?<![\w-])eyJ[A-Za-z0-9_-]{8,2000}\.eyJ[A-Za-z0-9_-]{4,8000}\.[A-Za-z0-9_-]{0,900}", _jwt)
ASSIGNED = (
    rule(
        "azure-key",
        r"(?i)(?:AccountKey|SharedAccessKey|sig)=(?P<v>[A-Za-z0-9+/%]{40,120}={0,2})(?![A-Za-z0-9+/=])",
        lambda match: 0.9 * looks_random(match.group("v")),
    ),
    rule(
        "assigned-secret",
        r"(?i)(?:secret|token|api[ _-]?key|credential|(?:private|access|account|encryption|signing|auth)[ _-]?key|"
        r"schlüssel|clave|clé|chiave|sleutel|"
        r"(?P<password>passw(?:or)?d|passwort|kennwort|mot de passe|contraseña|wachtwoord|\bpwd\b|passphrase))"
        r"[\w-]{0,24}[\"'`]?\s{0,3}(?:=>|:=|=|:|\bis\b|\bist\b|\best\b|\bes\b|è)\s{0,3}[\"'`]?"
        rf"(?P<v>(?<![A-Za-z0-9]){_VALUE}{{8,512}}(?<![.:?,]))(?![A-Za-z0-9(\[])",
        _assigned,
    ),
    rule("bearer-token", r"(?i)\b(?:bearer|basic)\s{1,3}(?P<v>[A-Za-z0-9._~+/=-]{20,500})", _bearer),
)
ASSIGNED_TRIGGER = (
    r"(?i:secret|token|api[ _-]?key|credential|(?:private|access|account|encryption|signing|auth)[ _-]?key|schlüssel|"
    r"clave|clé|chiave|sleutel|passw|kennwort|mot de passe|contraseña|wachtwoord|pwd|passphrase|sig=|bearer|basic )"
)
ARMOUR = rule(
    "private-key",
    r"-----BEGIN (?P<label>[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?)-----"
    r"(?:[A-Za-z0-9+/=\s\\:,.()-]{0,16000}?-----END (?P=label)-----|[A-Za-z0-9+/=\s\\]{0,16000})",
    1.0,
)
