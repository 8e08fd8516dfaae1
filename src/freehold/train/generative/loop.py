"""The training loop: packed rows, head and loss at learned tokens only, gradients and loss in one message to others."""

from __future__ import annotations

import contextlib
import hashlib
import math
import time
from collections.abc import Iterator
from importlib import import_module
from itertools import chain, cycle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freehold.domain.errors import TrainingError
from freehold.runners.yielding import yielding_here
from freehold.train.generative import environment, memory
from freehold.train.generative.checkpoint import State, read_checkpoint, write_checkpoint
from freehold.train.generative.encode import BEFORE
from freehold.train.generative.energy import JOULES_PER_KILOWATT_HOUR, Meter
from freehold.train.generative.model import Built, build, save
from freehold.train.generative.optimise import Mover
from freehold.train.generative.pack import NO_LOSS, Batch, batches, shard
from freehold.train.generative.spec import PROGRESS, Fit, Spec, read_examples, write_json
from freehold.train.generative.team import Team, join_team
from freehold.train.progress import Progress

torch: Any = import_module("torch")

LEFT_OUT = 0.05
"""Share of the tune rows, the worst, that do not count: the incumbent was wrong there, and the surer a student is, the
higher is their loss. With them the weights that had learned least won now and then."""
_REPORT_SECONDS = 0.5
_TRAINED, _BEST, _OPTIMISER = "weights/", "best/", "optimiser/"


def train(run: Path, spec: Spec) -> Fit | None:
    """Train, or go on training, what `spec` says; None in workers other than the first, which writes the result.

    Raises:
        TrainingError: the base does not fit, memory or disk do not suffice, or the loss is no number.
    """
    device = environment.settle(spec.recipe.run, spec.seed)
    team = join_team(device)
    if not team.rank:
        memory.check(spec, team.size, on_gpu=device.type == "cuda")
    return _Training(run, spec, device, team).run()


