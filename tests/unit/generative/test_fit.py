from __future__ import annotations

import hashlib
import multiprocessing
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import pytest
import tiny_runs
import torch
from safetensors.torch import load_file

from freehold.domain.errors import EvidenceError
from freehold.train.generative.environment import choose_precision, differences
from freehold.train.generative.fit import fit
from freehold.train.generative.loop import _Training, train
from freehold.train.generative.muon import orthogonal
from freehold.train.generative.optimise import Mover
from freehold.train.generative.pack import batches
from freehold.train.generative.spec import Fit, Spec
from freehold.train.generative.team import Team
from freehold.train.generative.worker import work
from freehold.train.progress import Progress
from freehold.train.recipes import Adapter, Optimizer, Run


def trained(folder: Path, recipe=None, **how) -> Fit:
    result = train(*tiny_runs.lay_out(folder, recipe or tiny_runs.recipe_of(), **how))
    assert result is not None
    return result


def _share(run: Path, rank: int, size: int) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size), "FREEHOLD_MEETING": str(run / "meeting")}
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    work(run)


def trained_by(folder: Path, size: int) -> Fit:
    """By forked workers, which need not load torch again."""
    run, _ = tiny_runs.lay_out(folder, tiny_runs.recipe_of(workers=size))
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_share, args=(run, rank, size)) for rank in range(size)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return msgspec.json.decode((run / "result.json").read_bytes(), type=Fit)


def test_a_student_is_trained_by_processes_of_its_own(tmp_path: Path) -> None:
    seen: list[Progress] = []
    rows, tune = tiny_runs.backwards(300), tiny_runs.backwards(40, seed=99)
    recipe = tiny_runs.recipe_of(workers=2, epochs=5)
    result = fit(tmp_path, recipe, rows, tune, 1, tiny_runs.START, seen.append)
    file = tmp_path / "model" / "model.safetensors"
    assert result.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert result.stopped == "epochs" and result.epochs == pytest.approx(5, abs=0.01)
    assert result.tune_loss is not None and result.tune_loss < 4.0  # ln 300 = 5.7 before
    assert result.environment["workers"] == "2" and result.environment["ATEN_CPU_CAPABILITY"]
    assert result.tokens == 5 * sum(len(row.tokens) for row in rows)
    assert result.kilowatt_hours > 0 and result.cpu_seconds > 0
    assert [one.step for one in seen] == sorted({one.step for one in seen})
    assert seen[-1].step == result.steps and seen[-1].seconds_left == 0 and seen[-1].tokens_per_second > 0
    assert not (tmp_path / "run").exists()
    assert sorted(path.name for path in tmp_path.joinpath("model").iterdir()) == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
    ]


def test_same_data_recipe_and_seed_give_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    first, again, other = (trained(tmp_path / str(at), seed=seed) for at, seed in enumerate((1, 1, 2)))
    assert first.sha256 == again.sha256 != other.sha256
    assert first.environment == again.environment


def test_two_workers_give_the_same_bytes_each_time_and_learn_what_one_learns(tmp_path: Path) -> None:
    first, again = trained_by(tmp_path / "first", 2), trained_by(tmp_path / "again", 2)
    alone = trained(tmp_path / "alone")
    assert first.sha256 == again.sha256
    assert first.tune_loss == pytest.approx(alone.tune_loss, abs=0.02)
    assert first.tokens == alone.tokens


