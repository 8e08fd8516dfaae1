"""What the demo can play: which tasks in which mix, when the traffic changes, and how the loop is set."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

import msgspec

from freehold.demo.shop import write_books
from freehold.train.recipes import Recipe, Scratch, load_recipe, recipe_toml

EPSILON = 0.05
BOOKS = "shop.sqlite"
"""The shop's books, beside the configuration."""
RECIPE = "quick.toml"
"""The recipe of its students, beside it too."""


class Drift(msgspec.Struct, frozen=True):
    """The traffic of one task becomes another."""

    task: str
    at: float = 0.5
    """At this share of the run."""
    after: int = 150
    """But not before its student has given so many answers: there must be something that can decay."""
    what: str = ""
    """What happens, for people."""


class Play(msgspec.Struct, frozen=True, kw_only=True):
    """One way to play the demo."""

    mix: Mapping[str, float]
    """Share of each task in the traffic."""
    titles: Mapping[str, str]
    requests: int
    seconds: float
    at_once: float = 0.0
    """Share of the requests that are sent as quickly as they are answered: a record to learn from. The rest comes
    evenly over the time that is left."""
    named: bool = False
    """Whether callers say which task a request is of; else the gateway finds out."""
    drift: Drift | None = None
    columns: tuple[str, ...]
    """Of the table at the end, by their names in `TaskFigures`."""
    settings: str
    """The configuration, past the upstream, with fields for what `write_settings` fills in."""
    books: bool = False
    """Whether the shop's books are needed: `{books}`."""
    recipe: Recipe | None = None
    """Of its students: `{recipe}`."""
    imports: tuple[str, ...] = ()
    """Libraries of the `[train]` extra that it cannot do without."""

    def write_settings(self, folder: Path) -> str:
        """The configuration's text past the upstream; writes the books and the recipe beside it."""
        books, recipe = folder.resolve() / BOOKS, folder.resolve() / RECIPE
        if self.books:
            write_books(books)
        if self.recipe is not None:
            recipe.write_text(recipe_toml(self.recipe), encoding="utf-8")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        return self.settings.format(epsilon=EPSILON, port=port, books=books, recipe=recipe)


def _quick() -> Recipe:
    """`tiny` for two tasks in six minutes: the desk's phrasings are all recorded, so it need not prepare for others."""
    tiny, change = load_recipe("tiny"), msgspec.structs.replace
    assert isinstance(tiny.model, Scratch)
    return change(
        tiny,
        name="quick",
        about="As `tiny`, but over sooner.",
        model=change(tiny.model, layers=3),
        data=change(tiny.data, noise_prompt=0.1),
        run=change(tiny.run, epochs=3.0, steps=700),
    )


CLASSICAL = Play(
    mix={"triage": 0.29, "urgency": 0.33, "extraction": 0.27, "reply": 0.11},
    titles={
        "triage": "intents, 24 labels",
        "urgency": "urgency, yes or no",
        "extraction": "closed JSON fields",
        "reply": "free-text replies",
    },
    requests=12_000,
    seconds=62.0,
    drift=Drift("urgency", what="a strike makes harmless questions urgent"),
    columns=("owned_share", "state", "epsilon", "loss_upper", "true_loss"),
    settings="""
[loop]
epsilon = {epsilon}
min_samples = 900
growth = 1.4
interval_seconds = 0.5
""",
)
"""Closed answers and classifiers, a minute; one student decays half-way and is rolled back."""

GENERATIVE = Play(
    mix={"complaint": 0.42, "sql": 0.58},
    titles={"complaint": "open JSON fields", "sql": "questions as SQL"},
    requests=13_000,
    seconds=340.0,
    at_once=11 / 13,
    named=True,
    columns=("owned_share", "owned_lately", "right_lately", "state", "loss_upper", "student_ms"),
    books=True,
    recipe=_quick(),
    imports=("torch", "transformers"),
    settings="""
[loop]
epsilon = {epsilon}
min_samples = 4400
growth = 2.0
interval_seconds = 2.0
probation_audit_rate = 0.5

# A quarter of an hour's rollout in a minute: there is nobody here whom a wrong answer could harm.
[students]
recipe = "{recipe}"

[students.server]
port = {port}

[students.rollout]
shadow_requests = 20
canary_share = 0.5
canary_audits = 20

[tasks.complaint.scorer]
kind = "json"

[tasks.sql.scorer]
kind = "sql"
database = "{books}"
""",
)
"""Open answers and a small language model of our own for each task, trained while the demo runs."""
