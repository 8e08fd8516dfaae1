"""Contamination: rows to learn from that hold what a student is judged by, in the task's own held-out parts or in a
benchmark. Thirteen words in a row that both have are taken for a copy, as by T. Brown et al., "Language Models are
Few-Shot Learners", 2020."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import polars as pl

from freehold.config.curate_settings import Decontaminate
from freehold.curate.steps.base import Chosen, Scope
from freehold.curate.steps.benchmarks import benchmark_texts
from freehold.curate.steps.grams import Hashes, word_grams

_CERTIFY, _TUNE, _BENCHMARK = 1, 2, 4
"""Whose a run of words is: added up where it is of several."""
_FRESH = 1_000_000
_SCHEMA = {"gram": pl.UInt64, "whose": pl.UInt8}


class DecontaminateStep:
    """Takes away rows to fit on that share a run of words with a row to tune or certify on, rows to tune on that share
    one with a row to certify on, and either that shares one with a benchmark.

    A text of fewer words than a run is compared as a whole. Runs that many held-out prompts have are the words of a
    form, and no copy. Needed in memory: 8 bytes for each word that is held out.
    """

    name = "decontaminate"
    scope: Scope = "training"
    needs = ()

    def __init__(self, settings: Decontaminate) -> None:
        self._settings = settings

    def learn(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The runs that are held out: `gram`, its hash, in order; `whose`.

        Raises:
            ConfigError: a benchmark's file cannot be read, or holds no text.
        """
        words, frames = self._settings.words, [pl.DataFrame(schema=_SCHEMA)]
        for whose, part in ((_CERTIFY, "certify"), (_TUNE, "tune")):
            if self._settings.own:
                prompts = rows.filter(pl.col("part") == part).get_column("prompt").unique(maintain_order=True)
                frames.append(_frame(_rare(prompts, words, self._settings.common), whose))
        named = (_all(benchmark_texts(Path(path)), words) for path in self._settings.benchmarks)
        frames.extend(_frame(grams, _BENCHMARK) for grams in named)
        return pl.concat(frames).group_by("gram").agg(pl.col("whose").bitwise_or()).sort("gram")

    def measure_knowing(self, rows: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
        """`_shared`: with whom the row has a run of words in common; an answer with benchmarks only."""
        in_prompt = _shared(rows.get_column("prompt"), known, self._settings.words)
        in_answer = _shared(rows.get_column("answer"), known, self._settings.words) & np.uint8(_BENCHMARK)
        return pl.DataFrame({"_shared": pl.Series(in_prompt | in_answer, dtype=pl.UInt8)})

    def choose(self, rows: pl.DataFrame) -> Chosen:
        """Rows that share what they must not go."""
        shared, fit = pl.col("_shared"), pl.col("part") == "fit"
        reasons = rows.select(
            pl.when(shared & _CERTIFY > 0)
            .then(pl.lit("holds what certifies"))
            .when(fit & (shared & _TUNE > 0))
            .then(pl.lit("holds what is tuned on"))
            .when(shared & _BENCHMARK > 0)
            .then(pl.lit("holds a benchmark's text"))
        ).to_series()
        return Chosen(reasons.is_null(), reasons)


def _frame(grams: Hashes, whose: int) -> pl.DataFrame:
    return pl.DataFrame({"gram": grams, "whose": np.full(len(grams), whose, np.uint8)}, schema=_SCHEMA)


def _all(texts: Iterable[pl.Series], words: int) -> Hashes:
    """The runs of words of texts, each once."""
    found, fresh, waiting = np.zeros(0, np.uint64), list[Hashes](), 0
    for chunk in (chunk for some in texts for chunk in word_grams(some, words)):
        fresh.append(chunk.hashes)
        waiting += len(chunk.hashes)
        if waiting > max(len(found), _FRESH):  # so seldom that sorting costs no more than once over
            found, fresh, waiting = np.unique(np.concatenate([found, *fresh])), [], 0
    return np.unique(np.concatenate([found, *fresh]))


def _rare(prompts: pl.Series, words: int, common: int) -> Hashes:
    """The runs that at most `common` of the prompts have, each once."""
    each: list[Hashes] = [np.zeros(0, np.uint64)]
    for chunk in word_grams(prompts, words):
        texts = np.repeat(np.arange(len(chunk.offsets) - 1), np.diff(chunk.offsets))
        pairs = pl.DataFrame({"text": texts, "gram": chunk.hashes}).unique()
        each.append(pairs.get_column("gram").to_numpy())
    grams, counts = np.unique(np.concatenate(each), return_counts=True)
    return grams[counts <= common]


def _shared(texts: pl.Series, known: pl.DataFrame, words: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """For each text whose runs of words it has."""
    grams, whose = known.get_column("gram").to_numpy(), known.get_column("whose").to_numpy()
    found = np.zeros(len(texts), np.uint8)
    if not len(grams):
        return found
    for chunk in word_grams(texts, words):
        places = np.minimum(np.searchsorted(grams, chunk.hashes), len(grams) - 1)
        hits = np.flatnonzero(grams[places] == chunk.hashes)
        texts_hit = chunk.start + np.searchsorted(chunk.offsets, hits, side="right") - 1
        np.bitwise_or.at(found, texts_hit, whose[places[hits]])
    return found
