"""Whether a clause's condition holds: yes, no, or nobody knows. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from freehold.domain.rights import Asset, Organisation
from freehold.rights.clauses import Condition

_EU = "AT BE BG HR CY CZ DK EE FI FR DE GR HU IE IT LV LT LU MT NL PL PT RO SK SI ES SE"
EU = frozenset(_EU.split(" "))
"""Member states on 2026-11-20."""


class Case(NamedTuple):
    """What is to be done, by whom."""

    asset: Asset
    """What the clause is to be applied to."""
    organisation: Organisation
    licences: frozenset[str]
    """Licences and terms that the asset comes under."""


class Answer(NamedTuple):
    """Whether a condition holds (None: not known), and by which fact."""

    holds: bool | None
    why: str = ""


def meets(condition: Condition | None, case: Case) -> Answer:
    """Whether all that `condition` says holds."""
    if condition is None:
        return Answer(True)
    answers = [look(condition, case) for look in _LOOKS]
    said = [answer for answer in answers if answer is not None]
    if any(answer.holds is False for answer in said):
        return Answer(False)
    unknown = [answer.why for answer in said if answer.holds is None]
    if unknown:
        return Answer(None, "; ".join(unknown))
    return Answer(True, "; ".join(answer.why for answer in said if answer.why))


def _users(condition: Condition, case: Case) -> Answer | None:
    if condition.monthly_users_above is None:
        return None
    return _above("monthly_users", condition.monthly_users_above, condition.on, case.organisation)


def _annual(condition: Condition, case: Case) -> Answer | None:
    if condition.annual_revenue_above is None:
        return None
    return _above("annual_revenue", condition.annual_revenue_above, condition.on, case.organisation)


def _monthly(condition: Condition, case: Case) -> Answer | None:
    if condition.monthly_revenue_above is None:
        return None
    return _above("monthly_revenue", condition.monthly_revenue_above, "", case.organisation)


def _above(name: str, limit: int, day: str, organisation: Organisation) -> Answer:
    """Whether a number is above `limit`: today's, or that of one day."""
    where = f"[organisation.at.{day}] {name}" if day else f"[organisation] {name}"
    if day and organisation.founded > day:
        return Answer(False, f"[organisation] founded is {organisation.founded}, after {day}")
    numbers = organisation.at.get(day) if day else organisation
    value: int | None = getattr(numbers, name) if numbers is not None else None
    if value is None:
        return Answer(None, f"{where} is not set, and more than {limit:,} would matter")
    return Answer(value > limit, f"{where} is {value:,}, the limit {limit:,}")


def _company(condition: Condition, case: Case) -> Answer | None:
    if not condition.company_in:
        return None
    if not case.organisation.company_in:
        return Answer(None, "[organisation] company_in is not set")
    return Answer(_within((case.organisation.company_in,), condition.company_in), "by where the organisation is")


def _regions(condition: Condition, case: Case) -> Answer | None:
    if not condition.users_in:
        return None
    organisation = case.organisation
    given = (*organisation.users_in, *((organisation.company_in,) if organisation.company_in else ()))
    if not organisation.users_in and not _within(given, condition.users_in):
        return Answer(None, "[organisation] users_in is not set")
    return Answer(_within(given, condition.users_in), "by where the organisation or its users are")


def _within(given: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    listed = {region.upper() for region in wanted}
    return any(
        region.upper() in listed or ("EU" in listed and region.upper() in EU) or region.upper() == "WORLD"
        for region in given
    )


def _modality(condition: Condition, case: Case) -> Answer | None:
    if not condition.modality:
        return None
    return Answer(not set(condition.modality).isdisjoint(case.asset.modality), "by what the model takes and gives")


def _commercial(condition: Condition, case: Case) -> Answer | None:
    if condition.commercial is None:
        return None
    kind = "commercial" if case.organisation.commercial else "not commercial"
    return Answer(condition.commercial == case.organisation.commercial, f"the use is {kind}")


def _distributed(condition: Condition, case: Case) -> Answer | None:
    return _fact(condition.distributed, case.organisation.distributes_weights, "distributes_weights")


def _competing(condition: Condition, case: Case) -> Answer | None:
    return _fact(condition.competing, case.organisation.sells_ai_services, "sells_ai_services")


def _fact(wanted: bool | None, known: bool | None, name: str) -> Answer | None:
    if wanted is None:
        return None
    if known is None:
        return Answer(None, f"[organisation] {name} is not set")
    return Answer(wanted == known, f"[organisation] {name} is {str(known).lower()}")


def _family(condition: Condition, case: Case) -> Answer | None:
    if not condition.except_for:
        return None
    return Answer(case.licences.isdisjoint(condition.except_for))


_LOOKS: tuple[Callable[[Condition, Case], Answer | None], ...] = (
    _users,
    _annual,
    _monthly,
    _company,
    _regions,
    _modality,
    _commercial,
    _distributed,
    _competing,
    _family,
)
