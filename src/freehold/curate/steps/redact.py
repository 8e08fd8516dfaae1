"""Personal data and secrets in rows: replaced, or their rows left out."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from freehold.config.curate_settings import Redact, Secrets
from freehold.curate.pii import KINDS, PERSONAL, SECRETS, Redactor, find_many, make_engine
from freehold.curate.steps.base import Chosen, Scope, kept_all, kept_where
from freehold.domain.errors import ConfigError

_TEXTS = ("prompt", "answer")
_NO_SECRET = bytes(32)
"""Masks are drawn with nothing."""


class RedactStep:
    """Puts pseudonyms or masks in the place of personal data, in prompts and answers.

    Args:
        settings: which, and how.
        secret: gives what pseudonyms are drawn with; asked for where rows are curated, and sent to where they are
            looked at.
    """

    name = "redact"
    scope: Scope = "training"
    needs = ()

    def __init__(self, settings: Redact, secret: Callable[[], bytes]) -> None:
        self._settings = settings
        self._secret = secret
        unknown = set(settings.kinds) - set(KINDS)
        if unknown and settings.engine == "builtin":
            raise ConfigError(
                f"The step redact names kinds that are not known: {', '.join(sorted(unknown))}.",
                f"Name some of: {', '.join(PERSONAL)}.",
            )

    def learn(self, rows: pl.DataFrame) -> pl.DataFrame:
        """`secret`, in one row."""
        secret = self._secret() if self._settings.mode == "pseudonym" else _NO_SECRET
        return pl.DataFrame({"secret": [secret]}, schema={"secret": pl.Binary})

    def measure_knowing(self, rows: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
        """The texts without personal data."""
        asked = self._settings
        kinds = asked.kinds or tuple(PERSONAL)
        if asked.engine != "builtin" and not asked.kinds:
            kinds = ()  # all that the engine knows
        redactor = Redactor(known.item(), asked.mode, engine=make_engine(asked.engine, kinds, asked.model))
        return pl.DataFrame(
            {name: [done.text for done in redactor.redact_many(rows.get_column(name).to_list())] for name in _TEXTS},
            schema=dict.fromkeys(_TEXTS, pl.String),
        )

    def choose(self, rows: pl.DataFrame) -> Chosen:
        """All rows stay."""
        return kept_all(rows)


class SecretsStep:
    """Leaves out rows that hold secrets, or masks these."""

    name = "secrets"
    scope: Scope = "training"
    needs = ()

    def __init__(self, settings: Secrets) -> None:
        self._settings = settings

    def measure(self, rows: pl.DataFrame) -> pl.DataFrame:
        """`_secret`: whether there is one; or the texts with masks."""
        texts = {name: rows.get_column(name).to_list() for name in _TEXTS}
        if self._settings.action == "mask":
            redactor = Redactor(_NO_SECRET, "mask", tuple(SECRETS))
            masked = {name: [done.text for done in redactor.redact_many(some)] for name, some in texts.items()}
            return pl.DataFrame(masked, schema=dict.fromkeys(_TEXTS, pl.String))
        in_prompt, in_answer = (find_many(some, tuple(SECRETS)) for some in texts.values())
        held = [bool(one or other) for one, other in zip(in_prompt, in_answer, strict=True)]
        return pl.DataFrame({"_secret": held}, schema={"_secret": pl.Boolean})

    def choose(self, rows: pl.DataFrame) -> Chosen:
        """Rows with secrets go, unless these were masked."""
        if "_secret" not in rows.columns:
            return kept_all(rows)
        return kept_where(~rows.get_column("_secret"), "holds a secret")
