"""A student made of a file of agents' runs, without a task: rows → rights → tokens → weights → a student's folder.

The rows are those of `freehold episode export --format chat`. Each says under which terms what it teaches was got;
rights are asked again now, and a row that says nothing is not learned from.
"""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec

from freehold.domain.errors import ConfigError, EvidenceError, RequestError, RightsError
from freehold.domain.evidence import Verdict
from freehold.domain.rights import UNKNOWN
from freehold.rights import TrainingJudge
from freehold.rights.words import basis, what_to_do
from freehold.serving import GenerativeManifest, learn_gate
from freehold.serving.folder import ADAPTER, MODEL, BaseUsed
from freehold.serving.gate import VOCABULARY
from freehold.store.artifacts import adopt_student
from freehold.train.generative.augment import augmented
from freehold.train.generative.encode import encode
from freehold.train.generative.examples import Example
from freehold.train.generative.fit import Fit, fit
from freehold.train.generative.launch import TrainBy, train_here
from freehold.train.generative.prepare import Prepared
from freehold.train.generative.spec import BaseStart, ScratchStart, write_json
from freehold.train.generative.tokenizer import read_tokenizer, train_tokenizer
from freehold.train.generative.trajectories import nothing_in, read_rows, trajectory_examples
from freehold.train.progress import Progress
from freehold.train.recipes import Recipe, Scratch

TUNE_SHARE = 10
"""Of so many trajectories one says when to stop."""
TRAINING = "training.json"
"""In the student's folder: what it was trained on, by which verdicts, and how it went."""


class Runs(NamedTuple):
    """What a file teaches."""

    sha256: str
    """Of the file."""
    fit: list[Example]
    tune: list[Example]
    left_out: Counter[str]
    """Why how many rows teach nothing."""
    refused: Counter[str]
    """Terms → how many rows of them may not be learned from."""
    verdicts: tuple[Verdict, ...]
    """On every set of terms in the file."""


class Base(NamedTuple):
    """A base model that was checked, and where it lies."""

    used: BaseUsed
    folder: Path


class MadeOfRuns(NamedTuple):
    """A student that was made."""

    folder: Path
    sha256: str
    """Of its manifest."""
    manifest: GenerativeManifest
    fit: Fit
    left_out: Counter[str]
    """Why how many rows were not learned from: those of the file, and those that did not fit."""


def read_runs(path: Path, judge: TrainingJudge) -> Runs:
    """What may be learned of a file.

    Args:
        path: of the file.
        judge: says for which terms training is permitted.

    Raises:
        EvidenceError: it cannot be read, or holds nothing to learn.
        RightsError: none of its rows may be learned from.
    """
    rows = read_rows(path)
    if not rows:
        raise nothing_in(path, {})
    permitted: list[dict[str, Any]] = []
    refused: Counter[str] = Counter()
    for row in rows:
        denied = next((terms for terms in terms_of(row) if not judge.verdict(terms).permits), None)
        if denied is None:
            permitted.append(row)
        else:
            refused[denied] += 1
    if not permitted:
        raise _all_refused(path, refused, judge)
    examples, left_out = trajectory_examples(permitted)
    if not examples:
        raise nothing_in(path, left_out)
    to_fit, to_tune = parted(examples)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Runs(
        digest, to_fit, to_tune, left_out, refused, tuple(verdict for _, verdict in sorted(judge.given.items()))
    )


def terms_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The terms that a row says what its model wrote was got under; `unknown` where it says none."""
    told: Any = row.get("freehold")
    terms: Any = cast("dict[str, Any]", told).get("terms") if isinstance(told, dict) else None
    if not isinstance(terms, list) or not terms:
        return (UNKNOWN,)
    return tuple(one if isinstance(one, str) else UNKNOWN for one in cast("list[Any]", terms))


def parted(examples: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """Those to learn and those that say when to stop, by a hash of the trajectory's id: the same in every file."""
    to_fit: list[Example] = []
    to_tune: list[Example] = []
    for example in examples:
        told = example.trace_id or msgspec.json.encode(example.turns).decode()
        drawn = int.from_bytes(hashlib.sha256(told.encode("utf-8", "surrogatepass")).digest()[:8], "big")
        (to_tune if drawn % TUNE_SHARE == 0 else to_fit).append(example)
    return (to_fit, to_tune) if to_fit else (to_tune, [])


