"""llama.cpp answering many prompts side by side, in a process of its own: see `serving.py`.

    PYTHON bench/students/llama_batch.py < request.json > answer.json

The request: `gguf`, `prompts` (tokens of each), `tokens` per answer, `context`, `at_once` (a list). The answer: for
each of `at_once`, CPU and wall seconds of computing all prompts and greedy answers, so many side by side, in
llama.cpp's own batches; no server, no text, no log-probabilities around it.
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
from importlib import import_module
from typing import Any


def main() -> None:
    """Answer the request on standard input."""
    asked: dict[str, Any] = json.load(sys.stdin)
    library: Any = import_module("llama_cpp")
    library.llama_backend_init()
    quiet = library.llama_log_callback(lambda level, text, data: None)
    library.llama_log_set(quiet, ctypes.c_void_p(0))
    model = library.llama_model_load_from_file(asked["gguf"].encode(), library.llama_model_default_params())
    found = [_run(library, model, asked, at_once) for at_once in asked["at_once"]]
    json.dump(found, sys.stdout)


def _run(library: Any, model: Any, asked: dict[str, Any], at_once: int) -> dict[str, Any]:
    params = library.llama_context_default_params()
    params.n_ctx = asked["context"] * at_once
    params.n_batch = params.n_ubatch = 512
    params.n_seq_max = at_once
    params.n_threads = params.n_threads_batch = 1
    # Keys and values as float32 (type 0), as the model was trained with.
    params.type_k = params.type_v = 0
    context = library.llama_init_from_model(model, params)
    batch = library.llama_batch_init(512, 0, 1)
    prompts = asked["prompts"]
    _answer(library, model, context, batch, prompts[:at_once], 4)
    cpu, wall = time.process_time(), time.perf_counter()
    answers: list[list[int]] = []
    for first in range(0, len(prompts), at_once):
        answers += _answer(library, model, context, batch, prompts[first : first + at_once], asked["tokens"])
    spent = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    library.llama_batch_free(batch)
    library.llama_free(context)
    return {**spent, "tokens": sum(map(len, answers)), "first": answers[0]}


def _answer(
    library: Any, model: Any, context: Any, batch: Any, prompts: list[list[int]], tokens: int
) -> list[list[int]]:
    np: Any = import_module("numpy")
    vocabulary = library.llama_vocab_n_tokens(library.llama_model_get_vocab(model))
    library.llama_memory_clear(library.llama_get_memory(context), True)
    answers: list[list[int]] = [[] for _ in prompts]
    for sequence, prompt in enumerate(prompts):
        _fill(batch, [(token, place, sequence, place == len(prompt) - 1) for place, token in enumerate(prompt)])
        library.llama_decode(context, batch)
        answers[sequence].append(_best(library, np, context, vocabulary, len(prompt) - 1))
    for step in range(tokens - 1):
        _fill(batch, [(one[-1], len(prompts[at]) + step, at, True) for at, one in enumerate(answers)])
        library.llama_decode(context, batch)
        for at, one in enumerate(answers):
            one.append(_best(library, np, context, vocabulary, at))
    return answers


def _fill(batch: Any, rows: list[tuple[int, int, int, bool]]) -> None:
    batch.n_tokens = len(rows)
    for row, (token, place, sequence, wanted) in enumerate(rows):
        batch.token[row] = token
        batch.pos[row] = place
        batch.n_seq_id[row] = 1
        batch.seq_id[row][0] = sequence
        batch.logits[row] = wanted


def _best(library: Any, np: Any, context: Any, vocabulary: int, row: int) -> int:
    logits = np.ctypeslib.as_array(library.llama_get_logits_ith(context, row), (vocabulary,))
    return int(logits.argmax())


if __name__ == "__main__":
    main()
