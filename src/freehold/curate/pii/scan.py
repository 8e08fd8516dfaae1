"""Find: one quick pass over all texts for places worth a look, then the rules whose places they are.

The first pass is one regular expression for a whole batch, in Rust (Polars): it has no anchors, so the pieces it
returns can be found again from left to right. Most text of most prompts goes no further. Each piece belongs to one or
more families of rules, which look at it and at a margin around it.

What a rule sees is the text with two things blanked, character by character, so that places stay the same: escapes of
JSON (`\\n` before a name is no letter n), and the pseudonyms of `freehold.curate.pii.pseudonyms`: none is ever found.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from freehold.curate.pii.identity import BIRTH_TRIGGER, BIRTHS, NUMBERS
from freehold.curate.pii.kinds import KINDS
from freehold.curate.pii.money import CARDS, COINS, IBAN
from freehold.curate.pii.network import EMAILS, IPV4, IPV6, MACS, SPELT_EMAIL
from freehold.curate.pii.phones import RULES as PHONES
from freehold.curate.pii.pseudonyms import blank_pseudonyms
from freehold.curate.pii.rules import Rule
from freehold.curate.pii.secrets import ARMOUR, ASSIGNED, ASSIGNED_TRIGGER, JWT, TOKEN_TRIGGER, TOKENS, WEBHOOK
from freehold.curate.pii.spans import Span, resolve

_SHORT = 400
"""Characters up to which a single text is looked at as a whole: the first pass would cost more."""
_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|[nrtbf\"\\])")


class _Family(NamedTuple):
    trigger: str
    """In the syntax of both Python's `re` and Rust's `regex`; without anchors."""
    left: int
    right: int
    """Margin, in characters, that the rules are given around a piece."""
    rules: tuple[Rule, ...]
    begins: bool = False
    """A match begins in the left margin or the piece: it need not be looked for further on."""


_FISCAL = tuple(rule for rule in NUMBERS if rule.pattern.search("RSSMRA85T10A562S"))
_FAMILIES = (
    _Family(r"-----BEGIN ", 0, 33_000, (ARMOUR,)),
    _Family(r"eyJ[A-Za-z0-9_-]{8,}\.eyJ", 2, 11_000, (JWT,)),
    _Family(TOKEN_TRIGGER, 4, 450, TOKENS),
    _Family(r"[A-Za-z0-9]{16,}", 8, 60, (*COINS, *_FISCAL)),
    _Family(r"hooks\.slack\.com", 10, 150, (WEBHOOK,)),
    _Family(r"@", 330, 330, EMAILS),
    _Family(r"[(\[{] ?(?i:at|@) ?[)\]}]", 70, 400, (SPELT_EMAIL,)),
    _Family(ASSIGNED_TRIGGER, 8, 620, ASSIGNED, begins=True),
    _Family(BIRTH_TRIGGER, 8, 80, (BIRTHS,)),
    _Family(r"[A-Za-z]{2}[0-9]{2}[ \x{a0}-]?[A-Za-z0-9]{4}", 1, 70, (IBAN,)),
    _Family(r"(?:[0-9A-Fa-f]{0,4}:){2,7}|(?:[0-9A-Fa-f]{2}-){5}|(?:[0-9A-Fa-f]{4}\.){2}", 4, 32, (IPV6, *MACS)),
    _Family(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}", 4, 12, (IPV4,)),
    _Family(
        r"[0-9](?:[ .\-/()\x{a0}\x{202f}\x{2011}\x{2013}]{0,3}[0-9]){5,}",
        24,
        24,
        (*PHONES, CARDS, *(rule for rule in NUMBERS if rule not in _FISCAL)),
    ),
)


def find(text: str, kinds: Collection[str] = KINDS) -> list[Span]:
    """What one text holds of some kinds: findings that do not overlap, in order.

    For many texts `find_many` is far quicker.
    """
    if len(text) > _SHORT:
        return find_many((text,), kinds)[0]
    view = _view(text)
    spans = (span for family in _FAMILIES for rule in family.rules for span in rule.apply(view, 0, len(view)))
    return resolve(span for span in spans if span.kind in kinds)


def find_many(texts: Sequence[str], kinds: Collection[str] = KINDS) -> list[list[Span]]:
    """What each text holds, as `find` says it."""
    import polars as pl

    views = [_view(text) for text in texts]
    series = pl.Series(views, dtype=pl.String)
    found: list[list[Span]] = [[] for _ in texts]
    for family in _FAMILIES:
        pieces = series.str.extract_all(family.trigger)
        places: list[int] = (pieces.list.len() > 0).arg_true().to_list()
        for place in places:
            found[place].extend(_near(views[place], pieces[place], family))
    return [resolve(span for span in spans if span.kind in kinds) for spans in found]


def count_kinds(spans: Iterable[Span]) -> dict[str, int]:
    """Kind → how often it was found, most often first."""
    return dict(Counter(span.kind for span in spans).most_common())


def _view(text: str) -> str:
    if "\\" in text:
        text = _ESCAPE.sub(lambda match: " " * len(match.group()), text)
    return blank_pseudonyms(text)


def _near(view: str, pieces: Iterable[str], family: _Family) -> Iterator[Span]:
    """What the family's rules find around pieces."""
    places = list(_places(view, pieces))
    if family.begins:
        for start, end in places:
            for rule in family.rules:
                yield from rule.apply_from(view, max(0, start - family.left), end, end + family.right)
        return
    for start, end in _regions(places, family.left, family.right):
        for rule in family.rules:
            yield from rule.apply(view, start, min(end, len(view)))


def _places(view: str, pieces: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Where the pieces stand."""
    at = 0
    for piece in pieces:
        start = view.index(piece, at)
        at = start + len(piece)
        yield start, at


def _regions(places: Iterable[tuple[int, int]], left: int, right: int) -> list[tuple[int, int]]:
    """The places with margins; those that touch are one."""
    regions: list[tuple[int, int]] = []
    for start, end in places:
        low, high = max(0, start - left), end + right
        if regions and low <= regions[-1][1]:
            regions[-1] = (regions[-1][0], high)
        else:
            regions.append((low, high))
    return regions
