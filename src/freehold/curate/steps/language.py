"""Language: rows whose prompt is in another language than those that are wanted go."""

from __future__ import annotations

import polars as pl

from freehold.config.curate_settings import Language
from freehold.curate.steps.base import Chosen, Scope
from freehold.curate.steps.languages import LANGUAGES, language_of
from freehold.domain.errors import ConfigError


class LanguageStep:
    """Keeps rows in some languages; see `freehold.curate.steps.languages` for how they are told."""

    name = "language"
    scope: Scope = "training"
    needs = ()

    def __init__(self, settings: Language) -> None:
        unknown = set(settings.languages) - LANGUAGES
        if unknown:
            raise ConfigError(
                f"The step language names {', '.join(sorted(unknown))}, which cannot be told.",
                f"It can tell: {', '.join(sorted(LANGUAGES))}.",
            )
        self._settings = settings

    def measure(self, rows: pl.DataFrame) -> pl.DataFrame:
        """`_language`: null where it cannot be told."""
        found = [language_of(prompt) for prompt in rows.get_column("prompt")]
        return pl.DataFrame({"_language": found}, schema={"_language": pl.String})

    def choose(self, rows: pl.DataFrame) -> Chosen:
        """Rows in another language go, and those in an unknown one if that is set."""
        language = pl.col("_language")
        reasons = rows.select(
            pl.when(language.is_null() & (not self._settings.unknown))
            .then(pl.lit("unknown language"))
            .when(language.is_not_null() & ~language.is_in(self._settings.languages))
            .then(pl.format("language {}", language))
        ).to_series()
        return Chosen(reasons.is_null(), reasons)
