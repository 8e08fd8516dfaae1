"""Audits in, confidence sequences and reasons to roll back out.

Public names: `watch`, `breached`.
"""

from freehold.monitor.audits import breached, watch

__all__ = ["breached", "watch"]
