"""The engine: one base model with its adapters, and the requests that it answers side by side.

Each step computes one token for every running request (continuous batching, Yu et al. 2022): a request joins when its
prompt has been computed and leaves when its answer ends, whatever the others do. Prompts are computed in bounded pieces
between steps, so that a long one holds nobody up for long; what a prompt has in common with an earlier request is not
computed again. An engine has no thread of its own: who owns it calls `step`.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from freehold.domain.errors import RequestError
from freehold.serving.engine.adapters import Adapter, Mix, load_adapter
from freehold.serving.engine.cache import Beginnings, Slots, as_tokens, common
from freehold.serving.engine.config import ModelConfig, read_config, rotations
from freehold.serving.engine.dense import Dense, Lora, Piece
from freehold.serving.engine.grammar import Grammars
from freehold.serving.engine.quick import Quick
from freehold.serving.engine.sampling import Floats, best_of, likeliest, sample
from freehold.serving.engine.sequence import Ask, Finish, Running
from freehold.serving.engine.text import Words
from freehold.serving.engine.weights import Weights, load_weights, norms_of

PROMPT_TOKENS = 512
"""Of prompts, computed between two steps."""
_KEPT_MIXES = 8
_CACHE_BYTES = 1 << 30


class Engine:
    """See the module. Every method but `submit`, `cancel` and `busy` belongs to one thread."""

    def __init__(self, folder: Path, config: ModelConfig, weights: Weights, slots: Slots, words: Words) -> None:
        """Use `load_engine`."""
        turns = rotations(config, slots.context)
        like = weights.embedding
        self.folder = folder
        self.config = config
        self.context = slots.context
        self.words = words
        self.grammars = Grammars(words.json, config.vocabulary, config.ends)
        self._norms = norms_of(folder, config)
        self._like = like
        self._slots = slots
        self._dense = Dense(config, weights, slots, turns)
        quick = str(like.device) == "cpu" and str(like.dtype) == "torch.float32"
        self._quick = Quick(config, weights, slots, turns) if quick else None
        self._beginnings = Beginnings(Beginnings.budget(slots.slots, slots.context))
        self._waiting: deque[Running] = deque()
        self._running: list[Running] = []
        """In order of their slots."""
        self._partial: Running | None = None
        """Whose prompt is being computed in pieces: it has the slot after the running ones'."""
        self._mixes: OrderedDict[tuple[int, ...], Mix] = OrderedDict()
        self._lora: tuple[list[Adapter | None], Lora | None] = ([], None)
        self._cancelled = False
        self._inference: Any = import_module("torch").inference_mode
        self.computed_prompt_tokens = 0
        self.shared_prompt_tokens = 0
        self.answer_tokens = 0

    @property
    def slots(self) -> int:
        """Requests that can run side by side."""
        return self._slots.slots

    @property
    def running(self) -> int:
        """Requests that have a slot."""
        return len(self._running) + (self._partial is not None)

    @property
    def waiting(self) -> int:
        """Requests that have none yet."""
        return len(self._waiting)

    @property
    def busy(self) -> bool:
        """Whether a step would do something."""
        return bool(self._running or self._waiting or self._partial is not None)

    def load_adapter(self, name: str, folder: Path) -> Adapter:
        """An adapter for this base; requests name it by the object, so the same name may get another one.

        Raises:
            StudentError: see `adapters.load_adapter`.
        """
        return load_adapter(name, folder, self.config, self._norms, self._like)

    def submit(self, ask: Ask, listener: Callable[[Running], None] | None = None) -> Running:
        """Queue a request, from any thread.

        Args:
            ask: what is wanted.
            listener: called in the engine's thread when it ends, and for streams after each of its tokens.

        Raises:
            RequestError: the prompt is empty, holds no tokens of this model, or leaves no room for an answer.
        """
        length = len(ask.prompt)
        if not length or min(ask.prompt) < 0 or max(ask.prompt) >= self.config.vocabulary:
            raise RequestError("The prompt is empty or has tokens that the model does not know.", "Send a text.")
        context = min(self.context, ask.context or self.context)
        if length >= context:
            raise RequestError(
                f"The prompt has {length} tokens; the model's context holds {context} with the answer.",
                "Make it shorter.",
            )
        speech = self.words.speech(ask.stop) if ask.stop or ask.stream else None
        running = Running(ask, min(ask.max_tokens, context - length), speech, listener)
        self._waiting.append(running)
        return running

    def cancel(self, running: Running) -> None:
        """End a request at the next step, from any thread; its listener is called once more."""
        running.cancelled = True
        self._cancelled = True

    def step(self) -> None:
        """Compute what prompts may be computed now, then one token for each running request."""
        with self._inference():
            if self._cancelled:
                self._drop_cancelled()
            if self._waiting or self._partial is not None:
                self._prompts()
            if self._running:
                self._decode()

    def _drop_cancelled(self) -> None:
        self._cancelled = False
        for running in [running for running in self._running if running.cancelled]:
            self._finish(running, "cancelled")
        if self._partial is not None and self._partial.cancelled:
            gone, self._partial = self._partial, None
            self._end(gone, "cancelled")
        for _ in range(len(self._waiting)):
            running = self._waiting.popleft()
            if running.cancelled:
                self._end(running, "cancelled")
            else:
                self._waiting.append(running)

    # Prompts

    def _prompts(self) -> None:
        """Compute up to `PROMPT_TOKENS` of prompts; those that are whole then have their first token."""
        left = PROMPT_TOKENS
        pieces: list[tuple[Running, Piece]] = []
        if self._partial is not None:
            running, self._partial = self._partial, None
            left -= self._add_piece(pieces, running, len(self._running), left)
        fresh: list[Running] = []
        while self._waiting and left > 0 and self._partial is None and len(self._running) + len(pieces) < self.slots:
            running = self._waiting[0]
            if any(_alike(other, running) for other in fresh):
                break  # the one before it in this very step computes what it can then share
            self._waiting.popleft()
            fresh.append(running)
            slot = len(self._running) + len(pieces)
            self._share(running, slot)
            left -= self._add_piece(pieces, running, slot, left)
        if pieces:
            self._compute(pieces)

    def _add_piece(self, pieces: list[tuple[Running, Piece]], running: Running, slot: int, left: int) -> int:
        """Add what of the prompt may be computed now, and return how many tokens; what is left makes it the partial."""
        prompt = running.ask.prompt
        tokens = prompt[running.filled : running.filled + left]
        pieces.append((running, Piece(slot, running.filled, tokens)))
        running.slot = slot
        if running.filled + len(tokens) < len(prompt):
            self._partial = running
        return len(tokens)

    def _compute(self, pieces: list[tuple[Running, Piece]]) -> None:
        lora = self._lora_of([running for running, piece in pieces for _ in piece.tokens])
        hidden = self._dense.hidden([piece for _, piece in pieces], lora)
        ends = np.cumsum([len(piece.tokens) for _, piece in pieces])
        whole: list[Running] = []
        rows: list[int] = []
        for (running, piece), end in zip(pieces, ends.tolist(), strict=True):
            running.filled += len(piece.tokens)
            self.computed_prompt_tokens += len(piece.tokens)
            if running.ask.score_prompt:
                self._score(running, piece, self._dense.logits(hidden[end - len(piece.tokens) : end]))
            if running is not self._partial:
                whole.append(running)
                rows.append(end - 1)
        if not whole:
            return
        logits = self._dense.logits(hidden[rows]).cpu().numpy()
        for running in whole:
            self._running.append(running)
            if self._quick is not None:
                self._quick.fill(running.slot, running.filled)
        self._choose(whole, logits)

    def _score(self, running: Running, piece: Piece, logits: Any) -> None:
        """Log-probabilities of the prompt's own tokens, each by what came before it."""
        prompt, table = running.ask.prompt, logits.cpu().numpy()
        best = best_of(table, spread=True)
        assert best.spreads is not None
        for row in range(len(piece.tokens)):
            place = piece.start + row + 1
            if place < len(prompt):
                peak, spread = float(best.peaks[row]), float(best.spreads[row])
                top = likeliest(table[row], max(1, running.ask.top_logprobs), peak, spread)
                running.prompt_scores.append((float(table[row, prompt[place]]) - peak - spread, top))

    def _share(self, running: Running, slot: int) -> None:
        """Take over what an earlier request has in common with this one's prompt, all but its last token."""
        if not running.head:
            return
        tokens, adapter = running.prompt[:-1], running.ask.adapter
        source, length = -1, 0
        for other in self._running:
            if _alike(other, running) and (same := common(other.prompt, tokens)) > length:
                source, length = other.slot, same
        kept = self._beginnings.find(adapter, tokens)
        if kept is not None and kept[1] > length:
            length = kept[1]
            self._slots.put(slot, kept[0], length)
        elif length:
            self._slots.move(source, slot, length)
        running.filled = running.shared = length
        self.shared_prompt_tokens += length

    # Steps

    def _decode(self) -> None:
        running = list(self._running)
        lora = self._lora_of(running)
        if self._quick is not None:
            tokens = np.array([one.tokens[-1] for one in running], np.int64)
            positions = np.array([one.filled for one in running], np.int64)
            logits = self._quick.logits(tokens, positions, lora)
        else:
            pieces = [Piece(one.slot, one.filled, one.tokens[-1:]) for one in running]
            logits = self._dense.logits(self._dense.hidden(pieces, lora)).cpu().numpy()
        for one in running:
            one.filled += 1
        self._choose(running, logits)

    def _choose(self, rows: list[Running], logits: Floats) -> None:
        """Choose each row's next token, and end those requests that end with it."""
        best = best_of(logits, spread=any(one.ask.logprobs for one in rows))
        tokens, peaks = best.tokens.tolist(), best.peaks.tolist()
        spreads = [0.0] * len(rows) if best.spreads is None else best.spreads.tolist()
        for row, one in enumerate(rows):
            token, peak = tokens[row], peaks[row]
            if peak - peak != 0.0:  # infinite, or no number
                self._spoiled(one)
                continue
            ask, logprob = one.ask, -spreads[row]
            if one.random is not None or ask.matcher is not None:
                token = self._pick(one, logits[row])
                logprob += float(logits[row, token]) - peak
            top = likeliest(logits[row], ask.top_logprobs, peak, spreads[row]) if ask.top_logprobs else None
            self._take(one, token, logprob, top)

    def _pick(self, one: Running, logits: Floats) -> int:
        """A token of a request that samples or has a grammar. Log-probabilities stay the model's own, as vLLM's do."""
        if one.ask.matcher is not None:
            logits = logits.copy()
            one.ask.matcher.forbid(logits)
        if one.random is None:
            return int(logits.argmax())
        return sample(logits, one.ask.temperature, one.ask.top_p, one.random)

    def _take(self, one: Running, token: int, logprob: float, top: Any) -> None:
        ask = one.ask
        one.total += logprob
        if token in self.config.ends and not ask.ignore_end:
            self._finish(one, "stop")
            return
        one.tokens.append(token)
        self.answer_tokens += 1
        if ask.logprobs:
            one.logprobs.append(logprob)
            if top is not None:
                one.tops.append(top)
        if ask.matcher is not None:
            try:
                ask.matcher.consume(token)
            except RuntimeError as error:
                one.problem = f"The answer left its grammar: {error}."
                self._finish(one, "error")
                return
        if one.speech is not None:
            one.speech.add(token)
            if one.speech.stopped:
                self._finish(one, "stop")
                return
        if len(one.tokens) >= one.limit:
            self._finish(one, "length")
        elif ask.stream and one.listener is not None:
            one.listener(one)

    def _spoiled(self, one: Running) -> None:
        one.problem = "The model computed something that is no number: its weights are damaged, or too large."
        slot = one.slot
        self._finish(one, "error", keep=False)
        self._slots.clear(slot)

    # The end

    def _finish(self, one: Running, finish: Finish, *, keep: bool = True) -> None:
        """End a running request, and close the gap that its slot leaves."""
        slot, last = one.slot, len(self._running) - 1
        if keep:
            self._keep(one)
        if slot != last:
            self._move(self._running[last], slot)
            self._running[slot] = self._running[last]
        self._running.pop()
        if self._partial is not None:
            self._move(self._partial, last)
        self._end(one, finish)

    def _move(self, one: Running, slot: int) -> None:
        self._slots.move(one.slot, slot, one.filled)
        one.slot = slot
        if self._quick is not None:
            self._quick.fill(slot, one.filled)

    def _keep(self, one: Running) -> None:
        tokens = np.concatenate([one.prompt, as_tokens(one.tokens)])[: one.filled]
        if self._beginnings.wants(one.ask.adapter, tokens):
            self._beginnings.keep(one.ask.adapter, tokens, self._slots.take(one.slot, one.filled))

    def _end(self, one: Running, finish: Finish) -> None:
        if one.speech is not None:
            one.speech.end()
        one.slot = -1
        one.finish = finish
        if one.listener is not None:
            one.listener(one)

    def _lora_of(self, rows: Sequence[Running]) -> Lora | None:
        """The adapters of a batch's rows; None where no row has one."""
        wanted = [row.ask.adapter for row in rows]
        if wanted == self._lora[0]:
            return self._lora[1]
        used = {id(adapter): adapter for adapter in wanted if adapter is not None}
        if not used:
            self._lora = (wanted, None)
            return None
        key = tuple(sorted(used))
        mix = self._mixes.pop(key, None) or Mix([used[number] for number in key])
        self._mixes[key] = mix
        while len(self._mixes) > _KEPT_MIXES:
            self._mixes.popitem(last=False)
        lora = Lora(mix, mix.masks([-1 if one is None else key.index(id(one)) for one in wanted]))
        self._lora = (wanted, lora)
        return lora

    def forget(self, adapter: Adapter) -> None:
        """Drop what is kept of an adapter that no new request will name; running ones keep theirs."""
        self._beginnings.forget(adapter)