def train_on_runs(
    runs: Runs,
    recipe: Recipe,
    base: Base | None,
    seed: int,
    to: Path,
    watch: Callable[[Progress], None],
    train_by: TrainBy = train_here,
) -> MadeOfRuns:
    """Train, and put the student's folder at `to`; what is under way lies beside it, and is carried on with.

    Raises:
        ConfigError: the recipe wants what a file of runs has not.
        RequestError: there is something at `to` already.
        EvidenceError: most rows are too long, or none is left.
        TrainingError: it cannot be begun or carried on: what to do.
        StoreError: the folder cannot be written.
    """
    check_place(recipe, to)
    prepared = _prepared(runs, recipe, base, seed)
    work = to.with_name(f".{to.name}.run")
    # Of a run by another recipe that was stopped just before its end.
    shutil.rmtree(work / (MODEL if recipe.adapter is not None else ADAPTER), ignore_errors=True)
    fitted = fit(work, recipe, prepared.fit, prepared.tune, seed, prepared.start, watch, train_by)
    if (work / MODEL).is_dir():
        prepared.tokenizer.save(work / MODEL)
    manifest = _manifest(runs, recipe, base, seed, fitted)
    left_out = runs.left_out + prepared.left_out
    write_json(work / TRAINING, _told(runs, fitted, left_out))
    gate = learn_gate(turn.text for example in runs.fit for turn in example.turns if turn.role == "user")
    tensors: dict[str, Any] = {VOCABULARY: gate.vocabulary}
    sha256 = adopt_student(to, work, msgspec.to_builtins(manifest), tensors)
    return MadeOfRuns(to, sha256, manifest, fitted, left_out)


def check_place(recipe: Recipe, to: Path) -> None:
    """Find out before anything is read whether it could be put there.

    Raises:
        ConfigError, RequestError: see `train_on_runs`.
    """
    if recipe.method == "dpo":
        raise ConfigError(
            f"The recipe {recipe.name} learns preferences, and a file of runs has no pairs of answers.",
            "Take `trajectory`, `lora` or `full`; preferences are learned by a task's student (`freehold train`).",
        )
    if to.exists():
        raise RequestError(f"There is something at {to} already.", "Give --to a folder that does not exist yet.")


def _prepared(runs: Runs, recipe: Recipe, base: Base | None, seed: int) -> Prepared:
    if base is not None:
        tokenizer, start = read_tokenizer(base.folder), BaseStart(folder=str(base.folder))
    else:
        assert isinstance(recipe.model, Scratch)
        tokenizer = train_tokenizer(map(_asked_and_answered, runs.fit), recipe.model, recipe.data.context)
        start = ScratchStart(vocabulary=tokenizer.size, pad=tokenizer.ids.pad, end=tokenizer.ids.end)
    to_fit, left_out = encode(augmented(runs.fit, recipe, seed), tokenizer, recipe)
    try:
        to_tune, also = encode(runs.tune, tokenizer, recipe) if runs.tune else ([], Counter[str]())
    except EvidenceError:  # few rows, and too long all of them: nothing then says when to stop
        to_tune, also = [], Counter[str]({"too long to say when to stop": len(runs.tune)})
    return Prepared(to_fit, to_tune, tokenizer, start, left_out + also)


def _asked_and_answered(example: Example) -> tuple[str, str]:
    """For a tokenizer."""
    asked, answered = (
        "\n".join(text for turn in example.turns if turn.learn is learn for text in (turn.text, *turn.calls))
        for learn in (False, True)
    )
    return asked, answered


def _manifest(runs: Runs, recipe: Recipe, base: Base | None, seed: int, fitted: Fit) -> GenerativeManifest:
    context = recipe.data.context
    return GenerativeManifest(
        task="",
        dataset="",
        dataset_sha256=runs.sha256,
        seed=seed,
        recipe=msgspec.to_builtins(recipe),
        weights="full" if recipe.adapter is None else "adapter",
        base=base.used if base is not None else None,
        context=context if base is None else max(context, base.used.context),
        max_answer_tokens=recipe.max_answer_tokens,
        parameters=fitted.parameters,
        input_tokens_fixed=0.0,
        input_tokens_per_character=0.0,
        output_tokens_per_character=0.0,
    )


def _told(runs: Runs, fitted: Fit, left_out: Counter[str]) -> dict[str, Any]:
    """Nothing of it changes from run to run: the folder's hash is to be the same each time."""
    kept = ("steps", "epochs", "fit_loss", "tune_loss", "tokens", "stopped", "environment", "sha256", "parameters")
    return {
        "rows": {"fit": len(runs.fit), "tune": len(runs.tune), "refused": runs.refused, "left_out": left_out},
        "file_sha256": runs.sha256,
        "verdicts": runs.verdicts,
        "fit": {name: getattr(fitted, name) for name in kept},
    }


def _all_refused(path: Path, refused: Counter[str], judge: TrainingJudge) -> RightsError:
    terms, count = refused.most_common(1)[0]
    verdict = judge.verdict(terms)
    hint = what_to_do(verdict)
    if terms == UNKNOWN:
        hint = (
            "Export the runs again by `freehold episode export --format chat`, with the upstreams' `terms` set: each "
            "row then says them."
        )
    return RightsError(
        f"None of the {refused.total():,} rows of {path} may be trained on: of {count:,} the terms are {terms}, and "
        f"{verdict.reason} {basis(verdict.source, verdict.date)}",
        hint,
    )
