"""Sealed traces in, every dollar out: measured, quoted or assumed.

Public names: `ledger` and what it returns: `Ledger`, `Line`, `Money`, `EstimateCheck`; `dollars` writes an amount.
Importing `ledger` loads polars.
"""

from freehold.ledger.accounts import ledger
from freehold.ledger.money import EstimateCheck, Ledger, Line, Money, dollars

__all__ = ["EstimateCheck", "Ledger", "Line", "Money", "dollars", "ledger"]
