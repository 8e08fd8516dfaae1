"""Addresses on networks: e-mail, IP, MAC, and URLs with a user and a password in them."""

from __future__ import annotations

import ipaddress
import re

from freehold.curate.pii.cues import ADDRESS, VERSION, said
from freehold.curate.pii.rules import rule

_LABEL = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_HOST = rf"(?:{_LABEL}\.)+[^\W\d_]{{2,24}}"
_NOT_A_PERSON = re.compile(
    r"(?i)git@(?:ssh\.)?(?:github|gitlab|bitbucket)\.|.*@[1-9]x\.(?:png|jpe?g|gif|webp|svg|avif)\Z"
)
_IN_URL = re.compile(r"://[^\s/@]{0,128}:[^\s/@]{0,160}\Z")
"""What stands before a password's last part: `@` and a host follow it, and it is no e-mail address."""
_NO_PASSWORD = re.compile(r"(?i):(?:pass(?:word|wd)?|pwd|secret|user(?:name)?|your.*|\*+|x+|\.+|[$%{\[].*)\Z")
"""What stands where a password would, in instructions: a word for it, or a variable."""
_RESERVED = tuple(
    ipaddress.ip_network(block)
    for block in (
        *(
            "0.0.0.0/8",
            "127.0.0.0/8",
            "192.0.2.0/24",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
        ),
        *("::/128", "::1/128", "2001:db8::/32", "ff00::/8"),
    )
)
"""Addresses of no machine in particular: this host, documentation, multicast, reserved (RFC 6890, RFC 5737, RFC 3849),
netmasks among them."""


def _email(match: re.Match[str]) -> float:
    start = match.start("v")
    if _NOT_A_PERSON.match(match.group("v")) or _IN_URL.search(match.string[max(0, start - 300) : start]):
        return 0.0
    return 0.95


def _credentials(match: re.Match[str]) -> float:
    return 0.0 if _NO_PASSWORD.search(match.group("v")) else 0.95


def _reserved(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return any(address.version == block.version and address in block for block in _RESERVED)


def _is_network(written: str) -> bool:
    """Whether an address with a prefix length, such as 10.0.0.0/8, is that of a whole network."""
    try:
        return "/" in written and ipaddress.IPv4Network(written).prefixlen < 32
    except ValueError:
        return False


def _ipv4(match: re.Match[str]) -> float:
    """Four numbers up to 255 are as often a version; what tells them apart is their size, or the words before."""
    text, start = match.string, match.start()
    octets = [int(part) for part in match.group("v").split(".")]
    if max(octets) > 255 or any(part != "0" and part.startswith("0") for part in match.group("v").split(".")):
        return 0.0
    if _reserved(ipaddress.IPv4Address(match.group("v"))) or VERSION.search(text[max(0, start - 16) : start]):
        return 0.0
    if _is_network(match.group()):
        return 0.0
    if max(octets) >= 32 or octets[0] == 10 or match.group("port"):
        return 0.8
    return 0.7 if said(ADDRESS, text, start) else 0.3


def _ipv6(match: re.Match[str]) -> float:
    try:
        address = ipaddress.IPv6Address(match.group())
    except ValueError:
        return 0.0
    groups = [group for group in match.group().split(":") if group]
    return 0.0 if _reserved(address) or len(groups) < 3 else 0.9


def _mac(match: re.Match[str]) -> float:
    digits = re.sub(r"[^0-9a-f]", "", match.group().lower())
    return 0.0 if digits in ("0" * 12, "f" * 12) else 0.9


EMAILS = (
    rule("email", rf"(?<![\w.+-])(?P<v>[^\W_][\w.!#$%&'*+/=?^{{|}}~-]{{0,63}}@{_HOST})(?![\w-])", _email),
    rule("email", rf"(?<![\w.+-])(?P<v>_[\w.+-]{{0,63}}@{_HOST})(?![\w-])", 0.8),
    rule(
        "url-credentials",
        r"(?i)(?<![\w+.-])[a-z][a-z0-9+.-]{1,20}:(?:\\?/){2}(?P<v>[^\s/:@'\"<>]{0,128}:[^\s/@'\"<>]{1,160})@[^\s]",
        _credentials,
    ),
)
SPELT_EMAIL = rule(
    "email",
    rf"(?i)(?<![\w.+-])[^\W_][\w.+-]{{0,63}} ?[\[({{] ?(?:at|@) ?[\])}}] ?{_LABEL}"
    rf"(?:(?: ?[\[({{] ?(?:dot|punkt|point|\.) ?[\])}}] ?|\.){_LABEL})+(?![\w-])",
    0.8,
)
IPV4 = rule(
    "ip",
    r"(?<![\w.-])(?P<v>\d{1,3}(?:\.\d{1,3}){3})(?!\w|\.\d|-\d)(?P<port>:\d{2,5}(?!\d)|/\d\d?(?!\d))?",
    _ipv4,
    re.ASCII,
)
IPV6 = rule(
    "ip",
    r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{0,4})(?![\w:]|\.\d)",
    _ipv6,
    re.ASCII,
)
MACS = (
    rule("mac", r"(?<![\w:-])[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?![\w:-])", _mac),
    rule("mac", r"(?<![\w.])[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}(?!\w|\.\w)", _mac),
)
