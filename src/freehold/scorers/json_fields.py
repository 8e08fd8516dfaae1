"""JSON, field by field: objects are walked, everything else (lists included) is a value."""

from __future__ import annotations

from typing import Any, cast

from freehold.domain.errors import ScorerError
from freehold.domain.scoring import JsonScorer, Score, scored
from freehold.scorers.base import NOT_JSON, Unusable, parse_json, shown

_ABSENT: Any = object()


def score_json(scorer: JsonScorer, answer: str, reference: str) -> Score:
    """The weighted share of the fields of either that agree; an answer that is not JSON scores 0."""
    try:
        return _score(scorer, parse_json(answer), parse_json(reference))
    except RecursionError as error:
        raise Unusable("The JSON is nested too deeply to be compared.") from error


def check_json(scorer: JsonScorer) -> None:
    """Raises ScorerError where no field can have a weight."""
    if scorer.default_weight == 0 and not any(scorer.weights.values()):
        raise ScorerError("The json scorer gives every field the weight 0.", "Set default_weight or some of weights.")


def _score(scorer: JsonScorer, answer: Any, reference: Any) -> Score:
    if reference is NOT_JSON:
        raise Unusable("The reference is not JSON.")
    if answer is NOT_JSON:
        return scored(0.0, "The answer is not JSON.")
    wanted, given = _fields(reference), _fields(answer)
    names = [*wanted, *(name for name in given if name not in wanted and scorer.extra == "count")]
    right = total = 0.0
    wrong: list[str] = []
    for name in names:
        weight = scorer.weights.get(name, scorer.default_weight)
        total += weight
        if _same(scorer, name, given.get(name, _ABSENT), wanted.get(name, _ABSENT)):
            right += weight
        elif weight:
            wrong.append(name or "(the whole)")
    if total == 0:
        raise Unusable("Neither answer nor reference has a field with a weight.")
    detail = f"{len(names) - len(wrong)} of {len(names)} fields agree"
    return scored(min(1.0, right / total), f"{detail}; not: {shown(', '.join(wrong))}." if wrong else f"{detail}.")


def _fields(value: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def walk(node: Any, path: tuple[str, ...]) -> None:
        if isinstance(node, dict) and node:
            for key, child in cast("dict[str, Any]", node).items():
                walk(child, (*path, key))
        else:
            found[".".join(path)] = node

    walk(value, ())
    return found


def _same(scorer: JsonScorer, name: str, answer: Any, reference: Any) -> bool:
    tolerance = scorer.tolerances.get(name, scorer.tolerance)
    return _equal(answer, reference, tolerance, fold_case=scorer.fold_case)


def _near(a: float, b: float, tolerance: float) -> bool:
    try:
        return abs(a - b) <= tolerance
    except OverflowError:  # an integer beyond every float beside a float
        return False


def _equal(a: Any, b: Any, tolerance: float, *, fold_case: bool) -> bool:
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, int | float) and isinstance(b, int | float):
        return a == b or _near(a, b, tolerance)
    if isinstance(a, str) and isinstance(b, str):
        return a == b or (fold_case and a.casefold() == b.casefold())
    if isinstance(a, list) and isinstance(b, list):
        pairs = cast("list[Any]", a), cast("list[Any]", b)
        return len(pairs[0]) == len(pairs[1]) and all(
            _equal(x, y, tolerance, fold_case=fold_case) for x, y in zip(*pairs, strict=True)
        )
    if isinstance(a, dict) and isinstance(b, dict):
        left, right = cast("dict[str, Any]", a), cast("dict[str, Any]", b)
        return left.keys() == right.keys() and all(
            _equal(left[key], right[key], tolerance, fold_case=fold_case) for key in left
        )
    return a is b  # null, or not there
