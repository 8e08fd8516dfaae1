"""From a step's settings to the step."""

from __future__ import annotations

from freehold.config.curate_settings import CurateStep, ExactDuplicates, Length
from freehold.curate.steps.base import AnyStep
from freehold.curate.steps.exact import ExactDuplicatesStep
from freehold.curate.steps.length import LengthStep


def make_step(settings: CurateStep) -> AnyStep:
    """The step that `settings` describe."""
    match settings:
        case ExactDuplicates():
            return ExactDuplicatesStep(settings)
        case Length():
            return LengthStep(settings)
