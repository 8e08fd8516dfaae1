"""Preference tuning by trl's `DPOTrainer` (Rafailov et al. 2023), on tokens, in one process.

What was trained before is the reference: the adapter switched off or as it was, or a copy of the full weights. Runs are
short: one that is killed begins anew, to the same bytes; trl's own checkpoints are pickles, and never written.
"""

from __future__ import annotations

import copy
import hashlib
import math
import os
import time
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from freehold.domain.errors import TrainingError
from freehold.train.generative import environment, memory
from freehold.train.generative.energy import JOULES_PER_KILOWATT_HOUR, Meter
from freehold.train.generative.model import Built, build, save
from freehold.train.generative.spec import PROGRESS, BaseStart, Fit, Pair, Spec, read_pairs, write_json
from freehold.train.progress import Progress
from freehold.train.recipes import Preference

torch: Any = import_module("torch")

_SECOND_BETA = 0.95
_END = "<|end|>"
_SPECIAL = ("pad_token_id", "bos_token_id", "eos_token_id")


def train_preferences(run: Path, spec: Spec) -> Fit:
    """Train what `spec` says on the pairs in `run`.

    Raises:
        TrainingError: the recipe asks for what DPO cannot do here, memory does not suffice, or the loss is no number.
    """
    _check(spec)
    told = spec.recipe.run
    device = environment.settle(told, spec.seed)
    memory.check(spec, workers=1, on_gpu=device.type == "cuda")
    fit, tune = read_pairs(run, "fit"), read_pairs(run, "tune")
    built = build(spec, device)
    precision = environment.choose_precision(told, device, built.causal.config.hidden_size)
    owners = (built.causal.config, built.causal.generation_config)
    special = [(owner, name, getattr(owner, name, None)) for owner in owners for name in _SPECIAL]
    watcher = _Watcher(run, spec, built, sum(_length(pair) for pair in fit), device)
    trainer = _trainer(run, spec, built, (fit, tune), precision, watcher)
    trainer.train()
    watcher.restore()
    for owner, name, value in special:  # trl made them those of the tokenizer it was given
        setattr(owner, name, value)
    file = save(built, run.parent, spec.start)
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    return watcher.fit(trainer.state, environment.describe(told, device, precision, 1), digest)


def _check(spec: Spec) -> None:
    if spec.recipe.optimizer.kind != "adamw":
        raise TrainingError(
            f"method dpo cannot move weights by {spec.recipe.optimizer.kind}.",
            'Set [optimizer] kind = "adamw", with a rate of about a tenth of that of method sft.',
        )
    if not isinstance(spec.start, BaseStart):
        raise TrainingError(
            "method dpo needs something that answers already: random weights prefer nothing.",
            "Name a base, or a student that was trained by method sft.",
        )


def _length(pair: Pair) -> int:
    return 2 * len(pair.prompt) + len(pair.chosen) + len(pair.rejected)


class _Trl(NamedTuple):
    trainer: Any
    config: Any
    dataset: Any
    callback: Any
    tokenizer: Any


def _trl() -> _Trl:
    os.environ.setdefault("TQDM_DISABLE", "1")
    return _Trl(
        import_module("trl.trainer.dpo_trainer").DPOTrainer,
        import_module("trl.trainer.dpo_config").DPOConfig,
        import_module("datasets").Dataset,
        import_module("transformers").TrainerCallback,
        import_module("transformers").PreTrainedTokenizerFast,
    )


