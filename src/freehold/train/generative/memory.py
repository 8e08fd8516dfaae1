"""Whether a run fits into memory, said before it starts, and what to change where it does not.

What is counted: weights, gradients, what the optimiser keeps, the best weights so far, what the backward pass keeps of
each token, and the process itself. Tests hold the estimate against what a process really took.
"""

from __future__ import annotations

import contextlib
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from freehold.domain.errors import TrainingError
from freehold.train.generative.model import base_config, scratch_config
from freehold.train.generative.spec import BaseStart, ScratchStart, Spec
from freehold.train.recipes import Adapter, Recipe, Scratch

torch: Any = import_module("torch")

_PROCESS_BYTES = 450_000_000
"""Python with torch and transformers, before any weights."""
_CGROUP = Path("/sys/fs/cgroup")
_MEMORY_INFO = Path("/proc/meminfo")
_GIGABYTE = 1e9
_MOST_PARTS = 64


class Shape(NamedTuple):
    """What a model's needs follow from."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    key_values: int
    """Width of keys, and of values."""
    vocabulary: int
    tied: bool
    stored_bytes: int
    """Of one frozen weight in memory."""

    @property
    def per_layer(self) -> int:
        """Weights in one block."""
        return 2 * self.hidden * (self.hidden + self.key_values) + 3 * self.hidden * self.intermediate

    @property
    def parameters(self) -> int:
        """Weights of the whole model; norms and biases are too few to count."""
        return self.layers * self.per_layer + self.vocabulary * self.hidden * (1 if self.tied else 2)

    def adapted(self, adapter: Adapter) -> int:
        """Weights of a LoRA adapter."""
        wide = {
            "q_proj": 2 * self.hidden,
            "k_proj": self.hidden + self.key_values,
            "v_proj": self.hidden + self.key_values,
            "o_proj": 2 * self.hidden,
        }
        per_rank = sum(wide.get(name, self.hidden + self.intermediate) for name in adapter.targets)
        return self.layers * adapter.rank * per_rank


class Needs(NamedTuple):
    """Bytes of one worker."""

    weights: int
    """Frozen and trained, with gradients, optimiser and the best so far."""
    activations: int
    """Of one part of a batch."""
    process: int

    @property
    def all(self) -> int:
        """Their sum."""
        return self.weights + self.activations + self.process


def shape_of(spec: Spec, on_gpu: bool) -> Shape:
    """The shape of the model of a spec.

    Raises:
        TrainingError: the base cannot be read.
    """
    if isinstance(spec.start, ScratchStart):
        assert isinstance(spec.recipe.model, Scratch)
        config = scratch_config(spec.recipe, spec.recipe.model, spec.start)
    else:
        config = base_config(Path(spec.start.folder))
    heads: int = config.num_attention_heads
    width: int = getattr(config, "head_dim", None) or config.hidden_size // heads
    return Shape(
        hidden=config.hidden_size,
        intermediate=config.intermediate_size,
        layers=config.num_hidden_layers,
        heads=heads,
        key_values=width * (getattr(config, "num_key_value_heads", None) or heads),
        vocabulary=config.vocab_size,
        tied=bool(config.tie_word_embeddings),
        stored_bytes=2 if on_gpu else 4,
    )


def needs_of(shape: Shape, recipe: Recipe, workers: int, accumulate: int, adapter: Adapter | None) -> Needs:
    """What one worker takes."""
    trained = shape.parameters if adapter is None else shape.adapted(adapter)
    frozen = 0 if adapter is None else shape.parameters * shape.stored_bytes
    moments = 4 if recipe.optimizer.kind == "muon" else 8
    weights = frozen + trained * (4 + 4 + moments + 4)
    width = recipe.data.pack or recipe.data.context
    rows = max(1, -(-recipe.run.batch_tokens // (width * workers * accumulate)))
    tokens = rows * width
    # Floats that the backward pass keeps of a token in each block: what both norms were given and made of it, what
    # went into the linear layers, queries, keys, values, what attention gave; of the MLP its four inner arrays.
    per_token = shape.layers * (9 * shape.hidden + 2 * shape.key_values + 4 * shape.intermediate)
    mask = tokens * width * 5
    logits = tokens * shape.vocabulary * 3
    return Needs(weights, 4 * (tokens * per_token + logits) + mask, _PROCESS_BYTES)


def check(spec: Spec, workers: int, available: int | None = None, on_gpu: bool = False) -> Needs:
    """What one worker of the run takes, after making sure that all of them have it.

    `available`: bytes; None: what this machine has free now, or one GPU of it.

    Raises:
        TrainingError: there is not enough; the hint names what would fit.
    """
    shape, recipe = shape_of(spec, on_gpu), spec.recipe
    needs = needs_of(shape, recipe, workers, recipe.run.accumulate, recipe.adapter)
    together = 1 if on_gpu else workers
    free = (free_on_gpu() if on_gpu else free_memory()) if available is None else available
    total = needs.all * together
    if free is None or total <= free:
        return needs
    where = "its GPU has" if on_gpu else "this machine has"
    raise TrainingError(
        f"This training needs {_gigabytes(total)}; {where} {_gigabytes(free)} free.",
        advice(shape, spec, workers, free // together),
    )


def advice(shape: Shape, spec: Spec, workers: int, free: int) -> str:
    """What to change so that a worker takes at most `free` bytes; quickest to do first."""
    recipe, found = spec.recipe, list[str]()
    parts = recipe.run.accumulate
    while parts < _MOST_PARTS and needs_of(shape, recipe, workers, parts, recipe.adapter).all > free:
        parts *= 2
    if parts > recipe.run.accumulate and needs_of(shape, recipe, workers, parts, recipe.adapter).all <= free:
        found.append(f"[run] accumulate = {parts}")
    if workers > 1:
        found.append("[run] workers = 1")
    if isinstance(spec.start, BaseStart):
        if recipe.adapter is None:
            with_lora = needs_of(shape, recipe, workers, recipe.run.accumulate, Adapter())
            found.append(f"LoRA ([adapter], {_gigabytes(with_lora.all)})")
        found.append("a smaller base")
    else:
        found.append("a smaller [model]")
    return f"Use {', '.join(found[:-1])}{' or ' if len(found) > 1 else ''}{found[-1]}."


def free_memory() -> int | None:
    """Bytes that this process and its children may still take: the least of what the machine and its control group
    have; None where neither is known."""
    found = [value for value in (_machine_free(), _group_free()) if value is not None]
    return min(found) if found else None


def free_on_gpu() -> int | None:
    """Bytes free on the GPU of this process."""
    return int(torch.cuda.mem_get_info()[0]) if torch.cuda.is_available() else None


def _machine_free() -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in _MEMORY_INFO.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def _group_free() -> int | None:
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with contextlib.suppress(OSError, ValueError):  # `max` is no number: no limit
            return max(0, int((_CGROUP / limit).read_text()) - int((_CGROUP / used).read_text()))
    return None


def _gigabytes(count: float) -> str:
    return f"{count / _GIGABYTE:.1f} GB"
