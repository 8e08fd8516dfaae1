"""The loss of each audited answer, by the scorer that the certificate names.

A loss that took work (a sandbox, a query, a judge's dollars) is worked out once and kept in a file of the data folder,
one line each; the file may be deleted, which costs that work again.

What cannot be scored because of the answer counts as lost, as it did when the ladder was certified. What nobody has
judged, or what could not be looked at because the scorer itself does not work, has no loss: the audit told nothing.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import polars as pl

from freehold.domain.answers import disagreement
from freehold.domain.errors import EvidenceError, FreeholdError, RequestError
from freehold.domain.scoring import FeedbackScorer, JudgeScorer, Scorer, harm, signed
from freehold.scorers import Ask, Context, compare_async, context_of, judge_agreement, may_certify, preference
from freehold.store.traces.delta import collect
from freehold.store.traces.read import read_feedback
from freehold.upstreams.translate import chat_request

if TYPE_CHECKING:
    from freehold.domain.evidence import Certificate
    from freehold.scorers.agreement import Preference
    from freehold.store import Store

SECONDS = 2.0
"""Spent on scoring in one turn, about: a rollback of another task waits no longer."""
AT_ONCE = 4
MOST = 64
"""Audits scored in one turn."""
_scorer = msgspec.json.Decoder(Scorer)


class Kept(msgspec.Struct, frozen=True):
    """The scores of one audit: a line of the file."""

    audit: str
    reference: float | None
    answer: float | None
    failed: str = ""


class Losses(NamedTuple):
    """What audits came to."""

    known: dict[str, float]
    """Audit → loss, in the order they were made."""
    unscored: int = 0
    """Of these, how many count as lost because they could not be scored."""
    pending: int = 0
    """Audits still to be scored."""
    trouble: str = ""
    """Why the scorer does not work."""
    disbelieved: str = ""
    """Why a judge's scores cannot hold a certificate up."""


_line = msgspec.json.Decoder(Kept)


def scorer_of(certificate: Certificate) -> Scorer | None:
    """The scorer that the certificate was issued for; None: answers agree or not.

    Raises:
        EvidenceError: this release does not know it.
    """
    if not certificate.scorer:
        return None
    try:
        return _scorer.decode(certificate.scorer)
    except msgspec.DecodeError as error:
        raise EvidenceError(
            f"The scorer of certificate {certificate.certificate_id} cannot be understood: {error}.",
            "Run the release that issued it.",
        ) from error


def losses_of(store: Store, certificate: Certificate, pairs: pl.DataFrame, ask: Ask | None = None) -> Losses:
    """The losses of `pairs` (see `freehold.monitor.pairs`), as many as can be worked out now.

    Raises:
        StoreError: the tables or the file cannot be read or written.
    """
    try:
        scorer = scorer_of(certificate)
    except EvidenceError as error:
        return Losses({}, pending=pairs.height, trouble=str(error))
    if scorer is None:
        texts = pairs.select("trace_id", pl.col("owned_answer", "answer").fill_null(""))
        return Losses({audit: disagreement(given, reference) for audit, given, reference in texts.iter_rows()})
    path = store.data / "audits" / f"{certificate.certificate_id}.jsonl"
    kept = {} if isinstance(scorer, FeedbackScorer) else _read(path)  # people may judge later, or again
    new = pairs.filter(~pl.col("trace_id").is_in(list(kept)))
    fresh, trouble = _score(store, scorer, new, ask)
    if not isinstance(scorer, FeedbackScorer):
        _append(path, fresh)
    kept |= {item.audit: item for item in fresh}
    found = _counted(certificate, scorer, pairs.get_column("trace_id").to_list(), kept)
    disbelieved = _disbelieved(store, scorer, pairs, kept) if isinstance(scorer, JudgeScorer) else ""
    return found._replace(trouble=trouble, disbelieved=disbelieved)


def _counted(certificate: Certificate, scorer: Scorer, audits: Sequence[str], kept: Mapping[str, Kept]) -> Losses:
    loss = signed if certificate.loss == "signed" else harm
    people = isinstance(scorer, FeedbackScorer | JudgeScorer)
    there = [kept[audit] for audit in audits if audit in kept]
    counted = [item for item in there if not (people and item.failed)]
    return Losses(
        known={item.audit: loss(item.reference, item.answer) for item in counted},
        unscored=sum(1 for item in counted if item.failed),
        pending=len(audits) - len(there),
    )


