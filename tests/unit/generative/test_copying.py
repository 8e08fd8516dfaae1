"""Exercises in copying: what is learned stands in the prompt, every token has its turn; once, before all else."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import tiny_runs
import torch
from generative_rows import recipe, tickets

from freehold.train.generative.copying import FEWEST, LONGEST, LONGEST_SPAN, MOST, REPEATING, exercises
from freehold.train.generative.encode import BEFORE
from freehold.train.generative.loop import _Training, train
from freehold.train.generative.pack import batches, read_encoded
from freehold.train.generative.prepare import prepare
from freehold.train.generative.spec import SPEC, Spec, write_examples, write_json
from freehold.train.generative.team import Team

ROWS = tickets(200)
PREPARED = prepare(ROWS, recipe(data={"copying": 400}, model={"from": "scratch", "vocabulary": 400}), None, 1)


def test_what_is_learned_of_an_exercise_stands_in_its_prompt_after_the_same_marker() -> None:
    tokenizer = PREPARED.tokenizer
    end, assistant = (tokenizer.core.token_to_id(token) for token in ("<|end|>", "<|assistant|>"))
    copied: set[int] = set()
    for number, one in enumerate(exercises(400, tokenizer, 1)):
        tokens, learn = one.tokens.tolist(), one.learn.tolist()
        border = tokens.index(end)
        assert tokens[border + 1] == assistant and tokens[-1] == end and learn[-1] and not any(learn[: border + 2])
        asked, answer = tokens[1:border], list(zip(tokens, learn, strict=True))[border + 2 : -1]
        markers = [at for at, (_, learned) in enumerate(answer) if not learned]
        assert FEWEST <= len(markers) <= MOST if number >= REPEATING * 400 else not markers
        for begin, stop in pairwise([*(markers or [0]), len(answer)]):
            span = [token for token, _ in answer[begin:stop]]
            assert any(asked[at : at + len(span)] == span for at in range(len(asked)))
            assert len(span) <= (1 + LONGEST_SPAN if markers else LONGEST)
            copied |= set(span[1:])
    assert not copied & set(range(6)), "a special token was to be copied"
    assert len(copied) > 0.98 * (tokenizer.size - 6)


def test_exercises_are_the_same_for_the_same_seed_and_none_is_looked_at() -> None:
    one, again, other = (exercises(20, PREPARED.tokenizer, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a.tokens, b.tokens) for a, b in zip(one, again, strict=True))
    assert not all(np.array_equal(a.tokens, b.tokens) for a, b in zip(one, other, strict=True))
    assert sum(one.epoch == BEFORE for one in PREPARED.fit) == 400
    assert not any(one.epoch == BEFORE for one in PREPARED.tune)
    without = prepare(ROWS, recipe(model={"from": "scratch", "vocabulary": 400}), None, 1)
    assert not any(one.epoch == BEFORE for one in without.fit) and len(PREPARED.fit) == len(without.fit) + 400


def test_exercises_are_shown_once_before_the_first_epoch() -> None:
    def shown(epoch: int) -> int:
        return sum(int(batch.segments.max(axis=1).sum()) for batch in batches(PREPARED.fit, 512, 256, epoch, 1))

    assert shown(BEFORE) == 400 and shown(0) == shown(1) == len(PREPARED.fit) - 400


def _run_of(folder: Path) -> tuple[Path, Spec]:
    """A run with exercises, as `fit` prepares it."""
    run, spec = tiny_runs.lay_out(folder, tiny_runs.recipe_of(checkpoint_every=3))
    rows = [one._replace(epoch=BEFORE) for one in tiny_runs.backwards(200, seed=5)]
    digest = write_examples(run, {"fit": [*rows, *read_encoded(run / "fit.safetensors")], "tune": []})
    spec = Spec(recipe=spec.recipe, seed=spec.seed, start=spec.start, data_sha256=digest)
    write_json(run / SPEC, spec)
    return run, spec


def test_a_run_that_was_stopped_in_its_exercises_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    whole = train(*_run_of(tmp_path / "whole"))
    assert whole is not None and whole.epochs == 2.0
    run, spec = _run_of(tmp_path / "stopped")
    rows = read_encoded(run / "fit.safetensors")
    before, per_epoch = (len(batches(rows, 512, 0, epoch, spec.seed)) for epoch in (BEFORE, 0))
    assert whole.steps == before + 2 * per_epoch and before > 3
    assert whole.tokens == sum(len(one.tokens) * (1 if one.epoch == BEFORE else 2) for one in rows)
    begun = _Training(run, spec, torch.device("cpu"), Team())
    for batch, _ in zip(begun._batches_left(), range(3), strict=False):
        begun._step(batch)
        begun._state.step += 1
        begun._state.tokens += batch.filled
    begun._checkpoint()
    resumed = train(run, spec)
    assert resumed is not None and resumed.sha256 == whole.sha256 and resumed.tokens == whole.tokens
