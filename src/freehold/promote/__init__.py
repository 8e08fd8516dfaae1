"""A certificate in, a new policy version out; and the way back.

Public names: `promote`, `roll_back`, `audit_rate`, `set_rates`.
"""

from freehold.promote.policy import audit_rate, promote, roll_back, set_rates

__all__ = ["audit_rate", "promote", "roll_back", "set_rates"]
