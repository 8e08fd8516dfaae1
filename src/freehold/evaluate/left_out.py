"""What the answers that rights kept out of a dataset probably cost a student in quality. Describes; decides nothing.

Nobody may train on them, so nobody can say what a student would be with them. What can be seen is where they would
have been of use: requests that are nearer to one of them than to any answer that was kept, by the cosine of the
student's own features. The student's loss there and elsewhere is that of its cross-fitted answers: each by models that
had not seen the row. Certify rows are not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from freehold.domain.errors import StoreError
from freehold.evaluate.outlook import NOVELTY_KEPT, evidence_of
from freehold.stats import clopper_pearson_interval
from freehold.store.artifacts import LEFT_OUT, read_dataset, read_student
from freehold.store.traces.read import read_traces
from freehold.upstreams.student import Classifier, build_classifier
from freehold.upstreams.translate import prompt_of

if TYPE_CHECKING:
    from pathlib import Path

    from freehold.store import Store

Matrix: TypeAlias = Any
"""A SciPy sparse matrix, float32; SciPy has no types for it."""
MOST = 5_000
"""Of more kept or left-out prompts every k-th is looked at, with the same k for both."""
MOST_ASKED = 1_000
"""So many held-out prompts are compared."""
_BLOCK = 100
DELTA = 0.05


class Rate(msgspec.Struct, frozen=True):
    """How often the student's answer differs from the incumbent's."""

    wrong: int
    rows: int
    lower: float
    upper: float
    """Exact two-sided interval at 95% (Clopper and Pearson)."""


class DeniedCost(msgspec.Struct, frozen=True):
    """See above."""

    share: float
    """Of all whole answers of the incumbent, what rights kept out."""
    prompts: int
    """Left-out prompts that were looked at; a forgotten one cannot be."""
    strangers: int
    """Of these, too novel for the student: such requests go to the incumbent."""
    asked: int
    """Held-out prompts that were compared."""
    nearer: Rate
    """Among held-out prompts nearer to a left-out prompt than to any that was kept."""
    rest: Rate
    """Among the others."""


def denied_cost(store: Store, student_id: str) -> DeniedCost | None:
    """What rights cost this student; None where they kept nothing out, or nothing of it can be read any more.

    Raises:
        NotFound: no such student, or its dataset or task is gone.
        StudentError, StoreError: its files, or the traces, are missing, changed or cannot be read.
    """
    student, dataset, _ = evidence_of(store, student_id)
    if not dataset.denied or student.kind != "classifier":  # a generative one has no features to compare by
        return None
    left_out = _left_out_prompts(store, store.data / dataset.path / LEFT_OUT)
    rows = [sample for sample in read_dataset(store.data / dataset.path, dataset.sha256) if sample.part == "fit"]
    if not left_out or not rows:
        return None
    manifest, tensors = read_student(store.data / student.path, student.sha256)
    classifier = build_classifier(manifest, tensors)
    uniform = np.flatnonzero(tensors["fit_uniform"].astype(bool))
    asked = uniform[:: -(-len(uniform) // MOST_ASKED)] if len(uniform) else uniform
    step = -(-max(len(rows), len(left_out)) // MOST)
    kept = np.arange(0, len(rows), step)
    left_out = left_out[::step]
    nearer = _is_nearer(
        lambda prompts: _features(classifier, len(tensors["idf"]), prompts),
        [row.prompt for row in rows],
        asked,
        kept,
        left_out,
    )
    wrong = tensors["fit_wrong"].astype(bool)[asked]
    limit = float(np.quantile(tensors["fit_novelty"][uniform], NOVELTY_KEPT)) if len(uniform) else 0.0
    return DeniedCost(
        share=sum(item.share for item in dataset.denied),
        prompts=len(left_out),
        strangers=sum(classifier.featurise(prompt).novelty > limit for prompt in left_out),
        asked=len(asked),
        nearer=_rate(wrong[nearer]),
        rest=_rate(wrong[~nearer]),
    )


def _left_out_prompts(store: Store, path: Path) -> list[str]:
    """The prompts whose answers rights kept out, oldest first."""
    import polars as pl
    from polars.exceptions import PolarsError

    if not path.exists():
        return []
    try:
        rows = pl.read_parquet(path).filter(pl.col("step") == "rights").get_column("row").to_list()
    except (OSError, PolarsError) as error:
        raise StoreError(f"{path} cannot be read: {error}.", "Put it back from a backup, or delete it.") from error
    traces = read_traces(store, trace_ids=rows, columns=("request", "api"))
    prompts = (prompt_of(body, api) for body, api in traces.iter_rows())
    return [prompt for prompt in prompts if prompt is not None]


def _is_nearer(
    features: Callable[[Sequence[str]], Matrix],
    prompts: Sequence[str],
    asked: npt.NDArray[np.intp],
    kept: npt.NDArray[np.intp],
    left_out: Sequence[str],
) -> npt.NDArray[np.bool_]:
    """(asked,): whether a left-out prompt is nearer than every kept one but the prompt itself."""
    kept_rows = features([prompts[int(row)] for row in kept]).T.tocsc()
    left_rows = features(left_out).T.tocsc()
    asked_rows = features([prompts[int(row)] for row in asked])
    nearer = np.zeros(len(asked), np.bool_)
    for start in range(0, len(asked), _BLOCK):
        block = asked_rows[start : start + _BLOCK]
        to_kept = (block @ kept_rows).toarray()
        to_kept[asked[start : start + _BLOCK, None] == kept[None, :]] = -1.0
        nearer[start : start + _BLOCK] = (block @ left_rows).max(axis=1).toarray().ravel() > to_kept.max(axis=1)
    return nearer


def _features(classifier: Classifier, columns: int, prompts: Sequence[str]) -> Matrix:
    """One row per prompt: the word and the character view side by side, each of unit length, (n, columns)."""
    import scipy.sparse as sp

    found = [classifier.featurise(prompt) for prompt in prompts]
    lengths = [features.size for features in found]
    places = np.concatenate([np.concatenate((one.words, one.characters)) for one in found])
    weights = np.concatenate([np.concatenate((one.word_weights, one.character_weights)) for one in found])
    starts = np.concatenate(([0], np.cumsum(lengths)))
    return sp.csr_matrix((weights, places, starts), shape=(len(found), columns))


def _rate(wrong: npt.NDArray[np.bool_]) -> Rate:
    lower, upper = clopper_pearson_interval(int(wrong.sum()), len(wrong), DELTA)
    return Rate(int(wrong.sum()), len(wrong), lower, upper)


def in_words(cost: DeniedCost) -> str:
    """The cost in two sentences."""
    where = f"{cost.nearer.rows / cost.asked:.0%} of requests" if cost.asked else "No request"
    loss = f"its loss there is {_figures(cost.nearer)}, elsewhere {_figures(cost.rest)}"
    return (
        f"Rights kept {cost.share:.0%} of the answers out; {cost.strangers} of {cost.prompts} such prompts are strange "
        f"to the student. {where} are nearer to one of them than to what was kept: {loss}."
    )


def _figures(rate: Rate) -> str:
    if not rate.rows:
        return "not known"
    return f"{rate.wrong / rate.rows:.1%} ({rate.lower:.1%} to {rate.upper:.1%})"