def _score(store: Store, scorer: Scorer, pairs: pl.DataFrame, ask: Ask | None) -> tuple[list[Kept], str]:
    """Scores of as many pairs, the oldest first, as `SECONDS` allow, and what the scorer stumbled over."""
    found: list[Kept] = []
    some = pairs.head(MOST)
    contexts = _contexts(store, some) if some.height else {}
    until = time.monotonic() + SECONDS
    for start in range(0, some.height, AT_ONCE):
        try:
            found += asyncio.run(_compared(scorer, some.slice(start, AT_ONCE), contexts, ask))
        except FreeholdError as error:
            return found, str(error)
        if time.monotonic() > until:
            break
    return found, ""


async def _compared(
    scorer: Scorer, pairs: pl.DataFrame, contexts: Mapping[str, Context], ask: Ask | None
) -> list[Kept]:
    rows = list(pairs.select("trace_id", "of", "owned_answer", "answer").iter_rows())
    compared = await asyncio.gather(
        *(compare_async(scorer, given, reference, contexts[of], ask) for _, of, given, reference in rows)
    )
    return [
        Kept(audit, one.reference.value, one.answer.value, one.failed)
        for (audit, _, _, _), one in zip(rows, compared, strict=True)
    ]


def _contexts(store: Store, pairs: pl.DataFrame) -> dict[str, Context]:
    """What else is known of each request, by its trace id."""
    audit_of = dict(pairs.select("of", "trace_id").iter_rows())
    bodies = collect(
        store.traces.scan()
        .filter((pl.col("kind") == "request") & pl.col("trace_id").is_in(list(audit_of)))
        .select("trace_id", "request", "api")
    )
    people = _feedback(store, [*audit_of, *audit_of.values()])
    found: dict[str, Context] = {}
    for of, body, api in bodies.iter_rows():
        said, of_reference = people.get(of, ()), people.get(audit_of[of], ())
        try:
            found[of] = context_of(chat_request(body, api), said, of_reference)
        except RequestError:
            found[of] = Context(feedback=said, reference_feedback=of_reference)
    return found


def _feedback(store: Store, trace_ids: list[str]) -> dict[str, tuple[float, ...]]:
    found: dict[str, tuple[float, ...]] = {}
    for trace_id, value in (
        read_feedback(store, trace_ids=trace_ids).select("trace_id", "score").drop_nulls().iter_rows()
    ):
        found[trace_id] = (*found.get(trace_id, ()), value)
    return found


def _disbelieved(store: Store, scorer: JudgeScorer, pairs: pl.DataFrame, kept: Mapping[str, Kept]) -> str:
    """Why the judge is not to be believed, as far as people have judged the same answers; empty if it is.

    Few such answers are no reason: the judge was believed when it certified.
    """
    people = _feedback(store, [*pairs.get_column("of").to_list(), *pairs.get_column("trace_id").to_list()])
    both: list[tuple[Preference, Preference]] = [
        (preference(item.answer, item.reference), preference(statistics.fmean(said), statistics.fmean(of_reference)))
        for audit, of in pairs.select("trace_id", "of").iter_rows()
        if (item := kept.get(audit)) is not None and item.answer is not None and item.reference is not None
        if (said := people.get(of)) and (of_reference := people.get(audit))
    ]
    agreement = judge_agreement(both)
    if agreement.pairs < scorer.minimum_pairs:
        return ""
    try:
        may_certify(agreement, scorer.minimum_agreement, scorer.minimum_pairs)
    except EvidenceError as error:
        return error.message
    return ""


def _read(path: Path) -> dict[str, Kept]:
    """Audit → its scores. A last line cut off by a crash is worked out again."""
    if not path.exists():
        return {}
    return {item.audit: item for item in _lines(path.read_bytes())}


def _lines(data: bytes) -> Iterator[Kept]:
    for line in data.split(b"\n"):
        try:
            yield _line.decode(line)
        except msgspec.DecodeError:
            continue


def _append(path: Path, items: Sequence[Kept]) -> None:
    if not items:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:  # begins with a line end: what a crash cut off spoils no line but its own
        file.write(b"".join(b"\n" + msgspec.json.encode(item) for item in items))
