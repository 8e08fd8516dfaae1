"""From a step's settings to the step."""

from __future__ import annotations

from freehold.config.curate_settings import CurateStep, ExactDuplicates, Length, NearDuplicates
from freehold.config.poisoning_settings import FeedbackTrust, Influence
from freehold.curate.steps.base import AnyStep
from freehold.curate.steps.exact import ExactDuplicatesStep
from freehold.curate.steps.influence import InfluenceStep
from freehold.curate.steps.length import LengthStep
from freehold.curate.steps.near import NearDuplicatesStep
from freehold.curate.steps.trust import FeedbackTrustStep


def make_step(settings: CurateStep) -> AnyStep:
    """The step that `settings` describe."""
    match settings:
        case ExactDuplicates():
            return ExactDuplicatesStep(settings)
        case NearDuplicates():
            return NearDuplicatesStep(settings)
        case Length():
            return LengthStep(settings)
        case Influence():
            return InfluenceStep(settings)
        case FeedbackTrust():
            return FeedbackTrustStep(settings)
