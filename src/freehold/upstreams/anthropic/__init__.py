"""Between callers and upstreams of different protocols, as the bytes come: requests before they are sent, answers as
they are pushed. What becomes of each field is said in `freehold.upstreams.translate`.

Public names: `FOREIGN` (paths that an upstream of a protocol does not have). `freehold.upstreams.anthropic.requests`,
which translates requests to them, is imported when there is one: most gateways never need it.
"""

from freehold.upstreams.anthropic.paths import FOREIGN

__all__ = ["FOREIGN"]
