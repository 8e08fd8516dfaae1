"""Side by side on the same exchanges and in the same time: our recipe, plain trl, and a classical student.

    OMP_WAIT_POLICY=PASSIVE python -m bench.students.peers ticket [--seed 1] [--rates 5e-4,1e-3,3e-3]

Ours is trained first; its seconds are what each of trl's runs may take. trl's SFTTrainer has the same model from random
weights, the same tokenizer and the same examples, its own defaults otherwise (AdamW, padded batches of about as many
tokens, no noise), two threads where ours has two workers; of its learning rates the best on the held-out questions
counts. A classical student chooses among values and cannot copy: it answers `ticket`'s one closed field, which is
measured for all three, and nothing else of these workloads. Each way runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.students.quality import TUNE_EVERY, Spent, make_student, samples_of, share_right, tokenizer_of
from bench.students.workloads import EXCHANGES, HELD_OUT, NAMES, WORKLOADS, exchanges, held_out

from freehold.domain.answers import parse_object
from freehold.serving.folder import MODEL, GenerativeManifest
from freehold.train.recipes import Recipe, Scratch, load_recipe

CLOSED_FIELD = {"ticket": "wish"}
_CEILING = 50.0
"""Epochs: trl's schedule needs an end; its time ends before."""


def main() -> int:
    """Run every way in turn; one JSON line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--recipe", default="tiny")
    parser.add_argument("--rates", default="5e-4,1e-3,3e-3", help="of trl")
    parser.add_argument("--exchanges", type=int, default=EXCHANGES)
    parser.add_argument("--way", help="run this one here")
    parser.add_argument("--seconds", type=float, default=300.0, help="of a trl run")
    options = parser.parse_args()
    if options.way:
        print(json.dumps(_way(options)))
        return 0
    ours = _apart("ours", options.seconds)
    print(json.dumps(ours), flush=True)
    seconds = ours["training"]["wall_s"]
    tried = [_apart(f"trl {rate}", seconds) for rate in options.rates.split(",")]
    print(
        json.dumps({**max(tried, key=lambda row: row["right"]), "tried": {row["way"]: row["right"] for row in tried}})
    )
    print(json.dumps(_apart("classical", seconds)))
    return 0


def _apart(way: str, seconds: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.students.peers", *sys.argv[1:], "--way", way, "--seconds", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{way}: {done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _way(options: argparse.Namespace) -> dict[str, Any]:
    began = Spent.now()
    if options.way == "classical":
        return _classical(options, began)
    from freehold.serving.engine.answers import answer_all

    recipe = load_recipe(options.recipe)
    rows = exchanges(options.name, options.exchanges, options.seed)
    prompts = [question.prompt for question in held_out(options.name, HELD_OUT, options.seed)]
    with tempfile.TemporaryDirectory(prefix="freehold-peers-") as place:
        folder = Path(place)
        if options.way == "ours":
            made = make_student(folder, options.name, rows, recipe, options.seed)
            manifest = made.manifest
        else:
            manifest = _trl(folder, options, recipe, float(options.way.split()[1]), options.seconds)
        training = Spent.now().since(began)
        answers = [answer.text for answer in answer_all(folder, manifest, None, prompts, None)]
    return {
        "way": options.way,
        "right": round(share_right(options.name, answers, options.seed), 4),
        **_closed(options, answers),
        "training": training,
    }


def _closed(options: argparse.Namespace, answers: list[str]) -> dict[str, float]:
    """Share of the held-out questions whose closed field is right, where there is one."""
    field = CLOSED_FIELD.get(options.name)
    if field is None:
        return {}
    questions = held_out(options.name, HELD_OUT, options.seed)
    pairs = [
        (parse_object(answer) or {}, parse_object(question.truth) or {})
        for answer, question in zip(answers, questions, strict=True)
    ]
    return {"closed_field_right": round(sum(a.get(field) == b[field] for a, b in pairs) / len(pairs), 4)}


def _trl(folder: Path, options: argparse.Namespace, recipe: Recipe, rate: float, seconds: float) -> GenerativeManifest:
    """trl's SFTTrainer, until the time is up; its schedule is linear to the step that it is expected to reach."""
    os.environ |= {"TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1"}
    import torch
    from datasets import Dataset
    from transformers import PreTrainedTokenizerFast
    from trl.trainer.sft_trainer import SFTTrainer

    from freehold.train.generative.encode import encode
    from freehold.train.generative.examples import examples_of
    from freehold.train.generative.model import build
    from freehold.train.generative.spec import ScratchStart, Spec

    torch.set_num_threads(2)
    torch.manual_seed(options.seed)
    assert isinstance(recipe.model, Scratch)
    rows = exchanges(options.name, options.exchanges, options.seed)
    tokenizer = tokenizer_of(rows, recipe)
    encoded, _ = encode(examples_of(samples_of(rows), recipe)[0], tokenizer, recipe)
    start = ScratchStart(vocabulary=tokenizer.size, pad=tokenizer.ids.pad, end=tokenizer.ids.end)
    built = build(Spec(recipe=recipe, seed=options.seed, start=start, data_sha256=""), torch.device("cpu"))
    mean = sum(len(one.tokens) for one in encoded) / len(encoded)
    tokenizer.save(folder / MODEL)
    columns = {
        "input_ids": [one.tokens.tolist() for one in encoded],
        "completion_mask": [one.learn.astype(int).tolist() for one in encoded],
    }
    trainer: Any = SFTTrainer(
        model=built.causal,
        args=_sft_arguments(folder, recipe, rate, options.seed, max(1, round(recipe.run.batch_tokens / mean))),
        train_dataset=Dataset.from_dict(columns),
        processing_class=PreTrainedTokenizerFast.from_pretrained(str(folder / MODEL)),
        callbacks=[_until(seconds, rate)],
    )
    trainer.train()
    built.causal.save_pretrained(str(folder / MODEL))
    return _trl_manifest(options.name, recipe)


