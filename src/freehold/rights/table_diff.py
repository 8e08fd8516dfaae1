"""What changed between two versions of a licence's entry, clause by clause. Pure."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec

from freehold.domain.errors import RightsError
from freehold.rights.clauses import Clause, Licence

Change = Literal["added", "removed", "changed"]


class ClauseChange(msgspec.Struct, frozen=True):
    """One difference."""

    clause: str
    change: Change
    fields: tuple[str, ...] = ()
    """What of the clause changed."""
    before: str = ""
    after: str = ""


def read_entry(path: Path) -> Licence:
    """A licence's entry from a file of the table's form.

    Raises:
        RightsError: it cannot be read, or is no such entry.
    """
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Licence)
    except OSError as error:
        raise RightsError(f"{path} cannot be read: {error.strerror}.", "Give a file of the table.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise RightsError(f"{path} is no entry of the table of licences: {error}.", "Mend it and try again.") from error


def compare(old: Licence, new: Licence) -> tuple[ClauseChange, ...]:
    """Clauses that were added, removed or changed, then other facts, in the order of their ids."""
    before, after = _clauses(old), _clauses(new)
    found: list[ClauseChange] = []
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            found.append(ClauseChange(name, "removed", before=before[name].says))
        elif name not in before:
            found.append(ClauseChange(name, "added", after=after[name].says))
        elif before[name] != after[name]:
            fields = _differing(before[name], after[name])
            found.append(ClauseChange(name, "changed", fields, before[name].says, after[name].says))
    facts = tuple(name for name in _differing(old, new) if name not in ("clauses", "read", "texts", "marks", "note"))
    if facts:
        told = [", ".join(f"{name} = {getattr(entry, name)!r}" for name in facts) for entry in (old, new)]
        found.append(ClauseChange("facts", "changed", facts, *told))
    return tuple(found)


def _clauses(licence: Licence) -> dict[str, Clause]:
    return {clause.id: clause for clause in licence.clauses}


def _differing(old: Any, new: Any) -> tuple[str, ...]:
    return tuple(name for name in old.__struct_fields__ if getattr(old, name) != getattr(new, name))
