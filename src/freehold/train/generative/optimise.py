"""How weights move: by AdamW, or the matrices of the blocks by Muon and the rest by AdamW; the rate; clipping."""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

from freehold.train.generative.muon import Group
from freehold.train.generative.team import Team
from freehold.train.recipes import Optimizer

torch: Any = import_module("torch")

_BETAS = (0.9, 0.95)
"""Second as for language models since GPT-3 (Brown et al. 2020, appendix B)."""


class Mover:
    """The optimisers of a model, and the gradients, which lie in one flat array: one message between workers carries
    all of them and the loss, and their norm is one operation."""

    def __init__(
        self, trained: dict[str, Any], told: Optimizer, steps: int, team: Team, precision: Any = torch.float32
    ) -> None:
        """`precision`: what this machine multiplies matrices in."""
        self._told, self._team = told, team
        self._steps = steps
        self._warmup = max(1, round(told.warmup * steps))
        by_shape: dict[tuple[int, int], list[Any]] = {}
        self._others: dict[str, Any] = {}
        for name, weight in trained.items():
            if told.kind == "muon" and _is_block_matrix(name, weight):
                by_shape.setdefault(tuple(weight.shape), []).append(weight)
            else:
                self._others[name] = weight
        first = next(iter(trained.values()))
        self.flat: Any = torch.zeros(sum(w.numel() for w in trained.values()) + 1, device=first.device)
        """Gradients of all weights, and last the loss; float32."""
        self._groups: list[Group] = []
        at = 0
        for weights in by_shape.values():
            begin = at
            for weight in weights:
                at = self._place(weight, at)
            gradients = self.flat[begin:at].view(len(weights), *weights[0].shape)
            self._groups.append(Group(weights, gradients, team.part(len(weights)), precision))
        self._of_groups = self.flat[:at]
        for weight in self._others.values():
            at = self._place(weight, at)
        self._adamw: Any = None
        if self._others:
            self._adamw = torch.optim.AdamW(
                self._others.values(), lr=told.rate, betas=_BETAS, weight_decay=told.weight_decay, fused=True
            )

    def _place(self, weight: Any, at: int) -> int:
        weight.grad = self.flat[at : at + weight.numel()].view_as(weight)
        return at + weight.numel()

    def step(self, number: int) -> float:
        """Move the weights by the gradients in `flat`, at step `number` (from 0); returns the gradients' norm."""
        gradients = self.flat[:-1]
        norm = float(torch.linalg.vector_norm(gradients))
        if not math.isfinite(norm):
            return norm
        if norm > self._told.clip:
            gradients.mul_(self._told.clip / norm)
        factor = self.factor(number)
        with torch.no_grad():
            for group in self._groups:
                group.prepare()
            self._team.sum(self._of_groups)
            for group in self._groups:
                group.move(self._told.matrix_rate * factor, self._told.weight_decay)
        if self._adamw is not None:
            self._adamw.param_groups[0]["lr"] = self._told.rate * factor
            self._adamw.step()
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
        named: dict[str, Any] = {f"{number}/momentum": group.momentum for number, group in enumerate(self._groups)}
        for name, weight in self._others.items():
            named |= {f"{name}/{key}": value for key, value in self._adamw.state[weight].items()}
        return named

    def restore(self, named: dict[str, Any]) -> None:
        """Take what `state` gave."""
        for number, group in enumerate(self._groups):
            group.momentum.copy_(named[f"{number}/momentum"])
        for name, weight in self._others.items():
            keys = [key for key in named if key.rpartition("/")[0] == name]
            self._adamw.state[weight] = {key.rpartition("/")[2]: named[key] for key in keys}


def _is_block_matrix(name: str, weight: Any) -> bool:
    """Embeddings and heads are look-ups of rows, to which Muon's reasons do not apply (Jordan et al. 2024)."""
    return weight.ndim == 2 and ".layers." in name
