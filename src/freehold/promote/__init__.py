"""A certificate in, a new policy version out; and the way back.

Public names: `promote`, `roll_back`, `set_repeat_rate`.
"""

from freehold.promote.policy import promote, roll_back, set_repeat_rate

__all__ = ["promote", "roll_back", "set_repeat_rate"]
