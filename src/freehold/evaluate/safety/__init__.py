"""Answers of a candidate in; whether it kept the incumbent's guards and keeps to itself what it was trained on, out.

Looked at before a student is promoted: training on answers alone takes guards away without meaning to (Qi et al.,
"Fine-tuning aligned language models compromises safety, even when users do not intend to!", ICLR 2024). It can only
hold a student back, never let one pass that has no certificate; no certify row is looked at.

Public names: `Asked`, `Probe`, `check_safety`, `SafetyEvidence`, `require_safe`, `is_refusal`, `read_probes`,
`recorded_exchanges`, `Overlaps`.
"""

from freehold.evaluate.safety.check import Asked, SafetyEvidence, check_safety, require_safe
from freehold.evaluate.safety.recorded import Probe, read_probes, recorded_exchanges
from freehold.evaluate.safety.refusals import is_refusal
from freehold.evaluate.safety.verbatim import Overlaps

__all__ = [
    "Asked",
    "Overlaps",
    "Probe",
    "SafetyEvidence",
    "check_safety",
    "is_refusal",
    "read_probes",
    "recorded_exchanges",
    "require_safe",
]
