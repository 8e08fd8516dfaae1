"""Keys and values of what was computed: one slot per running request, and those of ended ones for shared beginnings.

Slots in use are always the first ones, without gaps, so that a step looks at one contiguous piece of memory.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from freehold.serving.engine.config import ModelConfig

LEAST_SHARED = 16
"""Tokens: computing fewer costs less than looking for them."""
_BRANCHES = 8
"""Kept requests that begin alike: conversations under the same instructions."""
_SPARE = 1 / 4
"""Share of the memory of the slots that ended requests may have."""


class Slots:
    """Keys and values: each (layers, slots, kv heads, context, head dim)."""

    def __init__(self, config: ModelConfig, slots: int, context: int, like: Any) -> None:
        torch: Any = import_module("torch")
        shape = (config.layers, slots, config.kv_heads, context, config.head_dim)
        self.context = context
        self.slots = slots
        self.keys: Any = torch.zeros(shape, dtype=like.dtype, device=like.device)
        self.values: Any = torch.zeros(shape, dtype=like.dtype, device=like.device)

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` positions of a slot to another."""
        for tensor in (self.keys, self.values):
            tensor[:, target, :, :length] = tensor[:, source, :, :length]

    def clear(self, slot: int) -> None:
        """Set a slot to zero: numbers that are none would spoil whoever has it next."""
        self.keys[:, slot] = 0
        self.values[:, slot] = 0

    def take(self, slot: int, length: int) -> tuple[Any, Any]:
        """A copy of the first `length` positions: two tensors (layers, kv heads, length, head dim)."""
        return self.keys[:, slot, :, :length].clone(), self.values[:, slot, :, :length].clone()

    def put(self, slot: int, kept: tuple[Any, Any], length: int) -> None:
        """Write the first `length` positions of what `take` gave."""
        self.keys[:, slot, :, :length] = kept[0][:, :, :length]
        self.values[:, slot, :, :length] = kept[1][:, :, :length]


class Kept(NamedTuple):
    """An ended request's tokens, and their keys and values."""

    tokens: npt.NDArray[np.int32]
    content: tuple[Any, Any]


class Beginnings:
    """Ended requests, found by their first tokens; those least recently used make place for others.

    `owner` keeps weights apart: the same tokens have other keys under another adapter.
    """

    def __init__(self, most_tokens: int) -> None:
        """`most_tokens`: kept at once, over all."""
        self._most = most_tokens
        self._held = 0
        self._kept: OrderedDict[tuple[Hashable, bytes], list[Kept]] = OrderedDict()

    @staticmethod
    def budget(slots: int, context: int) -> int:
        """Tokens that may be kept beside `slots` of `context`."""
        return int(slots * context * _SPARE)

    def find(self, owner: Hashable, tokens: npt.NDArray[np.int32]) -> tuple[tuple[Any, Any], int] | None:
        """Keys and values whose first tokens are those of `tokens`, and how many; None: too few to be of use."""
        key = (owner, tokens[:LEAST_SHARED].tobytes())
        branches = self._kept.get(key)
        if branches is None:
            return None
        self._kept.move_to_end(key)
        length, place = max((common(kept.tokens, tokens), place) for place, kept in enumerate(branches))
        branches.append(branches.pop(place))
        return branches[-1].content, length

    def wants(self, owner: Hashable, tokens: npt.NDArray[np.int32]) -> bool:
        """Whether keeping these tokens adds something."""
        if len(tokens) < LEAST_SHARED or len(tokens) > self._most:
            return False
        branches = self._kept.get((owner, tokens[:LEAST_SHARED].tobytes()), ())
        return all(common(kept.tokens, tokens) < len(tokens) for kept in branches)

    def keep(self, owner: Hashable, tokens: npt.NDArray[np.int32], content: tuple[Any, Any]) -> None:
        """Keep them, in place of what they go on from, or of the oldest of many with the same beginning."""
        key = (owner, tokens[:LEAST_SHARED].tobytes())
        before = self._kept.pop(key, [])
        kept = [one for one in before if common(one.tokens, tokens) < len(one.tokens)][1 - _BRANCHES :]
        self._kept[key] = [*kept, Kept(tokens, content)]
        self._held += sum(len(one.tokens) for one in self._kept[key]) - sum(len(one.tokens) for one in before)
        while self._held > self._most:
            _, oldest = self._kept.popitem(last=False)
            self._held -= sum(len(one.tokens) for one in oldest)

    def forget(self, owner: Hashable) -> None:
        """Drop all of one owner."""
        for key in [key for key in self._kept if key[0] == owner]:
            self._held -= sum(len(one.tokens) for one in self._kept.pop(key))


def common(first: npt.NDArray[np.int32], second: npt.NDArray[np.int32]) -> int:
    """How many tokens two sequences have in common at their beginning."""
    length = min(len(first), len(second))
    different = np.flatnonzero(first[:length] != second[:length])
    return int(different[0]) if len(different) else length


def as_tokens(tokens: Sequence[int]) -> npt.NDArray[np.int32]:
    """Tokens as they are compared."""
    return np.asarray(tokens, np.int32)
