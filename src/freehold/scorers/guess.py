"""Guess a task's scorer from its recorded answers, and say why, with the figures.

A guess is shown before it is used; what cannot be scored by looking at the answers gets no scorer. A set of values is
taken as closed by Good and Turing's estimate of the missing mass: the share of answers seen exactly once (I. J. Good,
"The population frequencies of species and the estimation of population parameters", Biometrika 40, 1953).
"""

from __future__ import annotations

import ast
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec

from freehold.domain.chat import ChatRequest, schema_of
from freehold.domain.scoring import (
    ExactScorer,
    FeedbackScorer,
    JsonScorer,
    NumericScorer,
    PythonScorer,
    SchemaScorer,
    Scorer,
    SqlScorer,
)
from freehold.scorers.base import as_utf8, fenced_code, parse_json
from freehold.scorers.numeric import find_number

MIN_ANSWERS = 20
"""Fewer answers than this say nothing about what they are."""
LOOKED_AT = 500
"""The newest of them; each at its first `_MAX_CHARACTERS`."""
SHARE = 0.95
"""Share of the answers that must be of one kind."""
_MAX_MISSING_MASS = 0.05
_MAX_LABELS = 400
_MAX_LABEL_CHARACTERS = 120
_MAX_CHARACTERS = 50_000
_QUERY = re.compile(r"\s*(?:select\b.+|with\b.+\bselect\b.+)", re.I | re.S)
_CLAUSE = re.compile(r"\bfrom\b|\bcount\s*\(|;\s*$", re.I)
_FINAL = re.compile(r"\\boxed\{|####|\b(?:answer|result|total)\b[^\n]*\d[^\n]*\s*\Z", re.I)


class Guess(msgspec.Struct, frozen=True, kw_only=True):
    """A scorer with its reason; or none, why not, and what a person could set instead."""

    scorer: Scorer | None
    reason: str
    offered: tuple[Scorer, ...] = ()


def guess(
    answers: Sequence[str], requests: Sequence[ChatRequest] = (), *, database: str = "", tests: str = ""
) -> Guess:
    """The scorer that the incumbent's answers (newest last) and the requests for them suggest.

    Args:
        answers: recorded answers of one task.
        requests: some of the requests, for their tools and `response_format`.
        database: absolute path of a SQLite database that the task's queries run on, where one is set.
        tests: Python tests for the task's code, where they are set.
    """
    seen = [as_utf8(answer[:_MAX_CHARACTERS]) for answer in answers[-LOOKED_AT:]]
    if len(seen) < MIN_ANSWERS:
        return Guess(
            scorer=None, reason=f"{len(seen)} answers are too few to say what they are; {MIN_ANSWERS} are not."
        )
    with_tools = sum(1 for request in requests if request.tools or request.functions)
    if with_tools:
        figures = f"{with_tools} of {len(requests)} requests offer tools"
        return _nothing(f"{figures}: an answer can be a call, which no measure of texts can judge.")
    schema = next((found for request in reversed(requests) if (found := schema_of(request))), None)
    looks: tuple[Callable[[], Guess | None], ...] = (
        lambda: _json(seen, schema),
        lambda: _labels(seen),
        lambda: _numbers(seen),
        lambda: _queries(seen, database),
        lambda: _code(seen, tests),
    )
    found = next((one for look in looks if (one := look()) is not None), None)
    return found or _nothing(f"Free text: {_figures(seen)}.")


def _nothing(why: str) -> Guess:
    return Guess(
        scorer=None,
        reason=f"{why} What is good here only people or a judge can say: set `feedback`, or `judge` with a model.",
        offered=(FeedbackScorer(),),
    )


def _most(hits: int, seen: Sequence[str]) -> bool:
    return hits >= SHARE * len(seen)


def _labels(seen: list[str]) -> Guess | None:
    counts = Counter(answer.strip() for answer in seen)
    closed = _missing_mass(counts) <= _MAX_MISSING_MASS and len(counts) <= _MAX_LABELS
    if not closed or max(map(len, counts)) > _MAX_LABEL_CHARACTERS or not any(counts):
        return None
    reason = f"Labels: {_figures(seen)}, {_missing_mass(counts):.1%} of them seen once; case and spaces do not count."
    return Guess(scorer=ExactScorer(reason=reason), reason=reason)


