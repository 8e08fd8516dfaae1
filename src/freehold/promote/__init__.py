"""A certificate in, a new policy version out; and the way back.

Public names: `promote`, `roll_back`, `audit_rate`, `serving_rights`, `rights_in_force`, `rights_mark`,
`certified_rights`, `objection`, `ServingRights`; `advance`.
"""

from freehold.promote.policy import audit_rate, promote, roll_back
from freehold.promote.rights import (
    ServingRights,
    certified_rights,
    objection,
    rights_in_force,
    rights_mark,
    serving_rights,
)
from freehold.promote.rollout import advance

__all__ = [
    "ServingRights",
    "advance",
    "audit_rate",
    "certified_rights",
    "objection",
    "promote",
    "rights_in_force",
    "rights_mark",
    "roll_back",
    "serving_rights",
]
