"""Recipes: every field has a reason, built-in ones say why they differ, what does not fit is said with its field."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import pytest

from freehold.domain.errors import ConfigError
from freehold.train.recipes import Recipe, builtin_names, find_recipe, load_recipe, read_recipe
from freehold.train.recipes.load import check_recipe
from freehold.train.recipes.reasons import comments, explain, reasons_of
from freehold.train.recipes.recipe import Adapter, Base, Data, Optimizer, Preference, Run, Scratch

PARTS = (Scratch, Base, Adapter, Data, Optimizer, Run, Preference, Recipe)
TINY = {"name": "mine", "about": "A test.", "model": {"from": "scratch"}}


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("part", PARTS)
def test_every_field_has_a_reason(part: type[msgspec.Struct]) -> None:
    reasons = reasons_of(part.__name__)
    assert set(reasons) == set(part.__struct_fields__)
    assert all(len(reason) > 5 for reason in reasons.values())


def test_the_built_in_recipes_are_those_promised() -> None:
    assert builtin_names() == ["dpo", "full", "lora", "tiny", "trajectory"]
    tiny = load_recipe("tiny")
    assert isinstance(tiny.model, Scratch) and tiny.optimizer.kind == "muon" and tiny.adapter is None
    assert load_recipe("lora").adapter is not None and load_recipe("full").adapter is None
    assert load_recipe("dpo").preference is not None
    assert load_recipe("trajectory").data.learn == "assistant"


@pytest.mark.parametrize("name", builtin_names())
def test_a_built_in_recipe_says_why_it_differs_and_repeats_no_default(name: str) -> None:
    path = find_recipe(name)
    fields = explain(read_recipe(path), path)
    noted = {field.field for field in fields if field.note}
    without = {"name", "about", "method", "model.from"}
    assert {field.field for field in fields if not field.default} - without == noted - without
    raw = tomllib.loads(path.read_text())
    given = {f"{table}.{key}" for table, keys in raw.items() if isinstance(keys, dict) for key in keys}
    assert given - without <= {field.field for field in fields if not field.default}
    assert read_recipe(path).name == name


def test_comments_belong_to_the_field_below_or_before_them() -> None:
    found = comments('a = 1  # one\n# two\n# lines\nb = 2\n\n# of nobody\n\n[t.u]\nc = "#"\n# above\nd = 1 # behind\n')
    assert found == {"a": "one", "b": "two lines", "t.u.c": "", "t.u.d": "above"}


PROBLEMS = [
    ("[data]\ncontexts = 5", "[data] has no field `contexts`", "Did you mean `context`?"),
    (
        "[model]\nfrom = 'scratch'\nheads = 3",
        "model.hidden = 128 cannot be shared among model.heads = 3",
        "hidden = 126",
    ),
    ("[model]\nfrom = 'nowhere'", "model", "freehold recipes show"),
    ("[data]\nnoise_words = 1.5", "data.noise_words", "freehold recipes show"),
    ("[adapter]\nrank = 4", "[adapter] has nothing to be put on", "from = "),
    ("[data]\ncopying = 10\n[model]\nfrom = 'base'", "data.copying = 10 are for random weights", "Leave it out"),
    ("[preference]", "[preference] is for method", "Leave it out"),
    ("[data]\npack = 100", "data.pack = 100 is shorter than data.context = 256", "pack = 256"),
    ("[run]\nbatch_tokens = 300\nworkers = 2", "run.batch_tokens = 300 is too few for run.workers = 2", "512"),
    ("[data]\ncontext = 100", "max_answer_tokens = 128 leaves no room", "= 50"),
    ("[run]\nepochs = ", "is not valid TOML", "line"),
]


@pytest.mark.parametrize(("text", "message", "hint"), PROBLEMS)
def test_what_cannot_be_used_is_said_with_file_field_and_what_to_do(
    text: str, message: str, hint: str, tmp_path: Path
) -> None:
    head = 'name = "mine"\nabout = "A test."\n'
    model = "" if "[model]" in text else "\n[model]\nfrom = 'scratch'"
    path = written(tmp_path, f"{head}{text}{model}\n")
    with pytest.raises(ConfigError) as raised:
        read_recipe(path)
    assert str(path) in raised.value.message and message in raised.value.message and hint in raised.value.hint


def test_preference_tuning_needs_a_base_and_its_table() -> None:
    said = [problem.what for problem in check_recipe(msgspec.convert({**TINY, "method": "dpo"}, Recipe))]
    assert any("can answer" in one for one in said) and any("[preference]" in one for one in said)
    counted = {**TINY, "method": "dpo", "run": {"steps": 10}}
    assert any("run.steps" in problem.what for problem in check_recipe(msgspec.convert(counted, Recipe)))
    empty = {**TINY, "model": {"from": "base"}, "adapter": {"targets": []}}
    [problem] = check_recipe(msgspec.convert(empty, Recipe))
    assert problem.what.startswith("adapter.targets")


def test_a_recipe_is_found_by_name_or_beside_the_configuration(tmp_path: Path) -> None:
    path = written(tmp_path, find_recipe("tiny").read_text().replace('"tiny"', '"mine"'))
    assert load_recipe("mine.toml", tmp_path).name == "mine" and load_recipe(str(path)).name == "mine"
    with pytest.raises(ConfigError, match=r"neither a built-in one nor a file at .*lorra.*'lora'"):
        load_recipe("lorra", tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_recipe(tmp_path)
