"""Best answer: where several models or people answered one prompt, learn from the best of their answers.

Rows of other models than the incumbent are among the candidates for this step alone: see `freehold.curate.others`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from freehold.config.curate_settings import BestAnswer
from freehold.curate.samples import fold, share_of
from freehold.curate.steps.base import Chosen, Scope
from freehold.domain.answers import parse_object

Row = Mapping[str, Any]
OTHER = "shadow"
"""Origin of rows that are here to be compared with only."""


class _Winner(NamedTuple):
    """The best answer to a prompt."""

    how: str
    answer: str
    row: Row
    """Whose answer it is, or on whose answer it was said."""
    person: bool


class BestAnswerStep:
    """Gives every row to learn from the best answer that its prompt got, and takes away what it was compared with."""

    name = "best-answer"
    scope: Scope = "training"
    needs = ("answer", "score", "label", "edit", "answered_by", "terms", "verdict", "origin")

    def __init__(self, settings: BestAnswer) -> None:
        self._settings = settings

    def measure(self, rows: pl.DataFrame) -> pl.DataFrame:
        """`_prompt`: a hash of the prompt, whatever its case and spacing."""
        hashes = [share_of(fold(prompt)) for prompt in rows.get_column("prompt")]
        return pl.DataFrame({"_prompt": hashes}, schema={"_prompt": pl.Float64})

    def choose(self, rows: pl.DataFrame) -> Chosen:
        """The winner's answer is set, with whose it is and what rights say of it."""
        groups: defaultdict[float, list[Row]] = defaultdict(list)
        ordered = rows.to_dicts()
        for row in ordered:
            groups[row["_prompt"]].append(row)
        winners = {prompt: self._winner(group) for prompt, group in groups.items()}
        changed = [_changed(row, winners[row["_prompt"]]) for row in ordered]
        reasons = [_reason(row, winners[row["_prompt"]]) for row in ordered]
        why = pl.Series(reasons, dtype=pl.String)
        columns = ("answer", "answered_by", "terms", "verdict", "origin")
        return Chosen(
            why.is_null(), why, {name: pl.Series([row[name] for row in changed], dtype=pl.String) for name in columns}
        )

    def _winner(self, group: Sequence[Row]) -> _Winner | None:
        """Who answered this prompt best; None: the incumbent's answers stay."""
        ask: dict[str, Callable[[Sequence[Row]], _Winner | None]] = {
            "edit": _edited,
            "label": _labelled,
            "score": self._scored,
            "majority": self._majority,
        }
        return next((found for name in self._settings.order if (found := ask[name](group)) is not None), None)

    def _scored(self, group: Sequence[Row]) -> _Winner | None:
        """The answer with the best mean score, where answers differ in it."""
        scores: defaultdict[str, list[float]] = defaultdict(list)
        for row in group:
            if row["score"] is not None:
                scores[fold(row["answer"])].append(row["score"])
        if not scores:
            return None
        means = {answer: sum(given) / len(given) for answer, given in scores.items()}
        best = max(means.values())
        first = next(row for row in group if means.get(fold(row["answer"])) == best)
        return _Winner("the best score", first["answer"], first, False) if best >= self._settings.min_score else None

    def _majority(self, group: Sequence[Row]) -> _Winner | None:
        """The answer of more than half of the models; each has one vote, for what it said most often."""
        said: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for row in group:
            said[row["answered_by"]][fold(row["answer"])] += 1
        if len(said) < self._settings.min_models:
            return None
        votes = Counter(min(texts, key=lambda text: (-texts[text], text)) for texts in said.values())
        answer, count = votes.most_common(1)[0]
        if 2 * count <= len(said):
            return None
        first = next(row for row in group if fold(row["answer"]) == answer)
        return _Winner("the majority", first["answer"], first, False)


def _edited(group: Sequence[Row]) -> _Winner | None:
    """What a person wrote in the place of an answer, the latest."""
    return next((_Winner("a person's edit", row["edit"], row, True) for row in reversed(group) if row["edit"]), None)


def _labelled(group: Sequence[Row]) -> _Winner | None:
    """What a person named as the right answer, the latest; a bare label is no answer where answers are JSON."""
    return next((_Winner("a person's label", label, row, True) for label, row in _labels(group)), None)


def _labels(group: Sequence[Row]) -> Iterator[tuple[str, Row]]:
    for row in reversed(group):
        label = row["label"]
        if label and (parse_object(label) is not None or parse_object(row["answer"]) is None):
            yield label, row


def _changed(row: Row, winner: _Winner | None) -> Row:
    if winner is None or fold(row["answer"]) == fold(winner.answer):
        return row
    whose = {name: winner.row[name] for name in ("answered_by", "terms", "verdict")}
    origin = "person" if winner.person else winner.row["origin"]
    return {**row, **whose, "answer": winner.answer, "origin": origin}


def _reason(row: Row, winner: _Winner | None) -> str | None:
    """Why a row goes: it was there to be compared with."""
    if row["origin"] != OTHER:
        return None
    return f"compared with: {winner.how if winner else 'the incumbent'} won"
