"""Personal data and secrets in rows: replaced, or their rows left out."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from freehold.config.curate_settings import Redact, Secrets
from freehold.curate.pii import KINDS, PERSONAL, SECRETS, Redactor, find_many, make_engine
from freehold.curate.steps.base import Chosen, Scope, kept_all
from freehold.domain.errors import ConfigError

_TEXTS = ("prompt", "answer", "label", "edit")
"""What people wrote in feedback too: the best answer may be taken from it, later on."""
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
        return _redacted(redactor, rows)

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
        """`_secret`: the kind of the first that is found, null if none is; or the texts with masks."""
        if self._settings.action == "mask":
            return _redacted(Redactor(_NO_SECRET, "mask", tuple(SECRETS)), rows)
        found = [find_many(rows.get_column(name).fill_null("").to_list(), tuple(SECRETS)) for name in _TEXTS]
        firsts = [next((span.kind for spans in row for span in spans), None) for row in zip(*found, strict=True)]
        return pl.DataFrame({"_secret": firsts}, schema={"_secret": pl.String})

    def choose(self, rows: pl.DataFrame) -> Chosen:
        """Rows with secrets go, unless these were masked."""
        if "_secret" not in rows.columns:
            return kept_all(rows)
        kinds = rows.get_column("_secret")
        return Chosen(kinds.is_null(), "holds a secret: " + kinds)


def _redacted(redactor: Redactor, rows: pl.DataFrame) -> pl.DataFrame:
    """The texts of the rows, redacted; what is null stays so."""
    columns: dict[str, list[str | None]] = {}
    for name in _TEXTS:
        texts: list[str | None] = rows.get_column(name).to_list()
        done = redactor.redact_many([text or "" for text in texts])
        columns[name] = [None if text is None else one.text for text, one in zip(texts, done, strict=True)]
    return pl.DataFrame(columns, schema=dict.fromkeys(_TEXTS, pl.String))
