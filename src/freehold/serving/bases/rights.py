"""What may be done with a base model here: detected licence in, the rights engine's verdicts out. Unknown is deny."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from freehold.domain.counsel import Decision
from freehold.domain.errors import RightsError
from freehold.domain.evidence import Verdict
from freehold.domain.rights import UNKNOWN, Action, Asset, Organisation, Parent
from freehold.rights import OWN, Detected, detect, licences, rule, verdict_of


class BaseRights(msgspec.Struct, frozen=True, kw_only=True):
    """The verdicts on what students made from a base are for."""

    licence: str
    """That it comes under; `unknown` where that is not certain."""
    how: str
    """`exact` (its text), `metadata` (declared by it), `configured`, or `unknown` and why."""
    train: Verdict
    serve: Verdict
    """To the organisation's own people, and to others too unless it is known that there are none."""
    ship: Verdict
    """Giving the weights to others: looked at again, and binding, when a release is built."""

    @property
    def permits(self) -> bool:
        """Whether students may be made from it and answer."""
        return self.train.permits and self.serve.permits


def rights_of(
    name: str,
    folder: Path,
    organisation: Organisation,
    configured: Mapping[str, str],
    today: datetime.date,
    decisions: Iterable[Decision] = (),
) -> BaseRights:
    """The verdicts on a folder's model.

    Args:
        name: what it is called here.
        folder: its files.
        organisation: whose facts count.
        configured: `[models.licences]`: for this model where its files say nothing certain, and those it is made of.
        today: decisions by counsel expire.
        decisions: by counsel.
    """
    found = detect(folder)
    licence, how = _licence(found, configured.get(name, ""))
    # A model whose files name what it was made of comes under the licences of those as well.
    bases = tuple(base for base in found.bases if base != name)
    parents = tuple(Parent("base", Asset(asset_id=base, licence=configured.get(base, base))) for base in bases)
    asset = Asset(asset_id=name, licence=licence, parents=parents)
    kept = tuple(decisions)

    def verdict(*actions: Action) -> Verdict:
        given = [verdict_of(rule(action, asset, organisation, today, decisions=kept)) for action in actions]
        return next((one for one in given if not one.permits), given[0])

    serving: tuple[Action, ...] = ("serve_public", "serve_internally")
    return BaseRights(
        licence=licence,
        how=how,
        train=verdict("fine_tune"),
        serve=verdict(*(serving if organisation.serves_public is not False else serving[1:])),
        ship=verdict("distribute"),
    )


def require_rights(name: str, rights: BaseRights) -> None:
    """Stop where students may not be made from a base, or not answer.

    Raises:
        RightsError: what is refused, by which clause, and what to do.
    """
    for action, verdict in (("trained on", rights.train), ("served", rights.serve)):
        if verdict.permits:
            continue
        if rights.licence == UNKNOWN:
            raise RightsError(
                f"Nobody knows the licence of the base model {name} ({rights.how}), so it may not be {action}.",
                f'Once you know it, say so: [models.licences] "{name}" = "apache-2.0" (`freehold rights list` shows '
                f'the ids; "{OWN}" for a model you made yourselves).',
            )
        raise RightsError(
            f"The base model {name} may not be {action}: {verdict.reason}",
            f"`freehold rights explain {rights.licence}` shows the clauses; take another base, or ask counsel where "
            "they need one.",
        )


def _licence(found: Detected, configured: str) -> tuple[str, str]:
    if found.licence is not None and configured in ("", found.licence):
        return found.licence, found.how
    if found.licence is not None:
        return UNKNOWN, f"its files say {found.licence}, [models.licences] says {configured}"
    if configured:
        return configured, "configured"
    if found.conflicts:
        return UNKNOWN, found.conflicts[0].rstrip(".")
    if found.nearest:
        return UNKNOWN, f"its text is near to {found.nearest}, and differs from it"
    declared = next(iter(found.declared.values()), "")
    if declared and declared.lower() not in licences():
        return UNKNOWN, f"it declares {declared!r}, which no known licence is called"
    return UNKNOWN, "nothing in its folder says it"
