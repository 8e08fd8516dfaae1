"""Numbers within a tolerance, alone or at the end of free text."""

from __future__ import annotations

import re
from decimal import Context as DecimalContext
from decimal import Decimal

from freehold.domain.scoring import NumericScorer, Score, scored
from freehold.scorers.base import Unusable, shown

_DIGITS = DecimalContext(prec=60, traps=[])
"""Without traps: what overflows becomes infinite, and what is no number becomes NaN; neither is finite."""
_NUMBER = re.compile(
    r"(?<![\w.])[-+−]?(?:[$€£]\s?)?(\d{1,3}(?:,\d{3})+(?:\.\d{1,200})?|\d{1,200}(?:\.\d{0,200})?|\.\d{1,200})"
    r"(?!\d)(?:[eE]([-+]?\d{1,9}))?"
)
_WHOLE = re.compile(_NUMBER.pattern + r"\s?[%€]?\.?")
_BOXED = re.compile(r"\\boxed\{([^{}]{1,400})\}")


def score_numeric(scorer: NumericScorer, answer: str, reference: str) -> Score:
    """1 if both hold numbers that lie near enough, else 0; an answer without a number scores 0."""
    wanted = find_number(reference, final=scorer.final)
    if wanted is None:
        raise Unusable(f"The reference holds no number: {shown(reference)}.")
    given = find_number(answer, final=scorer.final)
    if given is None:
        return scored(0.0, f"The answer holds no number: {shown(answer)}.")
    relative = _DIGITS.multiply(Decimal(scorer.relative), abs(wanted))
    allowed = _DIGITS.max(Decimal(scorer.absolute), relative)
    apart = _DIGITS.abs(_DIGITS.subtract(given, wanted))
    near = apart <= allowed
    return scored(float(near), f"{given} {'is' if near else 'is not'} within {allowed:.3g} of {wanted}.")


def find_number(text: str, *, final: bool) -> Decimal | None:
    """The finite number that `text` is; with `final`, else the one it ends on. None if there is none."""
    found = _WHOLE.fullmatch(text.strip())
    if found is None and final:
        boxed = _BOXED.findall(text)
        if boxed:
            return find_number(boxed[-1].replace("\\", "").replace("{", ""), final=False)
        found = max(_NUMBER.finditer(text), key=lambda number: number.start(), default=None)
    if found is None:
        return None
    digits, exponent = found.group(1).replace(",", ""), found.group(2) or "0"
    sign = "-" if found.group(0).lstrip().startswith(("-", "−")) else ""
    number = _DIGITS.create_decimal(f"{sign}{digits}e{exponent}")
    return number if number.is_finite() else None
