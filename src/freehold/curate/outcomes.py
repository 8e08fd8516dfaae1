"""Recorded outcomes from a file: who answered what how well at what cost, ready to fit and certify routers on.

Passes over figures alone choose the rows, a last one reads the texts of those: memory is bounded by what is kept.

What is left out is counted and said, never mended: rows without a score, a prompt or a cost while they are at most 1%
of a model's rows (more is an error: a gap is not always innocent), repeated questions after the first, prompts that not
every model was scored on, and prompts beyond the limit, which are thinned uniformly by a hash. Scores outside [0, 1]
are always an error: the scale is not known.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import polars as pl

from freehold.curate.outcome_checks import usable
from freehold.curate.outcome_prices import Price, list_price
from freehold.curate.outcome_rows import nearest_first, open_rows
from freehold.domain.errors import EvidenceError, NotFound, RequestError
from freehold.signals.outcomes import Outcomes

LIMIT = 60_000
"""Prompts kept."""
_YES = ("true", "1", "1.0", "t", "yes", "y")


class Recorded(NamedTuple):
    """What a file gave."""

    outcomes: Outcomes
    """The incumbent first, the candidates from cheap to dear."""
    left_out: dict[str, int]
    """Reason → rows of the file that were not used."""
    cost_sources: dict[str, str]
    """Model → whose dollars its costs are."""


class ModelInFile(msgspec.Struct, frozen=True):
    """One model of a file, over all its rows."""

    model: str
    rows: int
    score: float | None
    """Mean of the scores there are."""
    dollars: float | None
    """Per request, mean; None where they are not known."""
    owned: bool
    """Its weights are open, says the file."""


def list_models(path: Path, prices: Mapping[str, Price] | None = None) -> list[ModelInFile]:
    """The models of a file, the best first.

    Raises:
        NotFound, RequestError: the file cannot be used; see `open_rows`.
    """
    with open_rows(path) as rows:
        counts = _counts(rows)
        table = _price_table(list(filter(None, counts)), prices or {})
        score = pl.col("score").fill_nan(None)
        known = (pl.len().alias("rows"), score.mean(), pl.col("dollars").fill_nan(None).mean(), _owned().any())
        found = _priced(rows, table).group_by("model").agg(*known).collect(engine="streaming")
    models = [ModelInFile(**row) for row in found.select(ModelInFile.__struct_fields__).to_dicts() if row["model"]]
    return sorted(models, key=lambda item: (-(item.score or 0.0), item.model))


def read_outcomes(
    path: Path,
    incumbent: str,
    candidates: Sequence[str],
    *,
    limit: int = LIMIT,
    prices: Mapping[str, Price] | None = None,
    answers: bool = True,
) -> Recorded:
    """The outcomes of some models on the prompts that all of them were scored on.

    Args:
        path: Parquet, CSV or JSON lines; see `freehold.curate.outcome_rows`.
        incumbent: the model whose answers are the reference.
        candidates: the models that might answer in its place.
        limit: prompts kept at most.
        prices: they go before the file's dollars; where neither is known, the list price counts.
        answers: keep the candidates' answers (a cascade looks at them); the incumbent's are never kept.

    Raises:
        NotFound: there is no such file, or a model is not in it.
        RequestError: the file cannot be used as it is; the message says where, the hint what to do.
        EvidenceError: no prompt has a score of every model.
    """
    models = (incumbent, *candidates)
    if not candidates or len(set(models)) < len(models):
        raise RequestError("The incumbent and the candidates must be at least two, all different.", "Name each once.")
    left_out: dict[str, int] = {}
    with open_rows(path) as rows:
        counts = _counts(rows)
        _know(path, models, counts)
        table = _price_table(models, prices or {})
        figures = _figures(rows, models, table)
        left_out["rows without a model"] = counts.pop(None, 0)
        left_out["of other models"] = sum(counts.values()) - figures.height
        figures = usable(figures, path, table, left_out)
        wide, order = _complete(figures, path, models, limit, left_out)
        outcomes = _outcomes(rows, wide, order, answers)
    sources = {model: _source(figures.filter(pl.col("model") == model), model in (prices or {})) for model in order}
    left_out = {reason: number for reason, number in left_out.items() if number}
    return Recorded(outcomes, left_out, sources)


def _counts(rows: pl.LazyFrame) -> dict[str | None, int]:
    return dict(rows.group_by("model").agg(pl.len()).collect(engine="streaming").iter_rows())


def _know(path: Path, models: Sequence[str], counts: Mapping[str | None, int]) -> None:
    for model in models:
        if model not in counts:
            there = nearest_first(model, filter(None, counts))
            more = f" and {len(there) - 12} more" if len(there) > 12 else ""
            raise NotFound(
                f"{path} has no model {model!r}. It has {', '.join(there[:12])}{more}.",
                f"Perhaps {there[0]!r}; `freehold plan {path} --list` shows all." if there else "It has no rows.",
            )


def _price_table(models: Sequence[str], prices: Mapping[str, Price]) -> pl.DataFrame:
    """(model, input, output, request, by_token, given), dollars per token; nulls where no price is known."""
    found = {model: prices.get(model) or list_price(model) for model in models}
    return pl.DataFrame(
        [
            (model, price.input / 1e6, price.output / 1e6, price.request, price.by_token, model in prices)
            if price
            else (model, None, None, None, None, False)
            for model, price in found.items()
        ],
        schema={"model": pl.String, "input": pl.Float64, "output": pl.Float64, "request": pl.Float64,
                "by_token": pl.Boolean, "given": pl.Boolean},
        orient="row",
    )  # fmt: skip


def _priced(rows: pl.LazyFrame, table: pl.DataFrame) -> pl.LazyFrame:
    """The rows with `dollars`: at the given price, else the file's, else at the list price."""
    tokens = pl.col("input_tokens") * pl.col("input") + pl.col("output_tokens") * pl.col("output")
    price = pl.when(pl.col("by_token")).then(tokens).otherwise(pl.col("request"))
    dollars = pl.when(pl.col("given")).then(price).otherwise(pl.coalesce(pl.col("cost_usd").fill_nan(None), price))
    return rows.join(table.lazy(), on="model", how="left").with_columns(dollars.alias("dollars"))


