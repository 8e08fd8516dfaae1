"""A request in, who answers it out. Reads the policy; pure but for the policy watch.

Public names: `Identifier`, `Identity`, `decide`, `Decision`, `Student`, `PolicyView`, `PolicyWatch`.
"""

from freehold.route.decide import Decision, Student, StudentAnswer, decide
from freehold.route.identify import Identifier, Identity
from freehold.route.policy_view import PolicyView
from freehold.route.policy_watch import PolicySource, PolicyWatch

__all__ = [
    "Decision",
    "Identifier",
    "Identity",
    "PolicySource",
    "PolicyView",
    "PolicyWatch",
    "Student",
    "StudentAnswer",
    "decide",
]
