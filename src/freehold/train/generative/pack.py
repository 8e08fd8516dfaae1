"""Examples into rows, rows into batches: little padding, nothing lost, the same every time.

Either each example is a row, and those of like length share a batch; attention then looks at no more than an example.
Or rows of one length are filled by best fit, longest first (Krell et al. 2021 show that this leaves almost no padding
for language models), and their examples are kept apart by `segments` and `positions`.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load, save

from freehold.train.generative.encode import BEFORE, EVERY, Encoded
from freehold.train.generative.examples import shuffled

NO_LOSS = -100
"""A target that is not learned; what torch's cross entropy passes over by itself."""

ALIKE = 8
"""Batches whose examples are sorted by length together: enough to leave little padding, too few for the longest of all
to come together."""
MORE = 9 / 8
"""Times the tokens wanted: as many may be there where two workers then have as many rows each."""

Ints = npt.NDArray[np.int32]


class Batch(NamedTuple):
    """The rows of one step; all arrays are (rows, width)."""

    tokens: Ints
    """0 where there is padding."""
    positions: Ints
    """From 0 for each example; 0 for padding."""
    segments: Ints
    """0: padding; 1, 2 …: which example of the row."""
    targets: Ints
    """The token to be predicted from this place, which is the next one (shifted already); `NO_LOSS` where none is."""

    @property
    def prompts(self) -> Ints:
        """As `targets`, but of the tokens that are not learned: (rows, width)."""
        found = np.full_like(self.targets, NO_LOSS)
        follows = (self.segments[:, 1:] == self.segments[:, :-1]) & (self.segments[:, 1:] > 0)
        unlearned = follows & (self.targets[:, :-1] == NO_LOSS)
        found[:, :-1][unlearned] = self.tokens[:, 1:][unlearned]
        return found

    @property
    def filled(self) -> int:
        """Tokens that are no padding."""
        return int(np.count_nonzero(self.segments))

    @property
    def learned(self) -> int:
        """Targets that count in the loss."""
        return int(np.count_nonzero(self.targets != NO_LOSS))


