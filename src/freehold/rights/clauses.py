"""The table of licences and terms, clause by clause, as data files of the package: what they say, in our own words.

    tables/licences/ID.toml     a model licence
    tables/terms/ID.toml        a provider's terms on what may be done with its models' answers

A file that is absent, a clause that is absent, and a clause whose outcome is `unknown` all mean the same: nothing is
permitted by it. Not legal advice.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache, cached_property
from importlib.resources import files
from typing import Literal, Protocol
from urllib.parse import urlsplit

import msgspec

from freehold.domain.rights import ACTIONS, UNKNOWN, Action, Duty

Says = Literal["allow", "duties", "needs-counsel", "deny", "unknown"]
On = Literal["model", "outputs", "students"]
"""What a clause speaks of: the licensed model (and what is made of its weights), its answers, or the models that were
trained on its answers."""


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """When a clause applies: all that is said must hold. What is not known of the organisation does hold, where that
    is the stricter reading."""

    monthly_users_above: int | None = None
    """Active users in a month, of all products and services."""
    annual_revenue_above: int | None = None
    """US dollars."""
    monthly_revenue_above: int | None = None
    """US dollars, of the product that uses the model."""
    on: str = ""
    """The day (ISO 8601) whose numbers count, whatever they are now; empty: today's, and again every day."""
    company_in: tuple[str, ...] = ()
    """The organisation is domiciled in one of these (ISO 3166-1, or EU)."""
    users_in: tuple[str, ...] = ()
    """It, or its users, are in one of these."""
    modality: tuple[str, ...] = ()
    """The model takes or gives one of these: text, image, audio, video."""
    commercial: bool | None = None
    """The use is commercial, or is not."""
    distributed: bool | None = None
    """The trained model leaves the organisation, or does not."""
    competing: bool | None = None
    """The trained model competes with the provider's, or does not."""
    except_for: tuple[str, ...] = ()
    """Not for models that come under one of these licences."""


class Clause(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One thing that a licence says."""

    id: str
    says: str
    """In our own words."""
    outcome: Says
    actions: tuple[Action, ...] = ACTIONS
    on: On = "model"
    when: Condition | None = None
    duties: tuple[Duty, ...] = ()
    where: str = ""
    """Section of the text, where it is known."""
    in_doubt: bool = True
    """Whether a clause that restricts counts where it is not known whether its condition holds."""


class Text(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A text that was read."""

    source: str
    """Repository and path, or address."""
    sha256: str = ""
    """Of its bytes; empty where it was not kept."""
    commit: str = ""
    date: str = ""


class Licence(msgspec.Struct, frozen=True, dict=True, forbid_unknown_fields=True, omit_defaults=True):
    """A licence, or a provider's terms."""

    id: str
    name: str
    read: str
    """The day on which the text, or what is told of it, was read."""
    verified: Literal["text", "part", "told", "nothing"]
    """What was read: the text, a part of it, what others tell of it, or nothing."""
    version: str = ""
    """The date of the version."""
    spdx: str = ""
    students_inherit: bool | None = None
    """Whether a model that is trained on the model's answers comes under this licence itself; None: not known."""
    owns_outputs: bool | None = None
    """Whether the licensor owns what the model says."""
    owns_derivatives: bool | None = None
    may_restrict: bool | None = None
    """Whether the licensor may end or limit use from afar, or change the rules of use."""
    ends_by: tuple[str, ...] = ()
    """What ends it."""
    law: str = ""
    hosts: tuple[str, ...] = ()
    """Of terms: the hosts whose service they are about."""
    marks: tuple[str, ...] = ()
    """Words in lower case that its text has, and together only its text: they say what a text names itself."""
    texts: tuple[Text, ...] = ()
    clauses: tuple[Clause, ...] = ()
    note: str = ""

    @cached_property
    def by_subject(self) -> Mapping[tuple[On, Action], tuple[Clause, ...]]:
        """What a clause speaks of and an action → the clauses that speak of both, in order."""
        found: dict[tuple[On, Action], tuple[Clause, ...]] = {}
        for clause in self.clauses:
            for action in clause.actions:
                found[clause.on, action] = (*found.get((clause.on, action), ()), clause)
        return found


@cache
def licences() -> Mapping[str, Licence]:
    """All licences and terms of the package, by id."""
    tables = files("freehold.rights") / "tables"
    found: dict[str, Licence] = {}
    for folder in ("licences", "terms"):
        for path in sorted((tables / folder).iterdir(), key=lambda path: path.name):
            if path.name.endswith(".toml"):
                licence = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Licence)
                found[licence.id] = licence
    return found


def terms_of_url(base_url: str) -> str:
    """The id of the terms known for a URL's host, or `unknown`: a host that is not listed is never guessed."""
    host = urlsplit(base_url).hostname or ""
    return next((licence.id for licence in licences().values() if host in licence.hosts), UNKNOWN)


class Answering(Protocol):
    """An upstream as it is configured."""

    @property
    def terms(self) -> str | None: ...  # noqa: D102
    @property
    def base_url(self) -> str: ...  # noqa: D102


def terms_of_upstream(upstream: Answering) -> str:
    """The id of the terms that an upstream's answers come under: those that are configured, or known of its host."""
    return upstream.terms or terms_of_url(upstream.base_url)


def terms_of_upstreams(upstreams: Mapping[str, Answering]) -> dict[str, str]:
    """Upstream → the id of the terms that its answers come under; see `terms_of_upstream`."""
    return {name: terms_of_upstream(upstream) for name, upstream in upstreams.items()}


def dated(terms: str) -> str:
    """`ID@DATE`: the terms with the date of the version that was read, or of the day it was read where it has none;
    the id alone of what is in no table (`own`, `unknown`)."""
    entry = licences().get(terms)
    return terms if entry is None else f"{terms}@{entry.version or entry.read}"


def undated(terms: str) -> str:
    """The id in what `dated` gave."""
    return terms.partition("@")[0]
