"""The decoder for one more token of each request, on the CPU in float32: few operations, and cheap ones.

Small models spend their time between operations, not in them: numpy's cost a third of torch's, so all but the large
products are numpy's, on the same memory and into buffers made once. Products of several rows are torch's, whose library
is quicker at those. The same function as `dense.Dense`.
"""

from __future__ import annotations

from importlib import import_module
from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from freehold.serving.engine.cache import Slots
from freehold.serving.engine.config import ModelConfig
from freehold.serving.engine.dense import Lora
from freehold.serving.engine.weights import PARTS, Weights

Floats = npt.NDArray[np.float32]
# Their arguments by place, which is quicker: axis, dtype, out, keepdims.
_LARGEST: Any = np.maximum.reduce
_TOTAL: Any = np.add.reduce


class _Layer:
    """A layer's matrices, biases, keys and values as numpy arrays (and the matrices as torch's)."""

    def __init__(self, number: int, weights: Weights, slots: Slots) -> None:
        layer = weights.layers[number]
        self.tensors: dict[str, Any] = layer.matrices
        self.arrays: dict[str, Floats] = {part: layer.matrices[part].numpy() for part in PARTS}
        self.biases: dict[str, Any] = layer.biases
        self.heads: Floats | None = None if layer.heads is None else layer.heads.numpy()
        self.keys: Floats = slots.keys[number].numpy()
        self.values: Floats = slots.values[number].numpy()
        self.keys_transposed: Floats = self.keys.swapaxes(2, 3)