def _alike(first: Running, second: Running) -> bool:
    """Whether two prompts begin alike, and under the same weights."""
    return bool(first.head) and first.head == second.head and first.ask.adapter is second.ask.adapter


def load_engine(
    folder: Path, *, slots: int = 32, context: int | None = None, device: str | None = None, threads: int | None = 1
) -> Engine:
    """The model in a Hugging Face folder (config.json, safetensors, tokenizer.json), ready to answer.

    Args:
        folder: the model's.
        slots: requests side by side; fewer where their keys and values would take more than a gigabyte.
        context: tokens of prompt and answer together; None: as many as the model was made for.
        device: None: a GPU where there is one, in bfloat16; else the CPU, in float32.
        threads: of arithmetic, for the whole process; None: leave it.

    Raises:
        StudentError: a file is missing or not readable, or the engine cannot compute such a model.
    """
    torch: Any = import_module("torch")
    if threads is not None:
        limit_threads(threads)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    config = read_config(folder)
    words = Words(folder)
    length = min(config.context, context or config.context)
    with torch.inference_mode():
        weights = load_weights(folder, config, device, dtype)
        per_slot = 2 * config.layers * config.kv_heads * length * config.head_dim * weights.embedding.element_size()
        most = max(1, min(slots, _CACHE_BYTES // per_slot))
        return Engine(folder, config, weights, Slots(config, most, length, weights.embedding), words)


def limit_threads(threads: int) -> None:
    """Let torch's and numpy's products use so many threads, from now on, in this process."""
    from threadpoolctl import threadpool_limits

    import_module("torch").set_num_threads(threads)
    threadpool_limits(threads)
