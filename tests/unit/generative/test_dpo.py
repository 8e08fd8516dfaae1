from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import numpy as np
import pytest
import tiny_runs

from freehold.domain.errors import TrainingError
from freehold.train.generative.dpo import train_preferences
from freehold.train.generative.encode import EncodedPair
from freehold.train.generative.fit import fit_preferences
from freehold.train.generative.loop import train
from freehold.train.generative.spec import PROGRESS, SPEC, BaseStart, Fit, Spec, read_json, write_json, write_pairs
from freehold.train.progress import Progress
from freehold.train.recipes import Adapter, Preference, Recipe

RUN = {"epochs": 5, "batch_tokens": 1024, "evaluate_every": 4}


def _pairs(count: int, seed: int) -> list[EncodedPair]:
    """Of two answers the one without an odd word is better."""
    found: list[EncodedPair] = []
    for row in tiny_runs.backwards(count, seed):
        at = int(np.flatnonzero(row.learn)[0])
        prompt, answer = row.tokens[:at], row.tokens[at:]
        worse = answer.copy()
        worse[0] = 200
        found.append(EncodedPair(prompt, answer, worse))
    return found


def _recipe(adapter: Adapter | None = None, **run) -> Recipe:
    recipe = tiny_runs.recipe_of(scratch=False, muon=False, adapter=adapter, **RUN | run)
    return msgspec.structs.replace(recipe, method="dpo", preference=Preference())


def _tuned(folder: Path, recipe: Recipe, start: BaseStart) -> Fit:
    run = folder / "run"
    run.mkdir(parents=True)
    digest = write_pairs(run, {"fit": _pairs(120, 1), "tune": _pairs(30, 2)})
    spec = Spec(recipe=recipe, seed=1, start=start, data_sha256=digest)
    write_json(run / SPEC, spec)
    result = train_preferences(run, spec)
    assert read_json(run / PROGRESS, Progress) is not None
    return result


def test_full_weights_come_to_prefer_what_was_preferred(tmp_path: Path) -> None:
    base = tiny_runs.base_folder(tmp_path / "base")
    first, again = (_tuned(tmp_path / name, _recipe(), base) for name in ("first", "again"))
    assert first.tune_loss is not None and first.tune_loss < 0.6 < np.log(2)
    file = tmp_path / "first" / "model" / "model.safetensors"
    assert first.sha256 == again.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    told = msgspec.json.decode((tmp_path / "first" / "model" / "config.json").read_bytes())
    assert (told["pad_token_id"], told["eos_token_id"]) == (tiny_runs.PAD, tiny_runs.END)


def test_an_adapter_goes_on_from_what_it_was(tmp_path: Path) -> None:
    base = tiny_runs.base_folder(tmp_path / "base")
    adapter = Adapter(rank=4)
    train(
        *tiny_runs.lay_out(
            tmp_path / "sft", tiny_runs.recipe_of(scratch=False, muon=False, adapter=adapter), start=base
        )
    )
    start = BaseStart(folder=base.folder, adapter=str(tmp_path / "sft" / "adapter"))
    result = _tuned(tmp_path / "dpo", _recipe(adapter), start)
    assert result.tune_loss is not None and result.tune_loss < 0.675
    files = sorted(path.name for path in (tmp_path / "dpo" / "adapter").iterdir())
    assert files == ["adapter_config.json", "adapter_model.safetensors"]


def test_it_is_made_by_a_process_of_its_own(tmp_path: Path) -> None:
    base = tiny_runs.base_folder(tmp_path / "base")
    seen: list[Progress] = []
    result = fit_preferences(tmp_path, _recipe(workers=2, epochs=1), _pairs(40, 1), [], 1, base, seen.append)
    assert result.steps == seen[-1].step and (tmp_path / "model" / "model.safetensors").is_file()
    assert result.tune_loss is None and not (tmp_path / "run").exists()


def test_random_weights_and_other_optimisers_are_refused(tmp_path: Path) -> None:
    recipe = _recipe()
    spec = Spec(recipe=recipe, seed=1, start=tiny_runs.START, data_sha256="")
    with pytest.raises(TrainingError, match="random weights prefer nothing"):
        train_preferences(tmp_path, spec)
    muon = msgspec.structs.replace(recipe, optimizer=tiny_runs.recipe_of().optimizer)
    with pytest.raises(TrainingError, match="cannot move weights by muon"):
        train_preferences(tmp_path, msgspec.structs.replace(spec, recipe=muon))
