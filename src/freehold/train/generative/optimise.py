"""How weights move: AdamW, or Muon for the matrices of the blocks and AdamW for the rest; the rate over time; clipping."""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

from freehold.train.recipes import Optimizer

torch: Any = import_module("torch")

_BETAS = (0.9, 0.95)
"""Second as for language models since GPT-3 (Brown et al. 2020, appendix B)."""


class Mover:
    """The optimisers of a model, and the gradients, which lie in one flat array: one message between workers carries
    all of them and the loss, and their norm is one operation."""

    def __init__(self, trained: dict[str, Any], told: Optimizer, steps: int) -> None:
        self._told = told
        self._steps = steps
        self._warmup = max(1, round(told.warmup * steps))
        self._trained = trained
        weights = list(trained.values())
        self.flat: Any = torch.zeros(sum(w.numel() for w in weights) + 1, dtype=torch.float32, device=weights[0].device)
        """Gradients of all weights, and last the loss."""
        at = 0
        for weight in weights:
            weight.grad = self.flat[at : at + weight.numel()].view_as(weight)
            at += weight.numel()
        matrices = [w for name, w in trained.items() if told.kind == "muon" and _is_block_matrix(name, w)]
        chosen = {id(weight) for weight in matrices}
        others = [weight for weight in weights if id(weight) not in chosen]
        # (optimiser, its rate at the top of the schedule)
        self._optimisers: list[tuple[Any, float]] = []
        if matrices:
            muon = torch.optim.Muon(matrices, lr=told.matrix_rate, weight_decay=told.weight_decay)
            self._optimisers.append((muon, told.matrix_rate))
        if others:
            adam = torch.optim.AdamW(others, lr=told.rate, betas=_BETAS, weight_decay=told.weight_decay, fused=True)
            self._optimisers.append((adam, told.rate))

    def step(self, number: int) -> float:
        """Move the weights by the gradients in `flat`, at step `number` (from 0); returns the gradients' norm."""
        gradients = self.flat[:-1]
        norm = float(torch.linalg.vector_norm(gradients))
        if not math.isfinite(norm):
            return norm
        if norm > self._told.clip:
            gradients.mul_(self._told.clip / norm)
        factor = self.factor(number)
        for optimiser, rate in self._optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate * factor
            optimiser.step()
        return norm

    def factor(self, number: int) -> float:
        """Share of the full rate at step `number` (from 0), in (0, 1]."""
        if number < self._warmup:
            return (number + 1) / self._warmup
        done = (number - self._warmup) / max(1, self._steps - self._warmup)
        if self._told.schedule == "linear":
            return 1.0 - done
        if self._told.schedule == "cosine":
            return 0.5 * (1.0 + math.cos(math.pi * done))
        return 1.0

    def state(self) -> dict[str, Any]:
        """Name → tensor, for a checkpoint."""
        named: dict[str, Any] = {}
        for optimiser, _ in self._optimisers:
            for name, weight in self._trained.items():
                if weight in optimiser.state:
                    named |= {f"{name}/{key}": value for key, value in optimiser.state[weight].items()}
        return named

    def restore(self, named: dict[str, Any]) -> None:
        """Take what `state` gave."""
        for optimiser, _ in self._optimisers:
            own = {id(weight) for group in optimiser.param_groups for weight in group["params"]}
            for name, weight in self._trained.items():
                keys = [key for key in named if key.rpartition("/")[0] == name]
                if keys and id(weight) in own:
                    optimiser.state[weight] = {key.rpartition("/")[2]: named[key] for key in keys}


def _is_block_matrix(name: str, weight: Any) -> bool:
    """Embeddings and heads are look-ups of rows, to which Muon's reasons do not apply (Jordan et al. 2024)."""
    return weight.ndim == 2 and ".layers." in name
