"""A certificate in, a new policy version out; and the way back.

Public names: `promote`, `roll_back`.
"""

from freehold.promote.policy import promote, roll_back

__all__ = ["promote", "roll_back"]
