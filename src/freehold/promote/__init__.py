"""A certificate in, a new policy version out; and the way back.

Public names: `promote`, `roll_back`, `audit_rate`.
"""

from freehold.promote.policy import audit_rate, promote, roll_back

__all__ = ["audit_rate", "promote", "roll_back"]
