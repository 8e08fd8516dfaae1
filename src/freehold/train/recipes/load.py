"""Reads recipes: built-in ones by name, others from TOML files; says what does not fit before anything is begun."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from freehold.domain.errors import ConfigError
from freehold.train.recipes.recipe import Adapter, Base, Data, Optimizer, Preference, Recipe, Run, Scratch

BUILTIN = Path(__file__).parent / "builtin"
_SHOW = "`freehold recipes show tiny` shows every field with its reason."


def builtin_names() -> list[str]:
    """The built-in recipes, in order of name."""
    return sorted(path.stem for path in BUILTIN.glob("*.toml"))


def find_recipe(wanted: str, beside: Path | None = None) -> Path:
    """The file of a built-in recipe, or the file named; relative ones lie below `beside` (the working folder).

    Raises:
        ConfigError: there is neither.
    """
    if wanted in builtin_names():
        return BUILTIN / f"{wanted}.toml"
    path = (beside or Path()) / wanted
    if path.is_file():
        return path
    near = difflib.get_close_matches(wanted, builtin_names(), 1)
    raise ConfigError(
        f"There is no recipe {wanted!r}: neither a built-in one nor a file at {path.absolute()}.",
        (f"Did you mean {near[0]!r}? " if near else "") + f"Built-in: {', '.join(builtin_names())}.",
    )


def load_recipe(wanted: str, beside: Path | None = None) -> Recipe:
    """A recipe by its built-in name or file, checked.

    Raises:
        ConfigError: there is none, or a field of it cannot be used; the message names file and field.
    """
    return read_recipe(find_recipe(wanted, beside))


def read_recipe(path: Path) -> Recipe:
    """The recipe in a TOML file, checked.

    Raises:
        ConfigError: the file or a field of it cannot be used; the message names both.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        recipe = msgspec.convert(raw, Recipe)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.", "Check its permissions.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.", "Mend the line that is named.") from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {_field_first(str(error))}", _hint(str(error))) from error
    for problem in check_recipe(recipe):
        raise ConfigError(f"{path}: {problem.what}", problem.hint)
    return recipe


class Problem(NamedTuple):
    """Two fields that do not fit together."""

    what: str
    hint: str


def check_recipe(recipe: Recipe) -> Iterator[Problem]:
    """What does not fit together in a recipe whose fields are each in range."""
    yield from _check_model(recipe)
    yield from _check_method(recipe)
    yield from _check_lengths(recipe)


def _check_model(recipe: Recipe) -> Iterator[Problem]:
    model = recipe.model
    if isinstance(model, Scratch):
        if model.hidden % model.heads or (model.hidden // model.heads) % 2:
            yield Problem(
                f"model.hidden = {model.hidden} cannot be shared among model.heads = {model.heads}: each needs an even "
                "number of dimensions, which positions turn by twos.",
                f"Set hidden = {2 * model.heads * max(1, round(model.hidden / model.heads / 2))}.",
            )
        if recipe.adapter is not None:
            yield Problem(
                '[adapter] has nothing to be put on: model.from = "scratch" has random weights.',
                'Leave out [adapter], or set from = "base".',
            )
        return
    if recipe.data.copying:
        yield Problem(
            f"data.copying = {recipe.data.copying} are for random weights: a base model copies already, and "
            "meaningless tokens would make it forget.",
            'Leave it out, or set model.from = "scratch".',
        )
    if recipe.adapter is not None and not recipe.adapter.targets:
        yield Problem("adapter.targets is empty: nothing would be trained.", "Name layers, or leave it out for all.")


def _check_method(recipe: Recipe) -> Iterator[Problem]:
    if recipe.method == "dpo" and isinstance(recipe.model, Scratch):
        yield Problem(
            'method = "dpo" starts from a model that can answer, and model.from = "scratch" cannot.',
            'Set from = "base", or train with method = "sft" first.',
        )
    if recipe.method == "dpo" and recipe.run.steps:
        yield Problem('run.steps is for method = "sft": preferences take epochs alone.', "Leave it out.")
    if recipe.method == "dpo" and recipe.preference is None:
        yield Problem('method = "dpo" has no [preference] table.', "Add `[preference]`; it may be empty.")
    if recipe.method == "sft" and recipe.preference is not None:
        yield Problem('[preference] is for method = "dpo", and this is "sft".', "Leave it out, or change the method.")


def _check_lengths(recipe: Recipe) -> Iterator[Problem]:
    data, run = recipe.data, recipe.run
    if 0 < data.pack < data.context:
        yield Problem(
            f"data.pack = {data.pack} is shorter than data.context = {data.context}: a long example fits no row.",
            f"Set pack = {data.context} or more, or pack = 0.",
        )
    if recipe.max_answer_tokens >= data.context:
        yield Problem(
            f"max_answer_tokens = {recipe.max_answer_tokens} leaves no room for a prompt in data.context = "
            f"{data.context}.",
            f"Set max_answer_tokens = {data.context // 2}, or a longer context.",
        )
    width = data.pack or data.context
    parts = run.workers * run.accumulate
    if run.batch_tokens < width * parts:
        whole = f"run.workers = {run.workers} and run.accumulate = {run.accumulate}" if parts > 1 else "a step"
        yield Problem(
            f"run.batch_tokens = {run.batch_tokens} is too few for {whole}: each part needs a row of {width} tokens.",
            f"Set batch_tokens = {width * parts} or more, or shorter rows.",
        )


_UNKNOWN = re.compile(r"unknown field `(.+?)`(?: - at `\$\.?(.*?)`)?$")
_PLACE = re.compile(r"(.*) - at `\$\.?(.+)`$", re.S)


def _field_first(message: str) -> str:
    """msgspec's message with the field in front of it."""
    unknown = _UNKNOWN.search(message)
    if unknown:
        place = f"[{unknown[2]}]" if unknown[2] else "a recipe"
        return f"{place} has no field `{unknown[1]}`."
    placed = _PLACE.fullmatch(message)
    return f"{placed[2]}: {placed[1]}." if placed else f"{message}."


def _hint(message: str) -> str:
    unknown = _UNKNOWN.search(message)
    if not unknown:
        return _SHOW
    near = difflib.get_close_matches(unknown[1], fields_of(unknown[2] or ""), 1)
    return (f"Did you mean `{near[0]}`? " if near else "") + _SHOW


def fields_of(table: str) -> list[str]:
    """The fields of a recipe's table (empty: of its top), those of every kind of model among them."""
    if not table:
        return list(Recipe.__struct_fields__)
    if table == "model":
        return ["from", *Scratch.__struct_fields__, *Base.__struct_fields__]
    part = {"adapter": Adapter, "data": Data, "optimizer": Optimizer, "run": Run, "preference": Preference}.get(table)
    return list(part.__struct_fields__) if part is not None else []
