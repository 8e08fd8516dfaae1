"""The process that verifies a release: `python -I -m freehold.cli.release_child`, started by `freehold release verify`.

It reads one JSON document from standard input, takes the network from itself, and writes one to standard output. With
`-I` neither the environment nor the folder it is started in adds to what it imports.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import msgspec

from freehold.domain.errors import FreeholdError
from freehold.runners.apart import cut_off

if TYPE_CHECKING:
    from freehold.domain.rights import Kind
    from freehold.release.verify import Workshop


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be verified."""

    folder: str
    key: str
    """64 hex digits."""
    level: int
    config: str | None
    """Of the installation whose rows may be looked at, absolute."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """It could not be: as the command line tells of errors."""

    code: str
    message: str
    hint: str
    exit_code: int


def main() -> int:
    """Carry out the order that is on standard input."""
    network = cut_off()  # before anything is imported that starts threads
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    try:
        body = _verified(order, network)
    except FreeholdError as error:
        refusal = Refusal(code=error.code, message=error.message, hint=error.hint, exit_code=error.exit_code)
        body = msgspec.json.encode({"error": refusal})
    sys.stdout.buffer.write(body)
    sys.stdout.buffer.flush()
    return 0


def _verified(order: Order, network: str) -> bytes:
    from pathlib import Path

    from freehold.config import configure_logs
    from freehold.release.verify import verify_release

    configure_logs("warning")

    def workshop(kind: Kind) -> Workshop:
        from freehold.loop.release_jobs import workshop_for  # late: level 0 needs nothing that computes

        return workshop_for(kind, Path(order.config) if order.config else None)

    report = verify_release(Path(order.folder), order.key, order.level, workshop, network)
    return msgspec.json.encode({"report": report})


if __name__ == "__main__":
    sys.exit(main())
