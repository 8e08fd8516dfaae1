"""Learn how the incumbent writes its closed answers, by trying each style against the answers themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import product

from freehold.domain.answers import leaves, parse_object, unfence
from freehold.upstreams.student.rendering import Style, render

_SPACINGS: tuple[tuple[str, str, int | None], ...] = (
    (", ", ": ", None),
    (",", ":", None),
    (",", ": ", 2),
    (",", ": ", 4),
    (", ", ":", None),
    (",", ": ", None),
    (",", ": ", 1),
    (",", ": ", 3),
)
_TRIED = 200
"""Answers each style is tried against."""


def learn_style(kind: str, answers: Sequence[str]) -> tuple[Style, float]:
    """The style that reproduces most of `answers` byte for byte, and the share it reproduces."""
    return _label_style(answers) if kind == "label" else _json_style(answers)


def _label_style(answers: Sequence[str]) -> tuple[Style, float]:
    around = Counter(
        (answer[: len(answer) - len(answer.lstrip())], answer[len(answer.rstrip()) :])
        for answer in answers
        if answer.strip()
    )
    (prefix, suffix), count = around.most_common(1)[0]
    return Style(kind="label", prefix=prefix, suffix=suffix), count / len(answers)


def _json_style(answers: Sequence[str]) -> tuple[Style, float]:
    parsed = [(answer, found) for answer in answers if (found := parse_object(answer)) is not None]
    orders = Counter(tuple(leaves(found)) for _, found in parsed)
    order = _merged_order([order for order, _ in orders.most_common()])
    prefix, suffix = Counter(_around(answer) for answer, _ in parsed).most_common(1)[0][0]
    rows = [(answer, leaves(found)) for answer, found in parsed[-_TRIED:]]
    best, best_hits = Style(kind="json"), -1
    for (item, key, indent), ascii_only in product(_SPACINGS, (False, True)):
        style = Style(
            kind="json",
            prefix=prefix,
            suffix=suffix,
            order=order,
            item_separator=item,
            key_separator=key,
            indent=indent,
            ascii=ascii_only,
        )
        hits = sum(render(style, values) == answer for answer, values in rows)
        if hits > best_hits:
            best, best_hits = style, hits
    return best, best_hits / max(1, len(rows))


def _around(answer: str) -> tuple[str, str]:
    before, body, after = unfence(answer)
    return before + body[: len(body) - len(body.lstrip())], body[len(body.rstrip()) :] + after


def _merged_order(orders: Sequence[tuple[tuple[str, ...], ...]]) -> tuple[tuple[str, ...], ...]:
    """The commonest order, with paths that only rarer orders have put after the path they follow there."""
    merged = list(orders[0])
    for order in orders[1:]:
        for index, path in enumerate(order):
            if path not in merged:
                before = order[index - 1] if index else None
                merged.insert(merged.index(before) + 1 if before in merged else 0, path)
    return tuple(merged)
