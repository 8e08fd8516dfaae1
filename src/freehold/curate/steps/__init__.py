"""The steps of curating, one module each. Public names: `Step`, `KnowingStep`,
`AnyStep`, `Chosen`, `kept_where`, `kept_all`, `make_step`."""

from freehold.curate.steps.base import AnyStep, Chosen, KnowingStep, Step, kept_all, kept_where
from freehold.curate.steps.make import make_step

__all__ = ["AnyStep", "Chosen", "KnowingStep", "Step", "kept_all", "kept_where", "make_step"]