def _until(seconds: float, rate: float) -> Any:
    """Ends the run in time, and lets the rate fall to its end by then."""
    from transformers import TrainerCallback

    began = time.monotonic()

    class UntilTime(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            control.should_training_stop = time.monotonic() - began > seconds

        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            left = max(0.02, 1 - (time.monotonic() - began) / seconds)
            for group in kwargs["optimizer"].param_groups:
                group["lr"] = rate * min(1.0, (state.global_step + 1) / 50) * left

    return UntilTime()


def _sft_arguments(folder: Path, recipe: Recipe, rate: float, seed: int, batch: int) -> Any:
    from trl.trainer.sft_config import SFTConfig

    return SFTConfig(
        output_dir=str(folder / "trl"),
        num_train_epochs=_CEILING,
        per_device_train_batch_size=batch,
        learning_rate=rate,
        lr_scheduler_type="constant",
        max_length=recipe.data.context,
        completion_only_loss=True,
        gradient_checkpointing=False,
        bf16=False,
        seed=seed,
        use_cpu=True,
        save_strategy="no",
        report_to="none",
        logging_steps=1000,
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )


def _trl_manifest(name: str, recipe: Recipe) -> GenerativeManifest:
    return GenerativeManifest(
        task="bench",
        dataset="bench",
        dataset_sha256="",
        seed=0,
        recipe={},
        weights="full",
        context=recipe.data.context,
        max_answer_tokens=recipe.max_answer_tokens,
        answer_schema=WORKLOADS[name].answer_schema,
        parameters=0,
        input_tokens_fixed=0.0,
        input_tokens_per_character=0.25,
        output_tokens_per_character=0.25,
    )


def _classical(options: argparse.Namespace, began: Spent) -> dict[str, Any]:
    """A classifier for the closed field; a whole answer it cannot give."""
    field = CLOSED_FIELD.get(options.name)
    if field is None:
        return {"way": "classical", "right": 0.0, "why": "Answers are open: there is nothing to choose among."}
    import msgspec

    from freehold.train.classifier import fit_classifier
    from freehold.upstreams.student import Manifest, build_classifier
    from freehold.upstreams.student.rendering import Style

    rows = [row for at, row in enumerate(exchanges(options.name, options.exchanges, options.seed)) if at % TUNE_EVERY]
    labels = [str((parse_object(row.answer) or {}).get(field)) for row in rows]
    fitted = fit_classifier([row.prompt for row in rows], [{(): label} for label in labels], options.seed)
    manifest = Manifest(
        task="bench",
        dataset="bench",
        dataset_sha256="",
        seed=options.seed,
        heads=fitted.heads,
        style=Style(kind="label"),
        input_tokens_fixed=0.0,
        input_tokens_per_character=0.25,
        output_tokens_per_character=0.25,
    )
    student = build_classifier(msgspec.to_builtins(manifest), fitted.tensors)
    training = Spent.now().since(began)
    questions = held_out(options.name, HELD_OUT, options.seed)
    answers = [json.dumps({field: student.answer(question.prompt).text}) for question in questions]
    return {"way": "classical", "right": 0.0, **_closed(options, answers), "training": training}


if __name__ == "__main__":
    sys.exit(main())
