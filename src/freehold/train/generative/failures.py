"""What goes wrong inside torch, said in our words once."""

from __future__ import annotations

import contextlib
from collections.abc import Generator

from freehold.domain.errors import FreeholdError, TrainingError
from freehold.train.generative.spec import Spec

_NO_MEMORY = ("can't allocate memory", "out of memory", "Cannot allocate memory", "bad_alloc")
_LOST = ("Connection closed by peer", "Connection reset", "gloo", "NCCL", "Timed out")


@contextlib.contextmanager
def translated(spec: Spec) -> Generator[None]:
    """Turn running out of memory, or losing another worker, into a TrainingError; ours go through as they are."""
    try:
        yield
    except FreeholdError:
        raise
    except MemoryError as error:
        raise no_memory(spec) from error
    except RuntimeError as error:
        told = str(error)
        if any(words in told for words in _NO_MEMORY):  # CUDA's own error is a RuntimeError too
            raise no_memory(spec) from error
        if any(words in told for words in _LOST):
            raise TrainingError(
                "Another worker of this training is gone.", "Run it again: it goes on from its last checkpoint."
            ) from error
        raise


def no_memory(spec: Spec) -> TrainingError:
    """For a run that ran out of memory though it was thought to fit, or was ended for it by the system."""
    from freehold.train.generative import memory

    workers = spec.recipe.run.workers
    shape = memory.shape_of(spec, on_gpu=False)
    return TrainingError(
        "Memory ran out while training; its last checkpoint is kept.", memory.advice(shape, spec, workers, 0)
    )
