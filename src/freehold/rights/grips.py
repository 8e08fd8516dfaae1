"""What somebody else has a hand on: who may end the use of a model, limit it, or owns what it says. Pure.

Looked at are the licences that go on to bind the model itself: its own, those of bases whose weights are in it, and
those of teachers that hand theirs on to students. Not legal advice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from freehold.domain.rights import Action, Asset, Finding, Ruling
from freehold.rights.clauses import Clause, Licence, licences
from freehold.rights.engine import OWN

USES: tuple[Action, ...] = ("serve_internally", "serve_public", "fine_tune", "distribute")
"""What the owner of a model can do with it."""
_RESTRICTS = ("deny", "needs-counsel", "unknown")


def binding(asset: Asset, table: Mapping[str, Licence] | None = None) -> tuple[str, ...]:
    """Licences that bind the asset itself, `own` left out."""
    known = licences() if table is None else table
    return tuple(name for name in dict.fromkeys(_binding(asset, known)) if name != OWN)


def _binding(asset: Asset, table: Mapping[str, Licence]) -> Iterator[str]:
    yield asset.licence
    for parent in asset.parents:
        above = _binding(parent.asset, table)
        yield from above if parent.role == "base" else (name for name in above if _handed_on(table.get(name)))


def _handed_on(entry: Licence | None) -> bool:
    return entry is not None and entry.students_inherit is True


def may_end(names: Iterable[str], table: Mapping[str, Licence] | None = None) -> tuple[str, ...]:
    """By what somebody else may end the use of what comes under these licences, in sentences; what is not known counts.

    That a licence ends by its licensee's own breach is no such thing: it is not somebody else's to decide.
    """
    known = licences() if table is None else table
    return tuple(said for name in names for said in _ends(name, known.get(name)))


def _ends(name: str, entry: Licence | None) -> Iterator[str]:
    if entry is None:
        yield f"Nothing is known of {name}."
        return
    if entry.may_restrict is True:
        yield f"{name}: the licensor may end or limit the use, or change its rules (read {entry.read})."
    elif entry.may_restrict is None:
        yield f"{name}: whether the licensor may end or limit the use is not known (read {entry.read})."
    for clause in entry.clauses:
        if clause.outcome in _RESTRICTS and clause.on == "model" and _goes_on(clause):
            yield f"{name}/{clause.id}: {clause.says} (read {entry.read})"


def _goes_on(clause: Clause) -> bool:
    """Whether it asks for numbers of today, whenever that is, and so may come to apply one day."""
    when = clause.when
    if when is None or when.on:
        return False
    limits = (when.monthly_users_above, when.annual_revenue_above, when.monthly_revenue_above)
    return any(limit is not None for limit in limits)


def limited(rulings: Iterable[Ruling]) -> tuple[Finding, ...]:
    """Of the rulings that do not permit what they are about: the strictest finding of each."""
    return tuple(ruling.findings[0] for ruling in rulings if not ruling.permits)


def owns_outputs(names: Iterable[str], table: Mapping[str, Licence] | None = None) -> tuple[str, ...]:
    """Who else owns, or may own, what is said under these licences, in sentences; empty: nobody does."""
    known = licences() if table is None else table
    said: list[str] = []
    for name in names:
        entry = known.get(name)
        if entry is None or entry.owns_outputs is None:
            read = f" (read {entry.read})" if entry is not None else ""
            said.append(f"{name}: who owns the outputs is not known{read}.")
        elif entry.owns_outputs:
            said.append(f"{name}: the licensor owns the outputs (read {entry.read}).")
    return tuple(said)
