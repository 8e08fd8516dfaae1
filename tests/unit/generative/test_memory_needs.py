from __future__ import annotations

import ctypes
import multiprocessing
import sys
from pathlib import Path

import msgspec
import pytest
import tiny_runs

from freehold.domain.errors import TrainingError
from freehold.train.generative import memory
from freehold.train.generative.energy import Meter
from freehold.train.generative.loop import train
from freehold.train.generative.model import build
from freehold.train.generative.spec import Spec
from freehold.train.recipes import Adapter, Data, Optimizer, Recipe, Run, Scratch


def _spec(model: Scratch, adapter: Adapter | None = None, **run) -> Spec:
    recipe = tiny_runs.recipe_of(adapter=adapter, **run)
    start = msgspec.structs.replace(tiny_runs.START, vocabulary=model.vocabulary)
    return Spec(recipe=msgspec.structs.replace(recipe, model=model), seed=1, start=start, data_sha256="")


def test_parameters_are_counted_as_they_are(tmp_path: Path) -> None:
    _, spec = tiny_runs.lay_out(tmp_path, tiny_runs.recipe_of())
    built = build(spec, "cpu")
    assert memory.shape_of(spec, on_gpu=False).parameters == pytest.approx(built.parameters, rel=0.01)
    adapter = Adapter(rank=4)
    with_adapter = build(msgspec.structs.replace(spec, recipe=tiny_runs.recipe_of(adapter=adapter)), "cpu")
    trained = sum(weight.numel() for weight in with_adapter.trained.values())
    assert memory.shape_of(spec, on_gpu=False).adapted(adapter) == trained


def _train_and_tell(run: Path, spec: Spec, sender) -> None:
    ctypes.CDLL(None).malloc_trim(0)  # else what the parent has freed is taken first, and not counted
    Path("/proc/self/clear_refs").write_text("5")  # the peak from here on
    before = _kilobytes("VmRSS")
    train(run, spec)
    sender.send((_kilobytes("VmHWM") - before) * 1024)


def _kilobytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="measured as Linux tells it")
@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_the_estimate_is_near_what_a_process_takes(tmp_path: Path, kind: str) -> None:
    recipe = Recipe(
        name="wide",
        about="Takes more memory than noise does.",
        model=Scratch(hidden=256, layers=3, heads=8, intermediate=704, vocabulary=2000),
        data=Data(context=256, pack=256),
        optimizer=Optimizer(kind=kind),  # type: ignore[arg-type]
        run=Run(epochs=0.1, batch_tokens=4096, evaluate_every=1),
    )
    start = msgspec.structs.replace(tiny_runs.START, vocabulary=2000)
    run, spec = tiny_runs.lay_out(tmp_path, recipe, start=start, rows=300)
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_train_and_tell, args=(run, spec, sender))
    process.start()
    taken = receiver.recv()
    process.join()
    shape = memory.shape_of(spec, on_gpu=False)
    needs = memory.needs_of(shape, recipe, 1, 1, None)
    assert 0.7 < (needs.weights + needs.activations) / taken < 1.8, (needs, taken)


def test_a_run_that_does_not_fit_is_refused_with_what_would_fit() -> None:
    spec = _spec(Scratch(hidden=1024, layers=12, heads=16, intermediate=2816, vocabulary=32_000), batch_tokens=65_536)
    with pytest.raises(TrainingError) as caught:
        memory.check(spec, workers=1, available=16_000_000_000)
    assert "this machine has 16.0 GB free" in caught.value.message and "needs" in caught.value.message
    assert "[run] accumulate = " in caught.value.hint and "a smaller [model]" in caught.value.hint
    parts = int(caught.value.hint.split("accumulate = ")[1].split()[0].rstrip(","))
    smaller = msgspec.structs.replace(spec.recipe.run, accumulate=parts)
    fits = msgspec.structs.replace(spec, recipe=msgspec.structs.replace(spec.recipe, run=smaller))
    assert memory.check(fits, workers=1, available=16_000_000_000).all <= 16_000_000_000


def test_an_adapter_is_advised_for_a_base(tmp_path: Path) -> None:
    base = tiny_runs.base_folder(tmp_path)
    spec = Spec(recipe=tiny_runs.recipe_of(scratch=False), seed=1, start=base, data_sha256="")
    with pytest.raises(TrainingError, match=r"workers = 1, LoRA \(\[adapter\], .* GB\) or a smaller base"):
        memory.check(spec, workers=2, available=1_000_000)


def test_what_is_free_is_the_least_of_machine_and_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = memory.free_memory()
    assert free is None or free > 0
    (tmp_path / "memory.max").write_text("5000000\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    assert memory.free_memory() == 4_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_memory() != 4_000_000


def test_energy_is_measured_where_the_machine_tells_and_estimated_elsewhere(tmp_path: Path) -> None:
    assert Meter(10.0, powercap=tmp_path).joules(3.0) == 30.0
    package = tmp_path / "intel-rapl:0"
    part = tmp_path / "intel-rapl:0:0"
    for folder in (package, part):
        folder.mkdir()
        (folder / "energy_uj").write_text("9000000\n")
        (folder / "max_energy_range_uj").write_text("10000000\n")
    meter = Meter(10.0, powercap=tmp_path)
    (package / "energy_uj").write_text("9500000\n")
    assert meter.joules(3.0) == 0.5
    (package / "energy_uj").write_text("1000000\n")  # it has begun anew
    assert meter.joules(3.0) == 2.0