def batches(encoded: Sequence[Encoded], batch_tokens: int, pack: int, epoch: int, seed: int) -> list[Batch]:
    """The batches of one epoch, in order; the same arguments give the same batches.

    Args:
        encoded: the examples; those of another epoch are passed over.
        batch_tokens: about so many tokens has a batch, padding included; at least one row.
        pack: length of a row; an example that is longer makes it longer. 0: each example is a row.
        epoch: from 0; or `BEFORE`: what is shown before the first, which stays in its order, as it grows harder.
        seed: of the order.
    """
    shown = [one for one in encoded if one.epoch == epoch or (one.epoch == EVERY and epoch != BEFORE)]
    if not shown:
        return []
    lengths, in_turn = [len(one.tokens) for one in shown], epoch == BEFORE
    order = range(len(shown)) if in_turn else shuffled(len(shown), seed, epoch)
    if pack:
        width = max(pack, *lengths, 0)
        rows = in_order(lengths, width) if in_turn else best_fit(lengths, order, width)
        mixed = rows if in_turn else [rows[at] for at in shuffled(len(rows), seed, -1 - epoch)]
        found = _cut(mixed, max(1, batch_tokens // width))
    else:
        found = alike(lengths, order, batch_tokens)
        found = found if in_turn else [found[at] for at in shuffled(len(found), seed, -1 - epoch)]
    return [_batch([[shown[at] for at in row] for row in rows]) for rows in found]


def _cut(rows: list[list[int]], most: int) -> list[list[list[int]]]:
    """In pieces of at most `most` rows, one about as long as the other."""
    count = -(-len(rows) // most)
    borders = [round(len(rows) * at / count) for at in range(count + 1)]
    return [rows[begin:end] for begin, end in pairwise(borders)]


def alike(lengths: Sequence[int], order: Sequence[int], batch_tokens: int) -> list[list[list[int]]]:
    """Batches of rows of one index of `lengths` each: `ALIKE` batches' worth of `order` at a time, by length."""
    at_a_time = max(1, round(ALIKE * batch_tokens * len(lengths) / sum(lengths)))
    found: list[list[list[int]]] = []
    waiting: list[int] = []
    """In ascending order of length; what is too little for a batch waits for the next ones."""
    for begin in range(0, len(order), at_a_time):
        waiting = sorted([*waiting, *order[begin : begin + at_a_time]], key=lengths.__getitem__)
        last = begin + at_a_time >= len(order)
        while waiting and (last or len(waiting) >= _rows(lengths[waiting[-1]], batch_tokens)):
            begins = max(0, len(waiting) - _rows(lengths[waiting[-1]], batch_tokens))
            found.append([[at] for at in waiting[begins:]])
            del waiting[begins:]
    return found


def _rows(width: int, batch_tokens: int) -> int:
    """Of a batch; an even number where that is not too much."""
    rows = max(1, batch_tokens // width)
    if rows == 1 or rows % 2 == 0:
        return rows
    return rows + 1 if (rows + 1) * width <= MORE * batch_tokens else rows - 1


def best_fit(lengths: Sequence[int], order: Sequence[int], width: int) -> list[list[int]]:
    """Indices of `lengths` in rows of at most `width`: longest first, ties by `order`, each where it leaves least."""
    rows: list[list[int]] = []
    room: dict[int, list[int]] = {}
    """Tokens that are free → rows with so much room, the latest last."""
    rooms: list[int] = []
    """The keys of `room`, ascending."""
    for at in sorted(order, key=lambda index: -lengths[index]):
        length = lengths[at]
        place = bisect_left(rooms, length)
        if place < len(rooms):
            free = rooms[place]
            row = room[free].pop()
            if not room[free]:
                del room[free], rooms[place]
            rows[row].append(at)
        else:
            free, row = width, len(rows)
            rows.append([at])
        left = free - length
        if left > 0:
            if left not in room:
                room[left] = []
                insort(rooms, left)
            room[left].append(row)
    return rows


def in_order(lengths: Sequence[int], width: int) -> list[list[int]]:
    """Indices of `lengths` in rows of at most `width`, one after the other."""
    rows: list[list[int]] = []
    free = 0
    for at, length in enumerate(lengths):
        if length > free:
            rows.append([])
            free = width
        rows[-1].append(at)
        free -= length
    return rows


def shard(batch: Batch, worker: int, workers: int) -> Batch:
    """One worker's rows of a batch, narrowed to what they fill; none where there are fewer rows than workers."""
    mine = Batch(*(array[worker::workers] for array in batch))
    width = int((mine.segments > 0).sum(axis=1).max(initial=0))
    return Batch(*(np.ascontiguousarray(array[:, :width]) for array in mine))


def waste(made: Sequence[Batch]) -> float:
    """Share of all places that are padding."""
    places = sum(batch.tokens.size for batch in made)
    return 1.0 - sum(batch.filled for batch in made) / places if places else 0.0


def _batch(rows: Sequence[Sequence[Encoded]]) -> Batch:
    width = max(sum(len(one.tokens) for one in row) for row in rows)
    shape = (len(rows), width)
    tokens, positions, segments = (np.zeros(shape, np.int32) for _ in range(3))
    targets = np.full(shape, NO_LOSS, np.int32)
    for at, row in enumerate(rows):
        begin = 0
        for number, one in enumerate(row, 1):
            end = begin + len(one.tokens)
            tokens[at, begin:end] = one.tokens
            positions[at, begin:end] = np.arange(end - begin)
            segments[at, begin:end] = number
            targets[at, begin : end - 1] = np.where(one.learn[1:], one.tokens[1:], NO_LOSS)
            begin = end
    return Batch(tokens, positions, segments, targets)


def write_encoded(path: Path, encoded: Sequence[Encoded]) -> None:
    """Keep encoded examples in a safetensors file, for other processes."""
    empty = np.zeros(0, np.int32)
    arrays: dict[str, npt.NDArray[Any]] = {
        "tokens": np.concatenate([empty, *(one.tokens for one in encoded)]),
        "learn": np.concatenate([empty.astype(np.bool_), *(one.learn for one in encoded)]),
        "lengths": np.array([len(one.tokens) for one in encoded], np.int64),
        "epochs": np.array([one.epoch for one in encoded], np.int64),
    }
    path.write_bytes(save(arrays))


def read_encoded(path: Path) -> list[Encoded]:
    """What `write_encoded` kept."""
    found = load(path.read_bytes())
    borders = np.cumsum(found["lengths"])[:-1]
    parts = zip(np.split(found["tokens"], borders), np.split(found["learn"], borders), found["epochs"], strict=True)
    return [Encoded(tokens, learn, int(epoch)) for tokens, learn, epoch in parts] if len(found["lengths"]) else []
