"""Decisions by counsel for tests."""

from __future__ import annotations

from typing import Any

from freehold.domain.counsel import Decision
from freehold.domain.rights import Action


def decided(terms: str, purpose: Action, until: str = "2027-01-01", *, allow: bool = True, **more: Any) -> Decision:
    """A decision as it is before it is signed; what is pure asks no signature."""
    return Decision(
        decision_id=f"cd_{terms}",
        terms=terms,
        purpose=purpose,
        allow=allow,
        decided_by="counsel",
        until=until,
        created_ns=1,
        **more,
    )