def test_parts_of_a_batch_add_up_to_it(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole")
    parts = trained(tmp_path / "parts", tiny_runs.recipe_of(accumulate=3))
    assert parts.tune_loss == pytest.approx(whole.tune_loss, abs=0.02)


def test_packed_rows_give_the_loss_that_each_example_has_alone(tmp_path: Path) -> None:
    run, spec = tiny_runs.lay_out(tmp_path, tiny_runs.recipe_of())
    loop = _Training(run, spec, torch.device("cpu"), Team())
    rows = tiny_runs.backwards(12, seed=3)
    made = batches(rows, 512, 64, 0, 1)
    packed = sum(float(loop._loss(loop._hidden(batch), batch.targets).detach()) for batch in made)
    alone = 0.0
    for row in rows:
        tokens = torch.from_numpy(row.tokens.astype(np.int64))[None]
        logits = loop._built.causal(input_ids=tokens, use_cache=False).logits[0, :-1]
        wanted = torch.from_numpy(row.learn[1:])
        alone += float(
            torch.nn.functional.cross_entropy(logits[wanted], tokens[0, 1:][wanted], reduction="sum").detach()
        )
    assert packed == pytest.approx(alone, rel=1e-5)


def test_prompts_teach_too_where_they_have_a_weight(tmp_path: Path) -> None:
    plain = tiny_runs.recipe_of(evaluate_every=100)
    heavy = msgspec.structs.replace(plain, data=msgspec.structs.replace(plain.data, prompt_weight=0.2))
    without, with_prompts = trained(tmp_path / "without", plain), trained(tmp_path / "with", heavy)
    assert with_prompts.sha256 != without.sha256 and with_prompts.tokens == without.tokens
    batch = batches(tiny_runs.backwards(40), 4096, 64, 0, 1)[0]
    told = [
        _Training(*tiny_runs.lay_out(tmp_path / name, one), torch.device("cpu"), Team())._step(batch)
        for name, one in (("plain", plain), ("heavy", heavy))
    ]
    assert told[0] == pytest.approx(told[1]), "what is told is the loss of the answers"


def test_it_stops_early_and_keeps_the_best_weights(tmp_path: Path) -> None:
    recipe = tiny_runs.recipe_of(epochs=400, evaluate_every=10, patience=2)
    result = trained(tmp_path, recipe, rows=12)  # few enough to learn by heart
    assert result.stopped == "early" and result.epochs < 400
    run, spec = tiny_runs.lay_out(tmp_path / "kept", tiny_runs.recipe_of(epochs=1, evaluate_every=1), rows=12)
    written = load_file(tmp_path / "model" / "model.safetensors")
    loop = _Training(run, spec, torch.device("cpu"), Team())
    loop._built.causal.load_state_dict(written, strict=False)
    loop._look()
    assert loop._state.tune_loss == pytest.approx(result.tune_loss, rel=1e-5)


def test_an_adapter_is_written_in_the_form_of_peft_and_its_base_is_left_alone(tmp_path: Path) -> None:
    base = tiny_runs.base_folder(tmp_path / "base")
    before = (tmp_path / "base" / "model.safetensors").read_bytes()
    recipe = tiny_runs.recipe_of(scratch=False, muon=False, adapter=Adapter(rank=4, dropout=0.1), epochs=4)
    first = trained(tmp_path / "first", recipe, start=base)
    again = trained(tmp_path / "again", recipe, start=base)
    assert first.sha256 == again.sha256  # dropout and all
    assert (tmp_path / "base" / "model.safetensors").read_bytes() == before
    folder = tmp_path / "first" / "adapter"
    assert sorted(path.name for path in folder.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    told = msgspec.json.decode((folder / "adapter_config.json").read_bytes())
    assert (told["r"], told["peft_type"], told["base_model_name_or_path"]) == (4, "LORA", "base")
    assert all(".lora_" in name for name in load_file(folder / "adapter_model.safetensors"))
    on = tiny_runs.BaseStart(folder=base.folder, adapter=str(folder))
    further = trained(tmp_path / "further", recipe, start=on)
    assert further.tune_loss is not None and first.tune_loss is not None
    assert further.tune_loss < first.tune_loss


def test_full_weights_of_a_base_go_on_from_where_it_was(tmp_path: Path) -> None:
    trained(tmp_path / "first", tiny_runs.recipe_of(epochs=6))
    base = tiny_runs.BaseStart(folder=str(tmp_path / "first" / "model"))
    from_base = trained(tmp_path / "on", tiny_runs.recipe_of(scratch=False, epochs=1), start=base)
    anew = trained(tmp_path / "anew", tiny_runs.recipe_of(epochs=1))
    assert from_base.tune_loss is not None and anew.tune_loss is not None
    assert from_base.tune_loss < anew.tune_loss


def test_bfloat16_learns_as_well(tmp_path: Path) -> None:
    exact = trained(tmp_path / "exact")
    rounded = trained(tmp_path / "rounded", tiny_runs.recipe_of(precision="bfloat16"))
    assert rounded.environment["precision"] == "bfloat16"
    assert rounded.tune_loss == pytest.approx(exact.tune_loss, abs=0.1)


def test_narrow_models_are_computed_in_float32_on_a_processor() -> None:
    assert choose_precision(Run(), torch.device("cpu"), 64) == torch.float32


def test_what_differs_between_environments_is_named() -> None:
    assert differences({"threads": "1", "torch": "2"}, {"threads": "2", "torch": "2"}) == ["threads: 1, now 2"]


def test_there_must_be_something_to_learn(tmp_path: Path) -> None:
    rows = [row._replace(learn=np.zeros(len(row.tokens), bool)) for row in tiny_runs.backwards(3)]
    with pytest.raises(EvidenceError, match="token to learn"):
        fit(tmp_path, tiny_runs.recipe_of(), rows, [], 1, tiny_runs.START, lambda _: None)


@pytest.mark.parametrize("shape", [(3, 16, 40), (2, 40, 16)])
def test_muon_makes_matrices_orthogonal_and_keeps_their_directions(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    given = torch.randn(shape)
    made = orthogonal(given)
    values = torch.linalg.svdvals(made)
    assert float(values.min()) > 0.6 and float(values.max()) < 1.3
    left, _, right = torch.linalg.svd(given, full_matrices=False)
    assert torch.nn.functional.cosine_similarity(made.flatten(), (left @ right).flatten(), dim=0) > 0.97


def test_muon_moves_weights_as_that_of_torch_does() -> None:
    torch.manual_seed(0)
    shapes = {"m.layers.0.a": (16, 24), "m.layers.1.a": (16, 24), "m.layers.0.b": (24, 16)}
    ours = {name: torch.nn.Parameter(torch.randn(shape)) for name, shape in shapes.items()}
    theirs = {name: torch.nn.Parameter(weight.detach().clone()) for name, weight in ours.items()}
    told = Optimizer(kind="muon", matrix_rate=0.01, weight_decay=0.1, schedule="constant", warmup=0.0, clip=1e9)
    mover = Mover(ours, told, 5, Team())
    muon = torch.optim.Muon(theirs.values(), lr=0.01, weight_decay=0.1)
    for step in range(5):
        for name, weight in theirs.items():
            weight.grad = torch.randn_like(weight)
            gradient = ours[name].grad
            assert gradient is not None and weight.grad is not None
            gradient.copy_(weight.grad)
        muon.step()
        mover.step(step)
    for name, weight in theirs.items():  # torch's computes in bfloat16
        assert torch.allclose(weight, ours[name], atol=1e-3)


def test_the_worst_tune_rows_do_not_count(tmp_path: Path) -> None:
    rows, tune = tiny_runs.backwards(200), tiny_runs.backwards(38, seed=99)
    wrong = [row._replace(tokens=np.roll(row.tokens, 3)) for row in tiny_runs.backwards(2, seed=98)]
    fits = [
        fit(tmp_path / str(number), tiny_runs.recipe_of(epochs=6), rows, shown, 1, tiny_runs.START, lambda _: None)
        for number, shown in enumerate((tune, [*tune, *wrong]))
    ]
    without, with_wrong = (one.tune_loss for one in fits)
    assert without is not None and with_wrong is not None
    assert with_wrong == pytest.approx(without, rel=0.1), "two rows of forty say what no student should"
    assert fits[0].sha256 == fits[1].sha256, "they do not choose other weights"


def test_workers_that_share_the_matrices_move_them_as_one_does() -> None:
    torch.manual_seed(0)
    shapes = {"m.layers.0.a": (16, 24), "m.layers.1.a": (16, 24), "m.layers.2.a": (16, 24), "m.layers.0.b": (24, 16)}
    told = Optimizer(kind="muon", matrix_rate=0.01, schedule="constant", warmup=0.0)
    first = {name: torch.randn(shape) for name, shape in shapes.items()}
    gradients = [{name: torch.randn(shape) for name, shape in shapes.items()} for _ in range(3)]
    meeting = threading.Barrier(2)
    told_by: dict[int, torch.Tensor] = {}

    class Meeting(Team):
        def sum(self, values: torch.Tensor) -> None:
            told_by[self.rank] = values.clone()
            meeting.wait()
            values.copy_(told_by[0] + told_by[1])
            meeting.wait()

    def moved(team: Team) -> dict[str, torch.Tensor]:
        weights = {name: torch.nn.Parameter(weight.clone()) for name, weight in first.items()}
        mover = Mover(weights, told, 3, team)
        for step, given in enumerate(gradients):
            for name, weight in weights.items():
                assert weight.grad is not None
                weight.grad.copy_(given[name])
            mover.step(step)
        return {name: weight.detach() for name, weight in weights.items()}

    alone = moved(Team())
    with ThreadPoolExecutor(2) as pool:
        shared = list(pool.map(moved, (Meeting(0, 2), Meeting(1, 2))))
    for name, weight in alone.items():
        assert torch.equal(shared[0][name], shared[1][name])
        assert torch.allclose(weight, shared[0][name], atol=1e-6) and not torch.equal(weight, first[name])


@pytest.mark.parametrize(("schedule", "half"), [("linear", 0.5), ("cosine", 0.5), ("constant", 1.0)])
def test_rates_rise_and_fall(schedule: str, half: float) -> None:
    told = Optimizer(schedule=schedule, warmup=0.1)  # type: ignore[arg-type]
    mover = Mover({"w": torch.nn.Parameter(torch.zeros(2, 2))}, told, 100, Team())
    factors = [mover.factor(step) for step in range(100)]
    assert factors[0] == pytest.approx(0.1) and max(factors) == factors[9] == 1.0
    assert factors[55] == pytest.approx(half)
    assert factors[-1] == 1.0 if schedule == "constant" else 0 < factors[-1] < 0.02


def test_a_spec_is_read_as_it_was_written(tmp_path: Path) -> None:
    run, spec = tiny_runs.lay_out(
        tmp_path, tiny_runs.recipe_of(adapter=Adapter(), scratch=False), start=tiny_runs.BaseStart(folder="x")
    )
    assert msgspec.json.decode((run / "spec.json").read_bytes(), type=Spec) == spec
