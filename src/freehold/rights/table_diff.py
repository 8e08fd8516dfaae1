"""What changed between two versions of an entry of the table of licences, or of the whole table, clause by clause."""

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
    """Its id, after `LICENCE/` where whole tables are compared; `facts` or `text` for what is no clause."""
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


def compare_files(old: Path, new: Path) -> tuple[tuple[ClauseChange, ...], set[str]]:
    """What changed between two entries, or between two folders of entries, and the licences that it concerns.

    Raises:
        RightsError: one is a folder and the other is not, or an entry cannot be read.
    """
    if old.is_dir() != new.is_dir():
        raise RightsError(f"{old} and {new} are a folder and a file.", "Give two of a kind.")
    if not old.is_dir():
        before, after = read_entry(old), read_entry(new)
        changes = compare(before, after)
        return changes, {before.id, after.id} if changes else set()
    tables = read_table(old), read_table(new)
    found: list[ClauseChange] = []
    for name in sorted(tables[0].keys() | tables[1].keys()):
        first, second = (table.get(name) or Licence(id=name, name="", read="", verified="nothing") for table in tables)
        changes = compare(first, second)
        found += [msgspec.structs.replace(change, clause=f"{name}/{change.clause}") for change in changes]
    return tuple(found), {change.clause.partition("/")[0] for change in found}


def read_table(folder: Path) -> dict[str, Licence]:
    """All entries in a folder and the folders in it, by id.

    Raises:
        RightsError: there is none, or one cannot be read.
    """
    found = {entry.id: entry for entry in map(read_entry, sorted(folder.rglob("*.toml")))}
    if not found:
        raise RightsError(f"There is no entry (.toml) in {folder}.", "Give a folder like the package's rights/tables.")
    return found


def compare(old: Licence, new: Licence) -> tuple[ClauseChange, ...]:
    """Clauses that were added, removed or changed, then other facts and the texts that were read."""
    before, after = _clauses(old), _clauses(new)
    found: list[ClauseChange] = []
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            found.append(ClauseChange(name, "removed", before=before[name].says))
        elif name not in before:
            found.append(ClauseChange(name, "added", after=after[name].says))
        elif before[name] != after[name]:
            fields = _differing(before[name], after[name])
            told = (_told(clause[name], fields) for clause in (before, after))
            found.append(ClauseChange(name, "changed", fields, *told))
    facts = tuple(name for name in _differing(old, new) if name not in ("clauses", "read", "texts", "marks", "note"))
    if facts:
        told = [", ".join(f"{name} = {getattr(entry, name)!r}" for name in facts) for entry in (old, new)]
        found.append(ClauseChange("facts", "changed", facts, *told))
    texts = [", ".join(text.sha256[:16] or text.source for text in entry.texts) for entry in (old, new)]
    if texts[0] != texts[1]:
        found.append(ClauseChange("text", "changed", ("texts",), *texts))
    return tuple(found)


def _told(clause: Clause, fields: tuple[str, ...]) -> str:
    """What a clause says, and those of its other fields that changed."""
    told = msgspec.to_builtins(clause)
    others = (f"{field} = {msgspec.json.encode(told.get(field)).decode()}" for field in fields if field != "says")
    return "; ".join([clause.says, *others])


def _clauses(licence: Licence) -> dict[str, Clause]:
    return {clause.id: clause for clause in licence.clauses}


def _differing(old: Any, new: Any) -> tuple[str, ...]:
    return tuple(name for name in old.__struct_fields__ if getattr(old, name) != getattr(new, name))