def _owned() -> pl.Expr:
    return pl.col("is_open_weight").str.to_lowercase().is_in(_YES).fill_null(False).alias("owned")


def _figures(rows: pl.LazyFrame, models: Sequence[str], table: pl.DataFrame) -> pl.DataFrame:
    """The figures of these models' rows, in the order of the file; `key` says which prompt, `text` what it says."""
    text = pl.when(pl.col("prompt") != "").then(pl.col("prompt").hash(seed=1))
    key = pl.when(pl.col("prompt_id").is_null()).then(text).otherwise(pl.col("prompt_id").hash(seed=2))
    of_interest = rows.filter(pl.col("model").is_in(list(models)))
    return (
        _priced(of_interest, table)
        .select(
            "row",
            key.alias("key"),
            text.alias("text"),
            pl.col("model").cast(pl.Enum(models)),
            pl.col("score").fill_nan(None),
            "dollars",
            pl.col("cost_usd").is_not_null().alias("measured"),
            pl.col("input_tokens").is_null().alias("uncounted"),
            _owned(),
        )
        .collect(engine="streaming")
        .sort("row")
    )


def _complete(
    figures: pl.DataFrame, path: Path, models: Sequence[str], limit: int, left_out: dict[str, int]
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """One row per prompt that every model was scored on, with `row{j}, score{j}, dollars{j}, owned{j}` of the j-th
    model; and the models in order: the incumbent, then the candidates from cheap to dear."""
    means = dict(figures.group_by("model").agg(pl.col("dollars").mean()).iter_rows())
    order = (models[0], *sorted(models[1:], key=lambda model: (means.get(model, 0.0), model)))
    wide: pl.DataFrame | None = None
    for number, model in enumerate(order):
        columns = [pl.col(name).alias(f"{name}{number}") for name in ("row", "score", "dollars", "owned")]
        one = figures.filter(pl.col("model") == model).select("key", *columns)
        wide = one if wide is None else wide.join(one, on="key", how="inner", maintain_order="left")
    assert wide is not None
    if not wide.height:
        each = ", ".join(f"{model} {figures.filter(pl.col('model') == model).height:,}" for model in order)
        raise EvidenceError(
            f"No prompt of {path} has a score of every model. Prompts scored: {each}.",
            "Have all of these models answer the same prompts, and give equal prompts the same `prompt_id`.",
        )
    left_out["of prompts not scored for every model"] = figures.height - wide.height * len(order)
    if wide.height > limit:
        left_out[f"of prompts beyond the limit of {limit:,}, thinned by a hash"] = (wide.height - limit) * len(order)
        wide = wide.bottom_k(limit, by="key").sort("row0")  # keys are hashes: the smallest are a uniform sample
    return wide, order


def _outcomes(rows: pl.LazyFrame, wide: pl.DataFrame, order: tuple[str, ...], answers: bool) -> Outcomes:
    """Read the texts of the chosen rows: the incumbent's hold the prompts, the others the answers."""
    numbers = range(len(order))
    chosen = [_chosen(wide, order, number) for number in (numbers if answers else (0,))]
    wanted = pl.concat(chosen)["row"].implode()
    is_prompt = pl.col("model") == order[0]
    texts = rows.filter(pl.col("row").is_in(wanted)).select(
        "row",
        "model",
        *(pl.when(is_prompt).then(pl.col(name)).alias(name) for name in ("prompt_id", "task", "prompt")),
        pl.when(~is_prompt).then(pl.col("response")).alias("response"),
    )
    with tempfile.TemporaryDirectory(prefix="freehold-outcomes-") as folder:
        # What a filter leaves in memory holds on to the buffers that it was filtered from; a file does not.
        texts.sink_parquet(Path(folder) / "texts.parquet", compression="lz4", row_group_size=16_384)
        kept = pl.scan_parquet(Path(folder) / "texts.parquet")
        prompts = _column(kept, chosen[0], "prompt")
        ids, tasks = _column(kept, chosen[0], "prompt_id"), _column(kept, chosen[0], "task")
        given = [_column(kept, one, "response") for one in chosen[1:]]
    texts_of_answers = ([None] * len(prompts), *given) if any(any(one) for one in given) else None
    return Outcomes(
        prompt_ids=[known or _id(prompt or "") for known, prompt in zip(ids, prompts, strict=True)],
        prompts=[prompt or "" for prompt in prompts],
        tasks=[task or "" for task in tasks],
        models=order,
        scores=np.stack([wide[f"score{number}"].to_numpy() for number in numbers], axis=1),
        costs=np.stack([wide[f"dollars{number}"].to_numpy() for number in numbers], axis=1),
        answers=texts_of_answers,
        owned=tuple(bool(wide[f"owned{number}"].all()) for number in numbers),
    )


def _chosen(wide: pl.DataFrame, order: tuple[str, ...], number: int) -> pl.DataFrame:
    """Where one model's rows are; a line of JSON may hold rows of several models."""
    return wide.select(pl.col(f"row{number}").alias("row"), pl.lit(order[number]).alias("model"))


def _column(kept: pl.LazyFrame, chosen: pl.DataFrame, name: str) -> list[str | None]:
    texts = kept.filter(pl.col("model") == chosen["model"][0]).select("row", name).collect()
    return chosen.join(texts, on="row", how="left", maintain_order="left")[name].to_list()


def _id(prompt: str) -> str:
    return hashlib.blake2b(prompt.encode(), digest_size=12).hexdigest()


def _source(figures: pl.DataFrame, given: bool) -> str:
    if given:
        return "the price given"
    measured = figures["measured"]
    if measured.all():
        return "the file"
    return "the file, and list price × tokens in its gaps" if measured.any() else "list price × tokens"