class _Training:
    def __init__(self, run: Path, spec: Spec, device: Any, team: Team) -> None:
        self._run, self._spec, self._device, self._team = run, spec, device, team
        self._told = spec.recipe.run
        self._fit = read_examples(run, "fit")
        self._built: Built = build(spec, device)
        self._precision = environment.choose_precision(self._told, device, self._built.causal.config.hidden_size)
        self._tune = batches(read_examples(run, "tune"), self._told.batch_tokens, 0, 0, spec.seed)
        self._per_epoch = len(self._batches(self._fit, 0))
        self._before_first = len(self._batches(self._fit, BEFORE))
        self._steps = self._before_first + max(1, self._told.steps, round(self._told.epochs * self._per_epoch))
        self._mover = Mover(self._built.trained, spec.recipe.optimizer, self._steps, team, self._precision)
        self._drops = bool(getattr(spec.recipe.adapter or spec.recipe.model, "dropout", 0.0))
        self._best: dict[str, Any] = {}
        self._state = State(environment=environment.describe(self._told, device, self._precision, team.size))
        self._resume()
        gpus = tuple(range(team.size)) if device.type == "cuda" else ()
        self._meter = Meter(self._told.watts_per_core, gpus)
        self._began, self._cpu_began, self._reported = time.monotonic(), time.process_time(), 0.0
        self._before = (self._state.seconds, self._state.cpu_seconds, self._state.joules, self._state.tokens)

    def run(self) -> Fit | None:
        """All steps that are left."""
        state, told = self._state, self._told
        # The first worker waits for all: the others wait for its gradients.
        yielding = yielding_here(told.threads, by_clock=self._device.type == "cuda") if not self._team.rank else None
        stopped = self._has_waited()
        for batch in self._batches_left():
            if stopped:
                break
            loss = self._step(batch)
            state.step += 1
            last = state.step == self._steps
            if self._tune and state.step > self._before_first and (last or state.step % told.evaluate_every == 0):
                self._look()
                stopped = self._has_waited()
            self._count(loss, batch, last or stopped)
            if state.step % told.checkpoint_every == 0 and not last:
                self._checkpoint()
            if yielding is not None:
                yielding.between_steps()
        return self._finish(early=state.step < self._steps)

    def _step(self, batch: Batch) -> float:
        """Move the weights by one batch; returns the mean loss of its target tokens."""
        number = self._state.step
        if self._drops:
            torch.manual_seed(_mixed(self._spec.seed, number, self._team.rank))
        self._built.causal.train()
        flat = self._mover.flat
        flat.zero_()
        targets = max(1, batch.learned)
        # What stands before the first epoch are exercises, whose prompts say nothing.
        weight = self._spec.recipe.data.prompt_weight if number >= self._before_first else 0.0
        for part in self._parts(batch):
            hidden = self._hidden(part)
            loss = whole = self._loss(hidden, part.targets) / targets
            if weight:
                whole = loss + self._loss(hidden, part.prompts) * (weight / targets)
            whole.backward()
            flat[-1] += loss.detach()
        self._team.sum(flat)
        loss = float(flat[-1])
        norm = self._mover.step(number)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self._give_up(loss, number)
        return loss

    def _hidden(self, batch: Batch) -> Any:
        """What the last layer gives: (rows, width, hidden)."""
        with self._casting():
            return self._built.causal.base_model(
                input_ids=self._tensor(batch.tokens),
                position_ids=self._tensor(batch.positions),
                attention_mask=self._mask(batch.segments),
                use_cache=False,
            ).last_hidden_state

    def _loss(self, hidden: Any, targets: NDArray[np.int32], reduction: str = "sum") -> Any:
        """Cross entropy at the places of (rows, width) that have a target, in order; logits are of these only."""
        places = np.flatnonzero(targets != NO_LOSS)
        wanted = hidden.reshape(-1, hidden.shape[-1]).index_select(0, self._tensor(places))
        with self._casting():
            logits = self._built.causal.get_output_embeddings()(wanted)
        targets = self._tensor(targets.reshape(-1)[places])
        return torch.nn.functional.cross_entropy(logits.float(), targets, reduction=reduction)

    def _mask(self, segments: NDArray[np.int32]) -> Any:
        """(rows, 1, width, width): 0 where a token may look, else -inf: back, and within its own example."""
        of = self._tensor(segments)
        width = of.shape[1]
        back = torch.ones(width, width, dtype=torch.bool, device=self._device).tril()
        may = (of[:, None, :, None] == of[:, None, None, :]) & back
        return torch.zeros(may.shape, dtype=self._precision, device=self._device).masked_fill_(~may, -math.inf)

    def _parts(self, batch: Batch) -> Iterator[Batch]:
        """This worker's rows, in as many parts as they are computed in."""
        size, parts = self._team.size, self._told.accumulate
        for number in range(parts):
            part = shard(batch, self._team.rank + number * size, size * parts)
            if part.learned:
                yield part

    def _look(self) -> None:
        """Measure the loss on the tune rows, and keep the weights if they are the best yet."""
        state = self._state
        self._built.causal.eval()
        losses, targets = self._tune_losses()
        by_mean = np.argsort(losses / targets, kind="stable")
        kept = by_mean[: len(by_mean) - int(LEFT_OUT * len(by_mean))]
        state.tune_loss = float(losses[kept].sum() / targets[kept].sum())
        if not math.isfinite(state.tune_loss):
            self._give_up(state.tune_loss, state.step)
        if state.best_loss is None or state.tune_loss < state.best_loss:
            state.best_loss, state.best_step, state.looks_since = state.tune_loss, state.step, 0
            self._best = {name: weight.detach().clone() for name, weight in self._built.trained.items()}
        else:
            state.looks_since += 1

    def _tune_losses(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """(rows,) of the tune rows: the loss summed over their targets, and how many these are."""
        found = [np.zeros(len(batch.tokens)) for batch in self._tune]
        rank, size = self._team.rank, self._team.size
        with torch.no_grad():
            for batch, losses in zip(self._tune, found, strict=True):
                part = shard(batch, rank, size)
                rows = np.nonzero(part.targets != NO_LOSS)[0]
                if len(rows):
                    each = self._loss(self._hidden(part), part.targets, "none").double().cpu().numpy()
                    losses[rank::size] = np.bincount(rows, each, len(part.tokens))
        summed = torch.from_numpy(np.concatenate(found)).to(self._device)
        self._team.sum(summed)
        targets = np.concatenate([(batch.targets != NO_LOSS).sum(axis=1) for batch in self._tune])
        return summed.cpu().numpy(), targets

    def _has_waited(self) -> bool:
        return bool(self._told.patience) and self._state.looks_since >= self._told.patience

    def _count(self, loss: float, batch: Batch, last: bool) -> None:
        """Keep the counters, and now and then tell how far it is."""
        state = self._state
        targets = batch.learned
        state.epoch_loss += loss * targets
        state.epoch_targets += targets
        state.tokens += batch.filled
        if (state.step - self._before_first) % self._per_epoch == 0 or last:
            state.fit_loss = state.epoch_loss / max(1, state.epoch_targets)
            state.epoch_loss, state.epoch_targets = 0.0, 0
        now = time.monotonic()
        if self._team.rank or (now - self._reported < _REPORT_SECONDS and not last):
            return
        self._reported = now
        self._clock()
        pace = (state.tokens - self._before[3]) / max(1e-9, now - self._began)
        per_step = state.seconds / state.step
        kilowatt_hours = state.joules / JOULES_PER_KILOWATT_HOUR
        left = 0.0 if last else per_step * (self._steps - state.step)
        told = Progress(state.step, self._steps, loss, state.tune_loss, pace, left, kilowatt_hours)
        write_json(self._run / PROGRESS, told)

    def _clock(self) -> None:
        """Bring time and energy up to date; workers take about as much CPU as this one does."""
        state, before = self._state, self._before
        cpu_seconds = (time.process_time() - self._cpu_began) * self._team.size
        state.seconds = before[0] + time.monotonic() - self._began
        state.cpu_seconds = before[1] + cpu_seconds
        state.joules = before[2] + self._meter.joules(cpu_seconds)

    def _checkpoint(self) -> None:
        if self._team.rank:
            return
        self._clock()
        tensors = {_TRAINED + name: weight.detach() for name, weight in self._built.trained.items()}
        tensors |= {_BEST + name: weight for name, weight in self._best.items()}
        tensors |= {_OPTIMISER + name: value for name, value in self._mover.state().items()}
        write_checkpoint(self._run, self._state, tensors)

    def _resume(self) -> None:
        """Take up the checkpoint. One that was made under other conditions would give bytes that no run could give
        again: then the run is begun again, and says so."""
        found = read_checkpoint(self._run, self._device)
        if found is None:
            return
        state, tensors = found
        other = environment.differences(state.environment, self._state.environment)
        if other:
            self._state.begun_again = "; ".join(other)
            return
        self._state = state
        self._load(_under(_TRAINED, tensors))
        self._best = _under(_BEST, tensors)
        self._mover.restore(_under(_OPTIMISER, tensors))

    def _load(self, weights: dict[str, Any]) -> None:
        with torch.no_grad():
            for name, weight in self._built.trained.items():
                weight.copy_(weights[name])

    def _finish(self, early: bool) -> Fit | None:
        """Write the weights that are kept."""
        state = self._state
        self._clock()
        if self._best:
            self._load(self._best)
        if self._team.rank:
            return None
        file = save(self._built, self._run.parent, self._spec.start)
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        again = {"begun again": state.begun_again} if state.begun_again else {}
        return Fit(
            steps=state.step,
            epochs=max(0, state.step - self._before_first) / self._per_epoch,
            fit_loss=state.fit_loss,
            tune_loss=state.best_loss,
            tokens=state.tokens,
            seconds=state.seconds,
            cpu_seconds=state.cpu_seconds,
            kilowatt_hours=state.joules / JOULES_PER_KILOWATT_HOUR,
            stopped="early" if early else "epochs",
            environment={**state.environment, **again},
            sha256=digest,
            parameters=self._built.parameters,
        )

    def _batches_left(self) -> Iterator[Batch]:
        """Those of the steps that are not done, epoch by epoch."""
        done = 0
        # Batches of epochs differ a little in number; after the last epoch that examples were made for comes the first.
        for epoch in chain([BEFORE], cycle(range(math.ceil(self._told.epochs)))):
            of_epoch = self._batches(self._fit, epoch)
            for batch in of_epoch[max(0, self._state.step - done) :]:
                if self._state.step >= self._steps:
                    return
                yield batch
            done += len(of_epoch)

    def _batches(self, rows: list[Any], epoch: int) -> list[Batch]:
        return batches(rows, self._told.batch_tokens, self._spec.recipe.data.pack, epoch, self._spec.seed)

    def _casting(self) -> Any:
        if self._precision == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self._device.type, dtype=self._precision)

    def _tensor(self, values: NDArray[Any]) -> Any:
        return torch.from_numpy(values.astype(np.int64)).to(self._device)

    def _give_up(self, loss: float, step: int) -> None:
        told = self._spec.recipe.optimizer
        rates = f"rate = {told.rate:g}" + (f", matrix_rate = {told.matrix_rate:g}" if told.kind == "muon" else "")
        raise TrainingError(
            f"The loss is no number any more ({loss}) at step {step + 1} of {self._steps}, with {rates}.",
            "Lower [optimizer] rate (and matrix_rate) to a third, or raise warmup; nothing was written.",
        )


def _under(prefix: str, tensors: dict[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _mixed(seed: int, step: int, rank: int) -> int:
    """A seed for one step of one worker."""
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0] >> 1)