class _Buffers:
    """For `rows` requests: every intermediate result, and the views of it that a step needs."""

    def __init__(self, rows: int, config: ModelConfig, context: int) -> None:
        heads, kv, size = config.heads, config.kv_heads, config.head_dim
        self.x = np.zeros((rows, config.hidden), np.float32)
        self.normed = np.zeros((rows, config.hidden), np.float32)
        self.qkv = np.zeros((rows, (heads + 2 * kv) * size), np.float32)
        self.mixed = np.zeros((rows, heads * size), np.float32)
        self.added = np.zeros((rows, config.hidden), np.float32)
        self.gate_up = np.zeros((rows, 2 * config.intermediate), np.float32)
        self.acted = np.zeros((rows, config.intermediate), np.float32)
        self.logits = np.zeros((rows, config.vocabulary), np.float32)
        self.scores = np.zeros(rows * heads * context, np.float32)
        self.peaks = np.zeros((rows, kv, heads // kv, 1), np.float32)
        by_head = self.qkv.reshape(rows, -1, size)
        self.turning = by_head[:, : heads + kv]
        self.turned = self.turning.view(np.complex64)
        self.sizes = np.zeros((rows, heads + kv), np.float32)
        self.queries = by_head[:, :heads].reshape(rows, kv, heads // kv, size)
        self.keys = by_head[:, heads : heads + kv]
        self.values = by_head[:, heads + kv :]
        self.mixed_heads = self.mixed.reshape(rows, kv, heads // kv, size)
        self.gate = self.gate_up[:, : config.intermediate]
        self.up = self.gate_up[:, config.intermediate :]
        self.rows = np.arange(rows)
        torch: Any = import_module("torch")
        named = ("normed", "qkv", "mixed", "added", "gate_up", "acted", "logits")
        self.tensors: dict[str, Any] = {name: torch.from_numpy(getattr(self, name)) for name in named}


class Quick:
    """One token for each of the first slots."""

    def __init__(self, config: ModelConfig, weights: Weights, slots: Slots, turns: npt.NDArray[np.complex64]) -> None:
        torch: Any = import_module("torch")
        self._mm: Any = torch.mm
        self._config = config
        self._context = slots.context
        self._turns = turns
        self._embedding: Floats = weights.embedding.numpy()
        self._head: Floats = weights.head.numpy()
        self._head_tensor = weights.head
        self._layers = [_Layer(number, weights, slots) for number in range(config.layers)]
        self._width = config.heads * config.head_dim
        self._buffers: dict[int, _Buffers] = {}
        # 0 up to where each slot is filled, -inf beyond: added to scores.
        self._beyond = np.full((slots.slots, 1, 1, slots.context), -np.inf, np.float32)

    def fill(self, slot: int, length: int) -> None:
        """Say that a slot holds `length` positions now (after a prompt, or when another slot's were moved there)."""
        self._beyond[slot, ..., :length] = 0
        self._beyond[slot, ..., length:] = -np.inf

    def logits(self, tokens: npt.NDArray[np.int64], positions: npt.NDArray[np.int64], lora: Lora | None) -> Floats:
        """Write tokens (rows,) at positions (rows,) of slots 0, 1, …; what follows each: (rows, vocabulary).

        The result is a buffer: it holds until the next call with as many rows.
        """
        rows = len(tokens)
        buffers = self._buffers.get(rows)
        if buffers is None:
            buffers = self._buffers[rows] = _Buffers(rows, self._config, self._context)
        with np.errstate(over="ignore"):  # exp of a very negative gate: the quotient is then zero, as it should be
            if rows == 1:
                return self._one(buffers, int(tokens[0]), int(positions[0]), lora)
            return self._many(buffers, tokens, positions, lora)

    def _one(self, b: _Buffers, token: int, position: int, lora: Lora | None) -> Floats:
        config = self._config
        end = position + 1
        x, normed, acted = b.x[0], b.normed[0], b.acted[0]
        x[:] = self._embedding[token]
        self._beyond[0, 0, 0, position] = 0
        turn = self._turns[position]
        shape = (1, config.kv_heads, config.heads // config.kv_heads, end)
        scores: Floats = b.scores[: config.heads * end].reshape(shape)
        hidden, epsilon = config.hidden, config.epsilon
        dot, multiply, matmul = np.dot, np.multiply, np.matmul
        largest, total = _LARGEST, _TOTAL
        qkv, mixed, added, gate_up = b.qkv[0], b.mixed[0], b.added[0], b.gate_up[0]
        gate, up = b.gate[0], b.up[0]
        for number, layer in enumerate(self._layers):
            arrays = layer.arrays
            multiply(x, 1.0 / sqrt(dot(x, x) / hidden + epsilon), normed)
            dot(normed, arrays["qkv"], qkv)
            self._extra(number, layer, "qkv", normed, qkv, lora)
            if layer.heads is not None:
                self._norm_heads(b, layer.heads)
            multiply(b.turned, turn, b.turned)
            layer.keys[0, :, position] = b.keys[0]
            layer.values[0, :, position] = b.values[0]
            matmul(b.queries, layer.keys_transposed[:1, :, :, :end], scores)
            scores -= largest(scores, 3, None, b.peaks, True)
            np.exp(scores, scores)
            total(scores, 3, None, b.peaks, True)
            matmul(scores, layer.values[:1, :, :end], b.mixed_heads)
            b.mixed_heads /= b.peaks
            dot(mixed, arrays["o"], added)
            self._extra(number, layer, "o", mixed, added, lora)
            x += added
            multiply(x, 1.0 / sqrt(dot(x, x) / hidden + epsilon), normed)
            dot(normed, arrays["gate_up"], gate_up)
            self._extra(number, layer, "gate_up", normed, gate_up, lora)
            np.exp(gate, acted)
            acted += 1.0
            np.divide(gate, acted, acted)
            acted *= up
            dot(acted, arrays["down"], added)
            self._extra(number, layer, "down", acted, added, lora)
            x += added
        multiply(x, 1.0 / sqrt(dot(x, x) / hidden + epsilon), normed)
        dot(normed, self._head, b.logits[0])
        return b.logits

    def _many(
        self, b: _Buffers, tokens: npt.NDArray[np.int64], positions: npt.NDArray[np.int64], lora: Lora | None
    ) -> Floats:
        config, rows = self._config, len(tokens)
        end = int(positions.max()) + 1
        np.take(self._embedding, tokens, 0, b.x)
        turn = self._turns[positions][:, None]
        groups = config.heads // config.kv_heads
        scores: Floats = b.scores[: rows * config.heads * end].reshape(rows, config.kv_heads, groups, end)
        self._beyond[b.rows, 0, 0, positions] = 0
        beyond = self._beyond[:rows, :, :, :end]
        tensors, mm, x = b.tensors, self._mm, b.x
        for number, layer in enumerate(self._layers):
            weights = layer.tensors
            self._norm(x, b.normed)
            mm(tensors["normed"], weights["qkv"], out=tensors["qkv"])
            self._extras(number, layer, "qkv", tensors["normed"], tensors["qkv"], lora)
            if layer.heads is not None:
                self._norm_heads(b, layer.heads)
            np.multiply(b.turned, turn, b.turned)
            layer.keys[b.rows, :, positions] = b.keys
            layer.values[b.rows, :, positions] = b.values
            np.matmul(b.queries, layer.keys_transposed[:rows, :, :, :end], scores)
            scores += beyond
            scores -= _LARGEST(scores, 3, None, b.peaks, True)
            np.exp(scores, scores)
            _TOTAL(scores, 3, None, b.peaks, True)
            np.matmul(scores, layer.values[:rows, :, :end], b.mixed_heads)
            b.mixed_heads /= b.peaks
            mm(tensors["mixed"], weights["o"], out=tensors["added"])
            self._extras(number, layer, "o", tensors["mixed"], tensors["added"], lora)
            x += b.added
            self._norm(x, b.normed)
            mm(tensors["normed"], weights["gate_up"], out=tensors["gate_up"])
            self._extras(number, layer, "gate_up", tensors["normed"], tensors["gate_up"], lora)
            np.exp(b.gate, b.acted)
            b.acted += 1.0
            np.divide(b.gate, b.acted, b.acted)
            b.acted *= b.up
            mm(tensors["acted"], weights["down"], out=tensors["added"])
            self._extras(number, layer, "down", tensors["acted"], tensors["added"], lora)
            x += b.added
        self._norm(x, b.normed)
        mm(tensors["normed"], self._head_tensor, out=tensors["logits"])
        return b.logits

    def _norm_heads(self, b: _Buffers, by: Floats) -> None:
        """Norm queries and keys where they lie, head by head, and multiply them by `by`."""
        np.einsum("ijk,ijk->ij", b.turning, b.turning, out=b.sizes)
        b.sizes /= self._config.head_dim
        b.sizes += self._config.epsilon
        np.sqrt(b.sizes, b.sizes)
        b.turning /= b.sizes[..., None]
        b.turning *= by

    def _norm(self, x: Floats, out: Floats) -> None:
        squares = np.einsum("ij,ij->i", x, x)
        squares /= self._config.hidden
        squares += self._config.epsilon
        np.sqrt(squares, squares)
        np.divide(x, squares[:, None], out)

    def _extra(self, number: int, layer: _Layer, part: str, x: Floats, y: Floats, lora: Lora | None) -> None:
        """Add a part's bias and its adapter's share to `y`, for one row."""
        bias = layer.biases[part]
        if bias is not None:
            y += bias.numpy()
        if lora is not None:
            factors = lora.mix.arrays[number].get(part)
            if factors is not None:
                y += np.dot(np.dot(x, factors.down), factors.up)

    def _extras(self, number: int, layer: _Layer, part: str, x: Any, y: Any, lora: Lora | None) -> None:
        """Add a part's biases and its adapters' shares to `y`; both torch's."""
        bias = layer.biases[part]
        if bias is not None:
            y += bias
        if lora is not None:
            factors = lora.mix.layers[number].get(part)
            if factors is not None:
                low = self._mm(x, factors.down)
                low *= lora.masks[part]
                y.addmm_(low, factors.up)