def _trainer(
    run: Path, spec: Spec, built: Built, parts: tuple[list[Pair], list[Pair]], precision: Any, watcher: _Watcher
) -> Any:
    library, (fit, tune) = _trl(), parts
    recipe, told = spec.recipe, spec.recipe.run
    mean = sum(_length(pair) for pair in fit) / len(fit)
    rows = max(1, round(told.batch_tokens / mean / told.accumulate))
    arguments = library.config(
        output_dir=str(run / "trl"),
        beta=(recipe.preference or Preference()).beta,
        num_train_epochs=told.epochs,
        per_device_train_batch_size=rows,
        per_device_eval_batch_size=rows,
        gradient_accumulation_steps=told.accumulate,
        learning_rate=recipe.optimizer.rate,
        lr_scheduler_type=recipe.optimizer.schedule,
        warmup_steps=recipe.optimizer.warmup,
        weight_decay=recipe.optimizer.weight_decay,
        adam_beta2=_SECOND_BETA,
        max_grad_norm=recipe.optimizer.clip,
        optim="adamw_torch_fused",
        max_length=None,  # longer pairs were left out before
        bf16=precision == torch.bfloat16,
        gradient_checkpointing=False,
        use_cpu=not torch.cuda.is_available(),
        seed=spec.seed,
        eval_strategy="steps" if tune else "no",
        eval_steps=told.evaluate_every,
        save_strategy="no",
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    # `_prepare_dataset` would make tokens of texts; ours are made, by the template that the student is served with.
    own: Any = type("TokenPairs", (library.trainer,), {"_prepare_dataset": _as_it_is})
    return own(
        model=built.causal if built.wrapped is None else built.wrapped,
        ref_model=copy.deepcopy(built.causal) if built.wrapped is None else None,
        args=arguments,
        train_dataset=_dataset(library, fit),
        eval_dataset=_dataset(library, tune) if tune else None,
        processing_class=_tokenizer(library, built),
        callbacks=[_callback(library, watcher)],
    )


def _as_it_is(trainer: Any, dataset: Any, *rest: Any) -> Any:
    return dataset


def _callback(library: _Trl, watcher: _Watcher) -> Any:
    def on_log(_: Any, args: Any, state: Any, control: Any, logs: Any = None, **rest: Any) -> None:
        watcher.on_log(state, logs or {})

    def on_evaluate(_: Any, args: Any, state: Any, control: Any, metrics: Any = None, **rest: Any) -> None:
        watcher.on_look(control, metrics)

    own: Any = type("Watching", (library.callback,), {"on_log": on_log, "on_evaluate": on_evaluate})
    return own()


def _dataset(library: _Trl, pairs: list[Pair]) -> Any:
    return library.dataset.from_dict(
        {f"{name}_ids": [getattr(pair, name).tolist() for pair in pairs] for name in Pair._fields}
    )


def _tokenizer(library: _Trl, built: Built) -> Any:
    """trl wants one, and takes nothing from it but the token to pad with, which no loss and no attention sees."""
    tokenizers: Any = import_module("tokenizers")
    pieces = {_END: built.causal.config.pad_token_id or 0}
    return library.tokenizer(
        tokenizer_object=tokenizers.Tokenizer(tokenizers.models.WordLevel(pieces, unk_token=_END)),
        pad_token=_END,
        eos_token=_END,
    )


class _Watcher:
    """Hears of each step: keeps the best weights, tells of progress, and stops what leads nowhere."""

    def __init__(self, run: Path, spec: Spec, built: Built, tokens: int, device: Any) -> None:
        self._run, self._spec, self._built, self._tokens = run, spec, built, tokens
        self._began, self._cpu_began = time.monotonic(), time.process_time()
        self._meter = Meter(spec.recipe.run.watts_per_core, (device.index or 0,) if device.type == "cuda" else ())
        self._loss, self._tune_loss, self._best_loss = math.nan, None, math.inf
        self._best: dict[str, Any] = {}
        self._looks_since = 0
        self._early = False

    def on_log(self, state: Any, logs: dict[str, float]) -> None:
        """After each step."""
        if "loss" not in logs:
            return
        self._loss = logs["loss"]
        if not (math.isfinite(self._loss) and math.isfinite(logs.get("grad_norm", 0.0))):
            rate = self._spec.recipe.optimizer.rate
            raise TrainingError(
                f"The loss is no number any more ({self._loss}) at step {state.global_step} of {state.max_steps}, "
                f"with rate = {rate:g}.",
                "Lower [optimizer] rate to a third; nothing was written.",
            )
        seconds = time.monotonic() - self._began
        tokens = self._tokens * (state.epoch or 0.0)
        left = seconds / state.global_step * (state.max_steps - state.global_step)
        told = Progress(
            state.global_step, state.max_steps, self._loss, self._tune_loss, tokens / seconds, left, self._energy()
        )
        write_json(self._run / PROGRESS, told)

    def on_look(self, control: Any, metrics: dict[str, float] | None) -> None:
        """After each look at the tune pairs."""
        self._tune_loss = (metrics or {})["eval_loss"]
        if self._tune_loss < self._best_loss:
            self._best_loss, self._looks_since = self._tune_loss, 0
            self._best = {name: weight.detach().clone() for name, weight in self._built.trained.items()}
            return
        self._looks_since += 1
        patience = self._spec.recipe.run.patience
        if patience and self._looks_since >= patience:
            control.should_training_stop = self._early = True

    def restore(self) -> None:
        """Put the best weights back."""
        with torch.no_grad():
            for name, weight in self._best.items():
                self._built.trained[name].copy_(weight)

    def fit(self, state: Any, surroundings: dict[str, str], sha256: str) -> Fit:
        """How it ended."""
        return Fit(
            steps=state.global_step,
            epochs=float(state.epoch),
            fit_loss=self._loss,
            tune_loss=self._best_loss if self._best else None,
            tokens=round(self._tokens * state.epoch),
            seconds=time.monotonic() - self._began,
            cpu_seconds=time.process_time() - self._cpu_began,
            kilowatt_hours=self._energy(),
            stopped="early" if self._early else "epochs",
            environment=surroundings,
            sha256=sha256,
            parameters=self._built.parameters,
        )

    def _energy(self) -> float:
        return self._meter.joules(time.process_time() - self._cpu_began) / JOULES_PER_KILOWATT_HOUR