def _json(seen: list[str], schema: dict[str, Any] | None) -> Guess | None:
    parsed = [parse_json(answer) for answer in seen]
    objects = [cast("dict[str, Any]", value) for value in parsed if isinstance(value, dict) and value]
    rows = [_leaves(value) for value in objects]
    if not _most(len(rows), seen):
        return None
    values: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in row.items():
            values.setdefault(name, []).append(value)
    tolerances = {name: step for name, column in values.items() if (step := _tolerance(column)) is not None}
    open_fields = [
        name
        for name, column in values.items()
        if sum(isinstance(value, str) for value in column) > len(column) / 2
        and _missing_mass(Counter(map(repr, column))) > 0.5
    ]
    reason = f"{len(rows)} of {len(seen)} answers are JSON objects with {len(values)} field(s), weighted equally"
    reason += "; the requests ask for a JSON Schema" if schema else ""
    if tolerances:
        steps = ", ".join(f"{name} ±{step:g}" for name, step in sorted(tolerances.items())[:5])
        reason += f"; decimals may differ by half a unit of the last place written ({steps})"
    if open_fields:
        reason += f"; these are mostly texts seen once, and differ easily: {', '.join(sorted(open_fields)[:5])}"
    reason += "."
    offered = (SchemaScorer(reason="Valid or not by the request's schema."),) if schema else ()
    return Guess(scorer=JsonScorer(tolerances=tolerances, reason=reason), reason=reason, offered=offered)


def _leaves(value: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    waiting: list[tuple[str, Any]] = list(value.items())
    while waiting:
        name, node = waiting.pop()
        if isinstance(node, dict) and node:
            waiting += [(f"{name}.{key}", child) for key, child in cast("dict[str, Any]", node).items()]
        else:
            found[name] = node
    return found


def _tolerance(column: list[Any]) -> float | None:
    """Half a unit in the last decimal place that the values are written with; None unless they are decimals."""
    numbers = [value for value in column if isinstance(value, int | float) and not isinstance(value, bool)]
    if not _most(len(numbers), column) or not any(isinstance(value, float) for value in numbers):
        return None
    written = [repr(value) for value in numbers if isinstance(value, float) and math.isfinite(value)]
    places = max((len(text.partition(".")[2]) for text in written if "e" not in text), default=6)
    return float(f"5e-{min(places, 6) + 1}")


def _numbers(seen: list[str]) -> Guess | None:
    bare = sum(find_number(answer, final=False) is not None for answer in seen)
    if _most(bare, seen):
        reason = f"{bare} of {len(seen)} answers are a number and nothing else."
        return Guess(scorer=NumericScorer(reason=reason), reason=reason)
    final = sum(_FINAL.search(answer) is not None and find_number(answer, final=True) is not None for answer in seen)
    if not _most(final, seen):
        return None
    reason = f"{final} of {len(seen)} answers end on a marked number (\\boxed, #### or “the answer is”)."
    return Guess(scorer=NumericScorer(final=True, reason=reason), reason=reason)


def _queries(seen: list[str], database: str) -> Guess | None:
    queries = [code for answer in seen if _QUERY.fullmatch(code := fenced_code(answer)) and _CLAUSE.search(code)]
    if not _most(len(queries), seen):
        return None
    figures = f"{len(queries)} of {len(seen)} answers are SQL queries"
    if database:
        reason = f"{figures}; they are run on {database}."
        return Guess(scorer=SqlScorer(database=database, reason=reason), reason=reason)
    exact = ExactScorer(reason=f"{figures}, compared as text: the same result written otherwise counts as wrong.")
    why = "but no database is set to run them on: `--option database=FILE` for sql, or take them as text with exact"
    return Guess(scorer=None, reason=f"{figures}, {why}.", offered=(exact,))


def _code(seen: list[str], tests: str) -> Guess | None:
    hits = sum(_is_python(fenced_code(answer)) for answer in seen)
    if not _most(hits, seen):
        return None
    figures = f"{hits} of {len(seen)} answers are Python that defines something"
    if tests:
        reason = f"{figures}; the tests given are run on it."
        return Guess(scorer=PythonScorer(tests=tests, reason=reason), reason=reason)
    return Guess(scorer=None, reason=f"{figures}, but there are no tests for it: `--option tests=@FILE` for python.")


def _is_python(code: str) -> bool:
    if not re.search(r"^\s*(?:async\s+def|def|class)\s", code, re.M):
        return False
    try:
        ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _missing_mass(counts: Counter[str]) -> float:
    return sum(1 for count in counts.values() if count == 1) / counts.total()


def _figures(seen: list[str]) -> str:
    distinct = len({answer.strip() for answer in seen})
    return f"{distinct} different answers in {len(seen)}, longest {max(map(len, seen))} characters"
