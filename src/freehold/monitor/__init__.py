"""Audits in, confidence sequences and reasons to roll back out; and what audits cost.

Public names: `watch`, `breached`, `unheard`, `summary`; `rehearsal`, `Rehearsal`, `objection`; `spending`,
`Spending`, `day_begins`.
"""

from freehold.monitor.audits import breached, summary, unheard, watch
from freehold.monitor.rehearsal import Rehearsal, objection, rehearsal
from freehold.monitor.spending import Spending, day_begins, spending

__all__ = [
    "Rehearsal",
    "Spending",
    "breached",
    "day_begins",
    "objection",
    "rehearsal",
    "spending",
    "summary",
    "unheard",
    "watch",
]
