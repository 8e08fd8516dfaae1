"""Losses in; p-values, certified thresholds, confidence sequences and alarms out. Pure: no I/O, nothing remembered.

Public names, each imported on first use (numpy alone would take longer than the rest of `freehold`):

- `binomial`: `binomial_p_value`, `exact_binomial`, `clopper_pearson_upper`, `clopper_pearson_interval` for 0/1 losses
- `betting`: `betting_p_value`, `betting_test` for graded losses
- `trinomial`: `trinomial_p_value`, `trinomial_test` for losses −1, 0, 1
- `dispatch`: `loss_test`: which of them for which loss
- `walks`: `walk`, `risk_losses`, `Risk`, `WalkResult`: one path of ever laxer decisions, ladders of rungs among them
- `fixed_sequence`: `fixed_sequence_test`, `threshold_grid`, `FixedSequenceResult`, `Tested`: the walk over thresholds
- `spending`: `spent_delta` over attempts
- `confidence`: `ConfidenceSequence`, `SequenceState`: bounds that hold at every look
- `drift`: `ChangeDetector`, `DetectorState`: an alarm with a stated false-alarm rate
- `allocation`: `allocate_audits`, `AuditNeed`, `Allocation`: where a day's audit dollars go
- `limits`: `least_slack`, `needed_rows`: what no test can do
- `memorised`: `planted_and_given`, `CanaryReport`: planted answers that come out
- `paired`: `paired_interval`, `worse_p_value` of the difference of two scores
- `plan`: `needed_samples`, `predicted_outcome`, `allowed_errors`: what more evidence would bring
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from freehold.stats.allocation import Allocation, AuditNeed, allocate_audits
    from freehold.stats.betting import PValue, betting_p_value, betting_test
    from freehold.stats.binomial import (
        binomial_p_value,
        clopper_pearson_interval,
        clopper_pearson_upper,
        exact_binomial,
    )
    from freehold.stats.confidence import ConfidenceSequence, SequenceState
    from freehold.stats.dispatch import loss_test
    from freehold.stats.drift import ChangeDetector, DetectorState
    from freehold.stats.fixed_sequence import FixedSequenceResult, Tested, fixed_sequence_test, threshold_grid
    from freehold.stats.limits import least_slack, needed_rows
    from freehold.stats.memorised import CanaryReport, planted_and_given
    from freehold.stats.paired import paired_interval, worse_p_value
    from freehold.stats.plan import allowed_errors, needed_samples, predicted_outcome
    from freehold.stats.spending import spent_delta
    from freehold.stats.trinomial import trinomial_p_value, trinomial_test
    from freehold.stats.walks import Risk, WalkResult, risk_losses, walk

__all__ = [
    "Allocation",
    "AuditNeed",
    "CanaryReport",
    "ChangeDetector",
    "ConfidenceSequence",
    "DetectorState",
    "FixedSequenceResult",
    "PValue",
    "Risk",
    "SequenceState",
    "Tested",
    "WalkResult",
    "allocate_audits",
    "allowed_errors",
    "betting_p_value",
    "betting_test",
    "binomial_p_value",
    "clopper_pearson_interval",
    "clopper_pearson_upper",
    "exact_binomial",
    "fixed_sequence_test",
    "least_slack",
    "loss_test",
    "needed_rows",
    "needed_samples",
    "paired_interval",
    "planted_and_given",
    "predicted_outcome",
    "risk_losses",
    "spent_delta",
    "threshold_grid",
    "trinomial_p_value",
    "trinomial_test",
    "walk",
    "worse_p_value",
]

_MODULES = {
    "allocation": ("Allocation", "AuditNeed", "allocate_audits"),
    "betting": ("PValue", "betting_p_value", "betting_test"),
    "binomial": ("binomial_p_value", "clopper_pearson_interval", "clopper_pearson_upper", "exact_binomial"),
    "confidence": ("ConfidenceSequence", "SequenceState"),
    "drift": ("ChangeDetector", "DetectorState"),
    "fixed_sequence": ("FixedSequenceResult", "Tested", "fixed_sequence_test", "threshold_grid"),
    "dispatch": ("loss_test",),
    "limits": ("least_slack", "needed_rows"),
    "memorised": ("CanaryReport", "planted_and_given"),
    "paired": ("paired_interval", "worse_p_value"),
    "plan": ("allowed_errors", "needed_samples", "predicted_outcome"),
    "spending": ("spent_delta",),
    "trinomial": ("trinomial_p_value", "trinomial_test"),
    "walks": ("Risk", "WalkResult", "risk_losses", "walk"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'freehold.stats' has no attribute '{name}'")
    return getattr(import_module(f"freehold.stats.{_HOME[name]}"), name)
