"""Audits in, confidence sequences and reasons to roll back out; and what audits cost.

Public names: `watch`, `breached`, `unheard`, `summary`; `spending`, `Spending`, `day_begins`.
"""

from freehold.monitor.audits import breached, summary, unheard, watch
from freehold.monitor.spending import Spending, day_begins, spending

__all__ = ["Spending", "breached", "day_begins", "spending", "summary", "unheard", "watch"]
