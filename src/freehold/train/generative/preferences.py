"""Pairs of answers of which one is better: what DPO (Rafailov et al. 2023) learns from.

Two sources: what people said of answers, and the incumbent's answer beside the student's own where the task's scorer
says that the student's is worse.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from freehold.domain.answers import normalise, parse_object
from freehold.domain.errors import EvidenceError
from freehold.domain.evidence import Sample
from freehold.domain.scoring import Scorer
from freehold.scorers import Context, compare
from freehold.train.recipes import Preference

if TYPE_CHECKING:
    from freehold.store import Store

MIN_PAIRS = 20
"""Fewer teach a few prompts by heart."""
MARGIN = 0.25
"""Between two answers' mean scores: people differ by less than this about the same answer."""

Source = Literal["feedback", "incumbent"]


class Pair(NamedTuple):
    """Two answers to one prompt."""

    prompt: str
    chosen: str
    rejected: str
    source: Source
    trace_id: str = ""


class Judged(NamedTuple):
    """An answer that people said something of."""

    prompt: str
    answer: str
    trace_id: str
    scores: tuple[float, ...] = ()
    label: str | None = None
    """The right answer, as somebody named it last."""
    edit: str | None = None
    """What somebody made of it last."""


def judged_of(
    store: Store, samples: Sequence[Sample], clean: Callable[[Sequence[str]], Sequence[str]] = list
) -> list[Judged]:
    """The answers of the fit part that people said something of, as they were given: curating may have replaced them.

    Args:
        store: where traces and feedback are.
        samples: of the dataset; an exchange that it does not hold says nothing, and rights were asked for its answers.
        clean: what the dataset's steps `redact` and `secrets` do with texts, in order. Without it a dataset that has
            such steps must not be used here: what people wrote is as they wrote it.

    Raises:
        StoreError: the table or a journal cannot be read.
    """
    from freehold.store.traces.read import read_feedback, read_traces

    fit = {sample.trace_id: sample for sample in samples if sample.part == "fit"}
    said: dict[str, list[dict[str, Any]]] = {}
    for row in read_feedback(store, trace_ids=sorted(fit)).iter_rows(named=True):
        said.setdefault(row["trace_id"], []).append(row)
    traces = read_traces(store, trace_ids=sorted(said), columns=("trace_id", "answer", "answered_by"))
    found: list[Judged] = []
    for trace_id, answer, answered_by in traces.iter_rows():
        if answer is None or answered_by != fit[trace_id].answered_by:
            continue  # the sample's answer is another model's now, and rights were asked for that
        rows = said[trace_id]
        texts = {name: _last(rows, name) for name in ("label", "edit")}
        given = {name: text for name, text in texts.items() if text}
        [cleaned, *others] = clean([answer, *given.values()])
        scores = tuple(row["score"] for row in rows if row["score"] is not None)
        found.append(Judged(fit[trace_id].prompt, cleaned, trace_id, scores, **dict(zip(given, others, strict=True))))
    return found


def _last(rows: Sequence[dict[str, Any]], name: str) -> str | None:
    return next((row[name] for row in reversed(rows) if row[name]), None)


def pairs_from_feedback(judged: Sequence[Judged]) -> list[Pair]:
    """An edit or a right label over the answer it was given for; the best over the worst answer to one prompt.

    A bare label is no answer where answers are JSON objects.
    """
    found: list[Pair] = []
    groups: dict[str, list[Judged]] = {}
    for one in judged:
        better = one.edit or (one.label if _is_answer(one.label, one.answer) else None)
        if better is not None and normalise(better) != normalise(one.answer):
            found.append(Pair(one.prompt, better, one.answer, "feedback", one.trace_id))
        groups.setdefault(one.prompt, []).append(one)
    for prompt, group in groups.items():
        scored = _mean_scores(group)
        if len(scored) < 2:
            continue
        best, worst = max(scored.values(), key=_mean), min(scored.values(), key=_mean)
        if best.mean - worst.mean >= MARGIN:
            found.append(Pair(prompt, best.answer, worst.answer, "feedback", worst.trace_id))
    return found


def pairs_from_incumbent(
    samples: Sequence[Sample],
    answers: Sequence[str],
    scorer: Scorer,
    context_of: Callable[[Sample], Context | None] = lambda _: None,
) -> list[Pair]:
    """The incumbent's answer over the student's own, where the scorer says that the student's is worse.

    Only the fit part gives pairs: what certifies is not looked at. What could not be scored is passed over.

    Args:
        samples: with the incumbent's answers.
        answers: the student's, in the same order.
        scorer: of the task; one that computes.
        context_of: what is known of a sample's request besides its prompt.

    Raises:
        ScorerError: the scorer cannot be carried out as it is set, or is a judge.
    """
    found: list[Pair] = []
    for sample, answer in zip(samples, answers, strict=True):
        if sample.part != "fit" or normalise(answer) == normalise(sample.answer):
            continue
        compared = compare(scorer, answer, sample.answer, context_of(sample) or Context(prompt=sample.prompt))
        worse = compared.reference.value is not None and compared.harm > 0  # an answer that cannot be scored is worse
        if worse:
            found.append(Pair(sample.prompt, sample.answer, answer, "incumbent", sample.trace_id))
    return found


def chosen_pairs(pairs: Sequence[Pair], preference: Preference) -> list[Pair]:
    """The pairs that the recipe asks for, each once, without those that say the opposite of one another.

    Raises:
        EvidenceError: there are too few to learn from.
    """
    wanted = [pair for pair in dict.fromkeys(pairs) if preference.pairs in ("both", pair.source)]
    told = {(pair.prompt, normalise(pair.chosen), normalise(pair.rejected)) for pair in wanted}
    found = [pair for pair in wanted if (pair.prompt, normalise(pair.rejected), normalise(pair.chosen)) not in told]
    if len(found) < MIN_PAIRS:
        counts = Counter(pair.source for pair in wanted)
        raise EvidenceError(
            f"There are {len(found)} pairs to learn preferences from, and at least {MIN_PAIRS} are needed: "
            f"{counts['feedback']} of feedback, {counts['incumbent']} of the incumbent's over the student's answers.",
            'Record feedback (edits say most), set `pairs = "both"` under [preference], or train with method = "sft".',
        )
    return found


class _Scored(NamedTuple):
    answer: str
    trace_id: str
    mean: float


def _mean(scored: _Scored) -> float:
    return scored.mean


def _mean_scores(group: Sequence[Judged]) -> dict[str, _Scored]:
    """Each different answer with the mean of its scores; those without scores are left out."""
    scores: dict[str, list[float]] = {}
    first: dict[str, Judged] = {}
    for one in group:
        if one.scores:
            form = normalise(one.answer)
            scores.setdefault(form, []).extend(one.scores)
            first.setdefault(form, one)
    return {
        form: _Scored(first[form].answer, first[form].trace_id, sum(given) / len(given))
        for form, given in scores.items()
    }


def _is_answer(label: str | None, answer: str) -> bool:
    return bool(label) and (parse_object(label or "") is not None or parse_object(answer) is None)
