"""A request in, who answers it out. Reads the policy; pure but for the policy watch.

Public names: `Identifier`, `Identity`, `decide`, `Decision`, `Student`, `Gate`, `Climb`, `LoadedLadder`,
`LadderRung`, `PolicyView`, `PolicyWatch`, `DrillView`, `Replacement`, `stand_in_for`, `why_unusable`.
"""

from freehold.route.decide import Decision, Gate, Student, StudentAnswer, decide
from freehold.route.drill import DrillView, Replacement, stand_in_for
from freehold.route.identify import Identifier, Identity
from freehold.route.ladder import STUDENT, Climb, LadderRung, LoadedLadder
from freehold.route.policy_view import PolicyView
from freehold.route.policy_watch import PolicySource, PolicyWatch
from freehold.route.usable import why_unusable

__all__ = [
    "STUDENT",
    "Climb",
    "Decision",
    "DrillView",
    "Gate",
    "Identifier",
    "Identity",
    "LadderRung",
    "LoadedLadder",
    "PolicySource",
    "PolicyView",
    "PolicyWatch",
    "Replacement",
    "Student",
    "StudentAnswer",
    "decide",
    "stand_in_for",
    "why_unusable",
]
