"""Every table in one place: for each field of each protocol its counterpart, or why it has none.

Tests walk over these, and documents can be made of them: `rows()` gives one line per field.
"""

from __future__ import annotations

from collections.abc import Iterator

from freehold.upstreams.translate import (
    anthropic_answer,
    anthropic_content,
    anthropic_request,
    anthropic_stream,
    openai_answer,
    openai_content,
    openai_request,
    openai_stream,
    usage,
)
from freehold.upstreams.translate.rules import Rule, Table

_MODULES = (
    openai_request,
    openai_content,
    anthropic_request,
    anthropic_content,
    openai_answer,
    openai_stream,
    anthropic_answer,
    anthropic_stream,
    usage,
)


def tables() -> dict[str, Table]:
    """All tables, by module and name: `openai_request.REQUEST`."""
    found: dict[str, Table] = {}
    for module in _MODULES:
        for name, value in vars(module).items():
            if isinstance(value, Table) and all(value is not known for known in found.values()):
                found[f"{module.__name__.rpartition('.')[2]}.{name}"] = value
    return found


def rows() -> Iterator[tuple[Table, Rule]]:
    """Every field of every object of both protocols."""
    for found in tables().values():
        for rule in found.rules.values():
            yield found, rule
