"""Who may call, for what, and how much: keys are checked, scopes held, and limits taken in leases.

The gateway holds one `Access` per worker: `admit` turns a caller's headers into a `Grant`, `take` takes a request out
of its limits and gives a `Ticket`, which is settled when it is known what was used. Keys and teams are made and changed
through `KeyDesk`; `AdminAPI` is the same over HTTP.

Bound on overshoot. Within a window, what all workers and hosts together let through never exceeds the limit by more
than what the requests that were under way when it ran out used beyond their estimates. Requests per minute need no
estimate: they never exceed it. The bound does not hold for the time that the control store is out of reach, unless
`access.without_store` is "refuse".
"""

from freehold.access.admin import AdminAPI
from freehold.access.desk import KeyDesk
from freehold.access.gate import Access, own_key
from freehold.access.grants import Grant, Ticket

__all__ = ["Access", "AdminAPI", "Grant", "KeyDesk", "Ticket", "own_key"]
