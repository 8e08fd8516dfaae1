"""What may be done with a model, its answers and its students, and under which duties. Not legal advice."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

Action = Literal[
    "serve_internally",
    "serve_public",
    "fine_tune",
    "merge",
    "distil",
    "train_classifier",
    "distribute",
    "use_name",
]
"""serve_internally: answer the organisation's own people; serve_public: answer others; fine_tune: train it on; merge:
mix its weights with others; distil: train a model that writes on its answers; train_classifier: train a model that only
chooses between labels on them; distribute: give the weights to others; use_name: call a product by its name."""
ACTIONS: tuple[Action, ...] = get_args(Action)
UNKNOWN = "unknown"
"""The terms of what nobody knows."""
TRAINING: frozenset[Action] = frozenset(("distil", "train_classifier"))

Outcome = Literal["allow", "duties", "needs-counsel", "deny"]
STRICTNESS: dict[Outcome, int] = {"allow": 0, "duties": 1, "needs-counsel": 2, "deny": 3}

DutyKind = Literal[
    "notice",
    "licence-copy",
    "changes-marked",
    "name-prefix",
    "display",
    "use-policy",
    "registration",
    "not-distributed",
    "not-competing",
    "recurring",
]
Kind = Literal["classifier", "generative"]
Role = Literal["base", "teacher", "rows"]
"""base: its weights are in the asset; teacher: the asset was trained on its answers; rows: its answers are in the
asset, which is a dataset."""


class Duty(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Something that must be done."""

    kind: DutyKind
    text: str = ""
    """What it is: the words to display, the beginning of a name, the file to keep."""


class Parent(msgspec.Struct, frozen=True):
    """Where an asset comes from."""

    role: Role
    asset: Asset


class Asset(msgspec.Struct, frozen=True, kw_only=True):
    """A model, or the answers of one, and all it was made of."""

    asset_id: str
    licence: str
    """Id of the licence or terms it comes under; `own` for what the organisation made itself."""
    kind: Kind = "generative"
    modality: tuple[str, ...] = ("text",)
    parents: tuple[Parent, ...] = ()


class Organisation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Facts that verdicts depend on. None: not known, which is read as the stricter of the two."""

    monthly_users: int | None = None
    annual_revenue: int | None = None
    """US dollars."""
    monthly_revenue: int | None = None
    """US dollars, of products that models answer in."""
    founded: str = ""
    """The day (ISO 8601): before it, it had no users and no revenue."""
    company_in: str = ""
    """Where it is domiciled: ISO 3166-1 alpha-2."""
    users_in: tuple[str, ...] = ()
    commercial: bool = True
    serves_public: bool | None = None
    """Whether models answer others than its own people."""
    distributes_weights: bool | None = None
    sells_ai_services: bool | None = None
    """Whether it sells services that compete with those of model providers."""
    at: dict[str, OrganisationThen] = {}
    """Its numbers on days that licences ask about: ISO date → numbers."""


class OrganisationThen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The numbers of one day."""

    monthly_users: int | None = None
    annual_revenue: int | None = None


NO_FACTS = Organisation()
"""Nothing is known."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One clause that a verdict rests on."""

    licence: str
    clause: str
    outcome: Outcome
    says: str
    why: str = ""
    """Why it applies: the fact that meets, or is missing for, its condition; the way it was inherited."""
    duties: tuple[Duty, ...] = ()
    source: str = ""
    sha256: str = ""
    """Of the text."""
    date: str = ""
    """When the text was read."""


class Ruling(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on one action with one asset on one day."""

    action: Action
    asset_id: str
    outcome: Outcome
    findings: tuple[Finding, ...]
    """The strictest first."""
    duties: tuple[Duty, ...] = ()
    date: str

    @property
    def permits(self) -> bool:
        """Whether it may be done (duties permit it, and must then be met)."""
        return self.outcome in ("allow", "duties")
