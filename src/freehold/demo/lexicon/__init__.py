"""What the demo's customers and agents can say: TOML files, and the types they are read as."""

from __future__ import annotations

import msgspec

COMMON, INTENTS, URGENCY, EXTRACTION, REPLIES, COMPLAINTS, QUERIES = (
    "common.toml",
    "intents.toml",
    "urgency.toml",
    "extraction.toml",
    "replies.toml",
    "complaints.toml",
    "queries.toml",
)


class Lines(msgspec.Struct, frozen=True):
    """Interchangeable sentences around a message's core."""

    lines: list[str]


class Bodies(msgspec.Struct, frozen=True):
    """Interchangeable core sentences."""

    bodies: list[str]


class CommonLexicon(msgspec.Struct, frozen=True):
    """Slots and sentences of every task."""

    slots: dict[str, list[str]]
    openers: Lines
    context: Lines
    closers: Lines
    small_talk: Lines


class Intent(msgspec.Struct, frozen=True):
    """One label of triage; `weight` is relative to the other intents'."""

    weight: int
    gloss: str
    bodies: list[str]


class Ambiguous(msgspec.Struct, frozen=True):
    """Sentences that fit several intents equally."""

    intents: list[str]
    bodies: list[str]


class IntentLexicon(msgspec.Struct, frozen=True):
    """All intents, by label."""

    intents: dict[str, Intent]
    ambiguous: list[Ambiguous]


class Situation(msgspec.Struct, frozen=True):
    """One kind of urgency message and its share of traffic."""

    share: float
    bodies: list[str]


class UrgencyLexicon(msgspec.Struct, frozen=True):
    """Situations that are urgent, are not, could be either, and those of the drift; `impatient` is added to any."""

    yes: Situation
    no: Situation
    unsure: Situation
    impatient: Situation
    rumour: Situation
    drift: Situation


class Field(msgspec.Struct, frozen=True):
    """A field's values, each with its wordings; `default` when none is said."""

    values: dict[str, list[str]]
    default: str = ""
    distractors: Bodies = Bodies(bodies=[])


class RefundField(msgspec.Struct, frozen=True, rename={"asked": "true", "not_asked": "false"}):
    """Wordings of a refund that is asked for, and of one that is not."""

    asked: Bodies
    not_asked: Bodies


class ExtractionLexicon(msgspec.Struct, frozen=True):
    """Problem sentences and the four fields."""

    slots: dict[str, list[str]]
    problems: Bodies
    product: Field
    channel: Field
    refund: RefundField
    priority: Field


class Topic(msgspec.Struct, frozen=True):
    """A customer's question and the sentences that answer it."""

    ask: list[str]
    first: list[str]
    then: list[str]


class ReplyLexicon(msgspec.Struct, frozen=True):
    """Everything free-text replies are made of."""

    greetings: Bodies
    endings: Bodies
    vague: Bodies
    topics: dict[str, Topic]


class ComplaintLexicon(msgspec.Struct, frozen=True):
    """What complaints are made of; `wishes` by the value of the closed field."""

    nouns: list[str]
    problems: list[str]
    order: list[str]
    customer: list[str]
    amount: list[str]
    date: list[str]
    no_date: list[str]
    wishes: dict[str, list[str]]


class Filter(msgspec.Struct, frozen=True):
    """A condition on a query: what it says after a noun, and its SQL. `values` gives each value its wordings; without
    them the slot is an open value (a date, a month, a number)."""

    sql: str
    bodies: list[str]
    tables: list[str] = []
    """That it needs beside the family's own, by their aliases."""
    values: dict[str, list[str]] = {}


class Family(msgspec.Struct, frozen=True):
    """One kind of question; `{what}` is where its conditions are said."""

    weight: int
    tables: list[str]
    """By their aliases; the first is selected from, the others are joined."""
    select: str
    bodies: list[str]
    filters: list[str]
    fewest: int = 0
    most: int = 2
    """How many conditions are said."""
    where: str = ""
    """A condition that every question of this family has."""
    tail: str = ""
    """GROUP BY and what follows."""
    values: dict[str, list[str]] = {}
    """Wordings of the slot `{by}`, by the column that it is."""


class QueryLexicon(msgspec.Struct, frozen=True):
    """All that the analysts ask."""

    tables: dict[str, str]
    """With their aliases."""
    joins: dict[str, str]
    """By the aliases of the first table and of the one joined to it."""
    filters: dict[str, Filter]
    families: dict[str, Family]
    openers: list[str]
