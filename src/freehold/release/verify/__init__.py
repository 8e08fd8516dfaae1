"""A release's folder in, the level out to which it was verified, and why not more.

Public names: `verify_release`, `Report`, `MAX_LEVEL`; `trusted_key`, `claimed_key`; `Workshop`, `Recipe`,
`StudentFiles`, `Answered`: what callers hand in. `freehold.release.verify.apart` cuts a process off the network.
"""

from freehold.release.verify.report import Report
from freehold.release.verify.run import MAX_LEVEL, verify_release
from freehold.release.verify.seal import claimed_key, trusted_key
from freehold.release.verify.workshop import Answered, Recipe, StudentFiles, Workshop

__all__ = [
    "MAX_LEVEL",
    "Answered",
    "Recipe",
    "Report",
    "StudentFiles",
    "Workshop",
    "claimed_key",
    "trusted_key",
    "verify_release",
]
