"""Packing: nothing is lost or shown twice, hardly any padding, the same batches for the same seed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.train.generative.encode import Encoded
from freehold.train.generative.pack import NO_LOSS, Batch, batches, best_fit, read_encoded, shard, waste, write_encoded

LENGTHS = st.lists(st.integers(2, 40), max_size=60)


def encoded(lengths: list[int], seed: int = 0) -> list[Encoded]:
    draw = np.random.default_rng(seed)
    return [
        Encoded(draw.integers(1, 500, length).astype(np.int32), draw.random(length) < 0.5, -1) for length in lengths
    ]


def seen(made: list[Batch]) -> Counter[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Each example that batches show, as its tokens and targets."""
    found: Counter[tuple[tuple[int, ...], tuple[int, ...]]] = Counter()
    for batch in made:
        for tokens, positions, segments, targets in zip(*batch, strict=True):
            for number in range(1, segments.max() + 1):
                here = np.flatnonzero(segments == number)
                assert (np.diff(here) == 1).all() and (positions[here] == np.arange(len(here))).all()
                found[tuple(tokens[here].tolist()), tuple(targets[here].tolist())] += 1
            padding = segments == 0
            assert (targets[padding] == NO_LOSS).all() and not tokens[padding].any()
    return found


def expected(examples: list[Encoded]) -> Counter[tuple[tuple[int, ...], tuple[int, ...]]]:
    found: Counter[tuple[tuple[int, ...], tuple[int, ...]]] = Counter()
    for one in examples:
        following = np.where(one.learn[1:], one.tokens[1:], NO_LOSS).tolist()
        found[tuple(one.tokens.tolist()), (*following, NO_LOSS)] += 1
    return found


@given(LENGTHS, st.integers(0, 80), st.just(0) | st.integers(16, 64), st.integers(0, 3), st.integers(0, 3))
@settings(max_examples=150, deadline=None)
def test_every_example_is_shown_once_with_its_targets(
    lengths: list[int], batch_tokens: int, pack: int, epoch: int, seed: int
) -> None:
    examples = encoded(lengths)
    made = batches(examples, batch_tokens, pack, epoch, seed)
    assert seen(made) == expected(examples)
    assert all(batch.tokens.shape[1] <= max(pack, *lengths) for batch in made)
    again = batches(examples, batch_tokens, pack, epoch, seed)
    assert all((a == b).all() for one, other in zip(made, again, strict=True) for a, b in zip(one, other, strict=True))


def test_without_packing_examples_of_like_length_share_a_batch_and_workers_have_as_many_rows_each() -> None:
    draw = np.random.default_rng(3)
    lengths = draw.integers(100, 260, 2000).tolist()
    made = batches(encoded(lengths), 1280, 0, 0, 1)
    assert waste(made) < 0.05 < waste(batches(encoded(lengths), 1280, 256, 0, 1))
    assert all((batch.segments <= 1).all() for batch in made)
    assert all(len(batch.tokens) % 2 == 0 and 0.7 * 1280 <= batch.tokens.size <= 1.125 * 1280 for batch in made[:-1])
    mean = [batch.filled / len(batch.tokens) for batch in made]
    assert mean != sorted(mean) and mean != sorted(mean, reverse=True)


@given(LENGTHS.filter(bool), st.integers(40, 80))
@settings(max_examples=60, deadline=None)
def test_each_token_but_the_first_of_an_example_is_a_target_or_a_prompts(lengths: list[int], batch_tokens: int) -> None:
    examples = encoded(lengths)
    for batch in batches(examples, batch_tokens, 64, 0, 1):
        either = np.where(batch.targets != NO_LOSS, batch.targets, batch.prompts)
        assert not ((batch.targets != NO_LOSS) & (batch.prompts != NO_LOSS)).any()
        for tokens, positions, segments, wanted in zip(
            batch.tokens, batch.positions, batch.segments, either, strict=True
        ):
            later = np.flatnonzero((segments > 0) & (positions > 0))
            assert (wanted[later - 1] == tokens[later]).all()
            assert (np.delete(wanted, later - 1) == NO_LOSS).all()


@given(LENGTHS.filter(bool), st.integers(40, 80), st.randoms())
@settings(max_examples=100, deadline=None)
def test_best_fit_needs_few_rows(lengths: list[int], width: int, draw: object) -> None:
    rows = best_fit(lengths, range(len(lengths)), width)
    assert sorted(at for row in rows for at in row) == list(range(len(lengths)))
    assert all(sum(lengths[at] for at in row) <= width for row in rows)
    least = -(-sum(lengths) // width)
    assert len(rows) <= 1.7 * least + 1  # Johnson et al. 1974: 11/9 of the best, which may itself be over `least`


def test_another_epoch_or_seed_shows_another_order() -> None:
    examples = encoded([20] * 100)
    first = batches(examples, 256, 64, 0, 1)
    for other in (batches(examples, 256, 64, 1, 1), batches(examples, 256, 64, 0, 2)):
        assert not (other[0].tokens == first[0].tokens).all()
        assert seen(other) == seen(first)


def test_examples_of_an_epoch_are_shown_in_it_only() -> None:
    always, first, second = encoded([10, 11, 12])
    examples = [always, first._replace(epoch=0), second._replace(epoch=1)]
    assert seen(batches(examples, 64, 32, 0, 0)) == expected([always, first])
    assert seen(batches(examples, 64, 32, 1, 0)) == expected([always, second])
    assert seen(batches(examples, 64, 32, 2, 0)) == expected([always])
    assert batches(examples[1:2], 64, 32, 5, 0) == []


def test_little_is_wasted_and_batches_are_of_one_size() -> None:
    draw = np.random.default_rng(3)
    made = batches(encoded(draw.integers(20, 90, 3000).tolist()), 1536, 256, 0, 0)
    assert waste(made) < 0.02
    sizes = {len(batch.tokens) for batch in made}
    assert max(sizes) <= 6 and max(sizes) - min(sizes) <= 1
    assert waste([]) == 0.0


@given(LENGTHS.filter(bool), st.integers(1, 4))
@settings(max_examples=50, deadline=None)
def test_shards_are_the_whole_batch(lengths: list[int], workers: int) -> None:
    examples = encoded(lengths)
    made = batches(examples, 200, 50, 0, 0)
    parts = [shard(batch, worker, workers) for batch in made for worker in range(workers)]
    assert seen(parts) == expected(examples)
    assert sum(part.learned for part in parts) == sum(batch.learned for batch in made)
    assert sum(part.filled for part in parts) == sum(lengths)


@given(LENGTHS)
@settings(max_examples=20, deadline=None)
def test_examples_are_kept_in_a_file(tmp_path_factory: object, lengths: list[int]) -> None:
    import tempfile

    examples = [one._replace(epoch=at % 3 - 1) for at, one in enumerate(encoded(lengths))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "examples.safetensors"
        write_encoded(path, examples)
        back = read_encoded(path)
    assert len(back) == len(examples)
    for one, other in zip(back, examples, strict=True):
        assert (one.tokens == other.tokens).all() and (one.learn == other.learn).all() and one.epoch == other.epoch
