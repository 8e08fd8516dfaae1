"""A student and its dataset in; an outlook out, on one look a certificate, and ever after whether that holds.

Public names: `outlook`, `Outlook`, `begin_attempt`, `certify`, `issue`, `Attempt`, `conclude`, `verify_certificate`,
`figure_checks`, `Verification`, `self_disagreement`,
`denied_cost`, `DeniedCost`; of ladders of several models `LaidPlan`, `ladder_terms`,
`begin_ladder_attempt`, `certify_ladder`, `LadderAttempt`, `RungFigures`. What is known of a student before it may
answer: `freehold.evaluate.comparison`, `.safety`, `.harness`; `keep_report` and `newest` store and find it.
"""

from freehold.evaluate.certify import Attempt, begin_attempt, certify, issue
from freehold.evaluate.conclude import Conclusion, conclude
from freehold.evaluate.floor import Floor, self_disagreement
from freehold.evaluate.issue_ladder import (
    LadderAttempt,
    LaidPlan,
    RungFigures,
    begin_ladder_attempt,
    certify_ladder,
    ladder_terms,
)
from freehold.evaluate.left_out import DeniedCost, denied_cost
from freehold.evaluate.outlook import Outlook, outlook
from freehold.evaluate.reports import Newest, keep_report, newest
from freehold.evaluate.verify import Verification, figure_checks, verify_certificate

__all__ = [
    "Attempt",
    "Conclusion",
    "DeniedCost",
    "Floor",
    "LadderAttempt",
    "LaidPlan",
    "Newest",
    "Outlook",
    "RungFigures",
    "Verification",
    "begin_attempt",
    "begin_ladder_attempt",
    "certify",
    "certify_ladder",
    "conclude",
    "denied_cost",
    "figure_checks",
    "issue",
    "keep_report",
    "ladder_terms",
    "newest",
    "outlook",
    "self_disagreement",
    "verify_certificate",
]
