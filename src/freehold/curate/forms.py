"""Recognise closed answers from the answers themselves.

A set of values is closed when an answer not seen before is improbable. That probability is estimated by Good and
Turing's missing mass: the share of answers that were seen exactly once (I. J. Good, "The population frequencies of
species and the estimation of population parameters", Biometrika 40, 1953, eq. 2).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from freehold.domain.answers import leaves, parse_object
from freehold.domain.tasks import AnswerForm, Field

MIN_ANSWERS = 50
"""Fewer answers than this say nothing about their form."""
MAX_MISSING_MASS = 0.05
MAX_VALUES = 400
MAX_LABEL_CHARACTERS = 120
MIN_JSON_SHARE = 0.95


def recognise_form(answers: Sequence[str]) -> AnswerForm | None:
    """The form of a task's answers, or None while there are too few to say."""
    if len(answers) < MIN_ANSWERS:
        return None
    objects = [parsed for answer in answers if (parsed := parse_object(answer)) is not None]
    if len(objects) >= MIN_JSON_SHARE * len(answers):
        return _json_form([leaves(parsed) for parsed in objects])
    return _label_form([answer.strip() for answer in answers])


def _label_form(labels: Sequence[str]) -> AnswerForm:
    counts = Counter(labels)
    longest = max(map(len, counts))
    missing = _missing_mass(counts)
    blank = counts[""] / len(labels)
    if blank > MAX_MISSING_MASS:
        return AnswerForm(kind="open", reason=f"{blank:.0%} of the answers hold no text (tool calls, say).")
    figures = (
        f"{len(counts)} different answers in {len(labels)}, longest {longest} characters, missing mass {missing:.1%}"
    )
    if missing > MAX_MISSING_MASS or len(counts) > MAX_VALUES or longest > MAX_LABEL_CHARACTERS:
        return AnswerForm(kind="open", reason=f"Open text: {figures}.")
    return AnswerForm(
        kind="label",
        fields=(Field(path=(), values=_ordered(counts)),),
        reason=f"Closed labels: {figures}.",
    )


def _json_form(rows: Sequence[dict[tuple[str, ...], str]]) -> AnswerForm:
    by_path: dict[tuple[str, ...], Counter[str]] = {}
    for row in rows:
        for path, value in row.items():
            by_path.setdefault(path, Counter())[value] += 1
    if not by_path:
        return AnswerForm(kind="open", reason="Every answer is an empty object: there is nothing to learn.")
    open_paths = [
        ".".join(path)
        for path, counts in by_path.items()
        if _missing_mass(counts) * counts.total() > MAX_MISSING_MASS * len(rows) or len(counts) > MAX_VALUES
    ]
    if open_paths:
        return AnswerForm(kind="open", reason=f"JSON with open fields: {', '.join(sorted(open_paths)[:5])}.")
    fields = tuple(Field(path=path, values=_ordered(counts)) for path, counts in sorted(by_path.items()))
    sizes = ", ".join(f"{'.'.join(field.path)}: {len(field.values)}" for field in fields)
    return AnswerForm(kind="json", fields=fields, reason=f"Closed JSON fields in {len(rows)} answers ({sizes}).")


def _missing_mass(counts: Counter[str]) -> float:
    return sum(1 for count in counts.values() if count == 1) / counts.total()


def _ordered(counts: Counter[str]) -> tuple[str, ...]:
    return tuple(sorted(counts))
