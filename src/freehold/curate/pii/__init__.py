"""Personal data and secrets in texts: find them, and put pseudonyms in their place. No I/O.

Public names: `find`, `find_many`, `Span`, `count_kinds`, `PERSONAL`, `SECRETS`, `KINDS`, `Redactor`, `Redacted`,
`Mode`, `Engine`, `EngineName`, `make_engine`.
`freehold.curate.pii.presidio` asks Presidio as well, where it is installed (`pip install freehold[pii]`).

What is told apart by form, check digit and the words beside it is found here, as six languages and more write it.
Names, places and anything else that only its meaning gives away is not: Presidio does that, with a model.
"""

from freehold.curate.pii.engines import Engine, EngineName, make_engine
from freehold.curate.pii.kinds import KINDS, PERSONAL, SECRETS
from freehold.curate.pii.redact import Mode, Redacted, Redactor
from freehold.curate.pii.scan import count_kinds, find, find_many
from freehold.curate.pii.spans import Span

__all__ = [
    "KINDS",
    "PERSONAL",
    "SECRETS",
    "Engine",
    "EngineName",
    "Mode",
    "Redacted",
    "Redactor",
    "Span",
    "count_kinds",
    "find",
    "find_many",
    "make_engine",
]
