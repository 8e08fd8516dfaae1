"""What a sweep tries, which trials it stops, and how the best is written down."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from freehold.domain.errors import ConfigError, RequestError
from freehold.train.recipes import builtin_names, load_recipe, read_recipe, recipe_toml

pytest.importorskip("tokenizers", reason="needs freehold[train]")

from freehold.train.generative import sweep
from freehold.train.progress import Progress

RECIPE = load_recipe("tiny")


def test_every_combination_is_tried_once_in_order() -> None:
    found = sweep.variants_of(RECIPE, ["optimizer.rate=0.01,0.03", 'optimizer.kind="adamw","muon"'])
    assert [list(variant.settings.values()) for variant in found] == [
        [0.01, "adamw"],
        [0.01, "muon"],
        [0.03, "adamw"],
        [0.03, "muon"],
    ]
    assert found[3].recipe.optimizer.rate == 0.03 and found[3].recipe.optimizer.kind == "muon"
    assert found[3].recipe.run == RECIPE.run


@pytest.mark.parametrize(
    ("over", "error", "says"),
    [
        (["rate=0.1"], RequestError, "is not TABLE.FIELD"),
        (["optimizer.rate"], RequestError, "is not TABLE.FIELD"),
        (["optimizer.rate=fast"], RequestError, "is not TABLE.FIELD"),
        (["optimizer.rate=0.1", "optimizer.rate=0.2"], RequestError, "given twice"),
        (["optimiser.rate=0.1"], RequestError, "no table"),
        (["optimizer.speed=0.1"], ConfigError, "speed"),
        (["optimizer.rate=-1"], ConfigError, "optimizer.rate = -1"),
        (["model.hidden=129"], ConfigError, "heads"),
        ([f"run.epochs={','.join(map(str, range(1, 202)))}"], RequestError, "201 students"),
    ],
)
def test_what_is_no_recipe_is_refused_before_anything_is_trained(
    over: list[str], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        sweep.variants_of(RECIPE, over)


@pytest.mark.parametrize("name", builtin_names())
def test_a_recipe_written_as_toml_is_the_same_recipe(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    (tmp_path / "best.toml").write_text(recipe_toml(recipe), encoding="utf-8")
    assert read_recipe(tmp_path / "best.toml") == recipe


def stopped_at(losses: Sequence[float], others: Sequence[Sequence[float]], grace: int = 20) -> int | None:
    """At which step the rule stops a trial that looks every ten steps; None if it never does."""
    curves = [[(10 * (n + 1), loss) for n, loss in enumerate(other)] for other in others]
    rule = sweep._Median(curves, grace)
    for n, loss in enumerate(losses):
        try:
            rule(Progress(10 * (n + 1), 10 * len(losses), loss, loss, 1.0, 1.0, 0.0))
        except sweep._Stop:
            return 10 * (n + 1)
    return None


def test_a_trial_is_stopped_when_its_best_is_worse_than_the_median_of_the_others_means() -> None:
    others = [[4.0, 2.0, 1.0, 0.5], [5.0, 3.0, 2.0, 1.0]]
    assert stopped_at([6.0, 5.5, 5.0, 4.5], others) == 20, "the means by step 20 are 3 and 4"
    assert stopped_at([6.0, 3.4, 5.0, 4.5], others) == 40 - 10, "the means by step 30 are 2.33 and 3.33"
    assert stopped_at([6.0, 2.0, 2.0, 2.0], others) is None
    assert stopped_at([9.0, 9.0, 9.0, 9.0], others[:1]) is None, "one other is no median"
    assert stopped_at([9.0, 9.0, 9.0, 9.0], others, grace=40) is None, "the last look is the end anyway"


def test_the_best_was_trained_to_its_end_and_has_the_least_loss() -> None:
    def trial(number: int, loss: float | None, early: bool = False, error: str = "") -> sweep.Trial:
        return sweep.Trial(number, {}, loss, 1, early, 1.0, error)

    trials = [trial(1, None, error="no"), trial(2, 0.1, early=True), trial(3, 0.3), trial(4, 0.2), trial(5, 0.2)]
    best = sweep.best_of(trials)
    assert best is not None and best.number == 4
    assert sweep.best_of(trials[:2]) is None
