from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import tiny_runs
import torch

from freehold.domain.errors import EvidenceError, TrainingError
from freehold.train.generative.failures import translated
from freehold.train.generative.fit import fit, fit_preferences
from freehold.train.generative.loop import train
from freehold.train.generative.spec import BaseStart, Start
from freehold.train.recipes import Adapter, Optimizer, Recipe, Scratch


def _refused(folder: Path, recipe: Recipe, start: Start = tiny_runs.START) -> str:
    run, spec = tiny_runs.lay_out(folder, recipe, start=start)
    with pytest.raises(TrainingError) as caught:
        train(run, spec)
    assert not (folder / "model").exists() and not (folder / "adapter").exists()
    assert caught.value.exit_code == 10 and caught.value.hint
    return str(caught.value)


def test_a_loss_that_is_no_number_ends_the_run_at_once(tmp_path: Path) -> None:
    base = tiny_runs.base_folder(tmp_path / "base")
    from safetensors.torch import load_file, save_file

    weights = load_file(tmp_path / "base" / "model.safetensors")
    weights["model.norm.weight"][3] = float("nan")
    save_file(weights, tmp_path / "base" / "model.safetensors", metadata={"format": "pt"})
    told = _refused(tmp_path, tiny_runs.recipe_of(scratch=False), start=base)
    assert "no number any more (nan) at step 1 of" in told and "matrix_rate = 0.02" in told and "Lower" in told


def test_rates_that_blow_up_are_found(tmp_path: Path) -> None:
    recipe = tiny_runs.recipe_of(epochs=20)
    recipe = msgspec.structs.replace(recipe, optimizer=Optimizer(rate=1e30, warmup=0.0, clip=1e30, schedule="constant"))
    assert "rate = 1e+30" in _refused(tmp_path, recipe)


def test_what_a_worker_says_is_what_the_caller_hears(tmp_path: Path) -> None:
    rows = tiny_runs.backwards(10)
    with pytest.raises(TrainingError, match=r"does not exist|cannot be read") as caught:
        fit(tmp_path, tiny_runs.recipe_of(scratch=False), rows, [], 1, BaseStart(folder="/nowhere"), lambda _: None)
    assert "families: llama" in caught.value.hint
    assert (tmp_path / "run").is_dir()  # for the next call to go on


@pytest.mark.parametrize("kind", ["mamba", "t5"])
def test_bases_of_other_families_are_refused_by_name(tmp_path: Path, kind: str) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text(f'{{"model_type": "{kind}"}}')
    told = _refused(tmp_path, tiny_runs.recipe_of(scratch=False), start=BaseStart(folder=str(base)))
    assert f"of the family {kind}" in told and "llama, mistral, qwen2" in told


def test_pickles_are_never_read(tmp_path: Path) -> None:
    base = tiny_runs.base_folder(tmp_path / "base")
    (tmp_path / "base" / "model.safetensors").rename(tmp_path / "base" / "pytorch_model.bin")
    assert "pickles" in _refused(tmp_path, tiny_runs.recipe_of(scratch=False), start=base)


def test_weights_that_are_cut_off_are_refused(tmp_path: Path) -> None:
    base = tiny_runs.base_folder(tmp_path / "base")
    file = tmp_path / "base" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:5000])
    assert "cannot be read" in _refused(tmp_path, tiny_runs.recipe_of(scratch=False), start=base)


def test_an_adapter_must_fit_its_base(tmp_path: Path) -> None:
    base = tiny_runs.base_folder(tmp_path / "base")
    recipe = tiny_runs.recipe_of(scratch=False, muon=False, adapter=Adapter(targets=("nothing_like_it",)))
    assert "[adapter] targets" in _refused(tmp_path / "1", recipe, start=base)
    recipe = tiny_runs.recipe_of(scratch=False, muon=False, adapter=Adapter())
    on = BaseStart(folder=base.folder, adapter=str(tmp_path / "none"))
    assert "no adapter in safetensors" in _refused(tmp_path / "2", recipe, start=on)


def test_heads_must_share_the_width(tmp_path: Path) -> None:
    recipe = msgspec.structs.replace(tiny_runs.recipe_of(), model=Scratch(hidden=30, heads=4))
    assert "hidden = 30 cannot be shared among heads = 4" in _refused(tmp_path, recipe)


def test_memory_that_runs_out_is_said_in_our_words(tmp_path: Path) -> None:
    _, spec = tiny_runs.lay_out(tmp_path, tiny_runs.recipe_of(workers=2))
    with pytest.raises(TrainingError, match=r"Memory ran out.*workers = 1 or a smaller \[model\]"), translated(spec):
        torch.empty(10**17)
    with pytest.raises(TrainingError, match="Memory ran out"), translated(spec):
        bytearray(10**17)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), translated(spec):
        torch.mm(torch.ones(2, 3), torch.ones(2, 3))


def test_there_must_be_a_pair(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="no pair"):
        fit_preferences(tmp_path, tiny_runs.recipe_of(), [], [], 1, BaseStart(folder="x"), lambda _: None)
