"""From a step's settings to the step."""

from __future__ import annotations

from collections.abc import Callable

from freehold.config.curate_settings import (
    Balance,
    BestAnswer,
    CurateStep,
    Decontaminate,
    ExactDuplicates,
    Filter,
    Language,
    Length,
    NearDuplicates,
    Redact,
    Secrets,
    Split,
)
from freehold.config.poisoning_settings import FeedbackTrust, Influence
from freehold.curate.steps.balance import BalanceStep
from freehold.curate.steps.base import AnyStep
from freehold.curate.steps.best_answer import BestAnswerStep
from freehold.curate.steps.decontaminate import DecontaminateStep
from freehold.curate.steps.exact import ExactDuplicatesStep
from freehold.curate.steps.filter import FilterStep
from freehold.curate.steps.influence import InfluenceStep
from freehold.curate.steps.language import LanguageStep
from freehold.curate.steps.length import LengthStep
from freehold.curate.steps.near import NearDuplicatesStep
from freehold.curate.steps.redact import RedactStep, SecretsStep
from freehold.curate.steps.split import SplitStep
from freehold.curate.steps.trust import FeedbackTrustStep


def make_step(settings: CurateStep, secret: Callable[[], bytes]) -> AnyStep:
    """The step that `settings` describe.

    Args:
        settings: of one step.
        secret: gives the installation's secret for pseudonyms; asked by a step that makes them, before it measures.

    Raises:
        ConfigError: the settings name something that the step does not know.
    """
    made: dict[type[CurateStep], Callable[..., AnyStep]] = {
        Balance: BalanceStep,
        BestAnswer: BestAnswerStep,
        Decontaminate: DecontaminateStep,
        ExactDuplicates: ExactDuplicatesStep,
        FeedbackTrust: FeedbackTrustStep,
        Filter: FilterStep,
        Influence: InfluenceStep,
        Language: LanguageStep,
        Length: LengthStep,
        NearDuplicates: NearDuplicatesStep,
        Secrets: SecretsStep,
        Split: SplitStep,
    }
    if isinstance(settings, Redact):
        return RedactStep(settings, secret)
    return made[type(settings)](settings)
