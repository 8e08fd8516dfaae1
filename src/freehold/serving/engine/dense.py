"""The decoder in torch operations: any device, any lengths. Computes prompts everywhere and, on a GPU, all else."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from freehold.serving.engine.adapters import Mix
from freehold.serving.engine.cache import Slots
from freehold.serving.engine.config import ModelConfig
from freehold.serving.engine.weights import Weights


class Piece(NamedTuple):
    """Tokens of one request that are computed now: they follow the `start` positions that its slot holds already."""

    slot: int
    start: int
    tokens: Sequence[int]


class Lora(NamedTuple):
    """The adapters of a batch, and which rows they are for (`Mix.masks`)."""

    mix: Mix
    masks: dict[str, Any]


class Dense:
    """Computes pieces: RMSNorm, rotary embedding, grouped-query attention and SwiGLU (Touvron et al. 2023);
    of Qwen3 also the norms of queries and keys (Henry et al. 2020)."""

    def __init__(self, config: ModelConfig, weights: Weights, slots: Slots, turns: npt.NDArray[np.complex64]) -> None:
        torch: Any = import_module("torch")
        self._torch = torch
        self._functional: Any = import_module("torch.nn.functional")
        self._config = config
        self._weights = weights
        self._slots = slots
        like = weights.embedding
        self._like = like
        self._cos: Any = torch.from_numpy(np.ascontiguousarray(turns.real)).to(like.device)
        self._sin: Any = torch.from_numpy(np.ascontiguousarray(turns.imag)).to(like.device)

    def hidden(self, pieces: Sequence[Piece], lora: Lora | None) -> Any:
        """The last layer's output for each token of the pieces in order: (tokens, hidden). Fills the slots."""
        torch = self._torch
        device = self._like.device
        tokens = torch.tensor([token for piece in pieces for token in piece.tokens], device=device)
        places = [np.arange(piece.start, piece.start + len(piece.tokens)) for piece in pieces]
        positions = torch.from_numpy(np.concatenate(places)).to(device)
        cos, sin = self._cos[positions].unsqueeze(1), self._sin[positions].unsqueeze(1)
        x = self._weights.embedding[tokens]
        together = self._together(pieces)
        for number in range(self._config.layers):
            qkv = self._product(number, "qkv", self._norm(x), lora)
            x = x + self._product(number, "o", self._attend(number, qkv, cos, sin, pieces, together), lora)
            gate, up = self._product(number, "gate_up", self._norm(x), lora).chunk(2, -1)
            x = x + self._product(number, "down", gate * torch.sigmoid(-gate) * up, lora)
        return x

    def logits(self, hidden: Any) -> Any:
        """(rows, hidden) → (rows, vocabulary) in float32."""
        return (self._norm(hidden) @ self._weights.head).float()

    def _norm(self, x: Any) -> Any:
        wide = x.float()
        return (wide * self._torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self._config.epsilon)).to(x.dtype)

    def _product(self, number: int, part: str, x: Any, lora: Lora | None) -> Any:
        layer = self._weights.layers[number]
        bias = layer.biases[part]
        y = x @ layer.matrices[part] if bias is None else self._torch.addmm(bias, x, layer.matrices[part])
        factors = None if lora is None else lora.mix.layers[number].get(part)
        if lora is not None and factors is not None:
            y = y + (x @ factors.down * lora.masks[part]) @ factors.up
        return y

    def _together(self, pieces: Sequence[Piece]) -> Any:
        """Where each piece is one token of the first slots in order, the mask to attend all at once; else None."""
        if len(pieces) < 2 or any(len(piece.tokens) != 1 or piece.slot != row for row, piece in enumerate(pieces)):
            return None
        torch = self._torch
        ends = torch.tensor([piece.start for piece in pieces], device=self._like.device)
        width = int(max(piece.start for piece in pieces)) + 1
        return (torch.arange(width, device=self._like.device) <= ends[:, None])[:, None, None]

    def _attend(self, number: int, qkv: Any, cos: Any, sin: Any, pieces: Sequence[Piece], together: Any) -> Any:
        config, torch = self._config, self._torch
        heads = qkv.view(qkv.shape[0], -1, config.head_dim)
        turned = heads[:, : config.heads + config.kv_heads].float()
        if config.normed_heads:
            turned = self._norm(turned) * self._weights.layers[number].heads
        turned = turned.unflatten(-1, (-1, 2))
        first, second = turned[..., 0], turned[..., 1]
        turned = torch.stack((first * cos - second * sin, first * sin + second * cos), -1).flatten(-2).to(qkv.dtype)
        queries, keys, values = (
            turned[:, : config.heads],
            turned[:, config.heads :],
            heads[:, config.heads + config.kv_heads :],
        )
        all_keys, all_values = self._slots.keys[number], self._slots.values[number]
        if together is not None:
            rows = torch.arange(len(pieces), device=qkv.device)
            ends = torch.tensor([piece.start for piece in pieces], device=qkv.device)
            all_keys[rows, :, ends], all_values[rows, :, ends] = keys, values
            width = together.shape[-1]
            seen = all_keys[: len(pieces), :, :width], all_values[: len(pieces), :, :width]
            return self._softly(queries[:, :, None], *seen, together).reshape(len(pieces), -1)
        outputs: list[Any] = []
        row = 0
        for slot, start, tokens in pieces:
            mine = slice(row, row := row + len(tokens))
            end = start + len(tokens)
            all_keys[slot, :, start:end] = keys[mine].transpose(0, 1)
            all_values[slot, :, start:end] = values[mine].transpose(0, 1)
            seen = all_keys[slot : slot + 1, :, :end], all_values[slot : slot + 1, :, :end]
            mask = None
            if len(tokens) > 1:
                mask = torch.ones(len(tokens), end, dtype=torch.bool, device=qkv.device).tril(start)
            mixed = self._softly(queries[mine].transpose(0, 1)[None], *seen, mask)
            outputs.append(mixed[0].transpose(0, 1).reshape(len(tokens), -1))
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)

    def _softly(self, queries: Any, keys: Any, values: Any, mask: Any) -> Any:
        """Attention whose scale is in the queries already: all (batch, heads, tokens, head dim)."""
        grouped = self._config.heads != self._config.kv_heads
        return self._functional.scaled_dot_product_attention(
            queries, keys, values, attn_mask=mask, scale=1.0, enable_gqa=grouped
        )
