"""What llama.cpp makes of a GGUF file, in a process of its own: llama-cpp-python may live in another environment.

    PYTHON bench/students/llama_side.py < request.json > answer.json

The request: `gguf`, `texts` (to tokenize), `prompts` (single turns), `max_tokens`, `threads`. The answer: `tokens` and
`decoded` of each text; `rendered`, `answer_ids` and `answers` of each prompt; `seconds` of CPU for all answers.
"""

from __future__ import annotations

import json
import sys
import time
from importlib import import_module
from typing import Any


def main() -> None:
    """Answer the request on standard input."""
    asked: dict[str, Any] = json.load(sys.stdin)
    library: Any = import_module("llama_cpp")
    formats: Any = import_module("llama_cpp.llama_chat_format")
    threads = asked.get("threads", 1)
    # Keys and values as float32 (type 0), as the model was trained with; llama.cpp's own default is float16.
    model = library.Llama(
        asked["gguf"],
        n_ctx=asked.get("context", 0),
        n_threads=threads,
        n_threads_batch=threads,
        type_k=0,
        type_v=0,
        verbose=False,
    )
    end = model.token_eos()
    written = model.detokenize([end], special=True).decode()
    render = formats.Jinja2ChatFormatter(model.metadata["tokenizer.chat_template"], eos_token=written, bos_token="")
    began = time.process_time()
    rendered = [render(messages=[{"role": "user", "content": prompt}]).prompt for prompt in asked.get("prompts", [])]
    answers = [_answer(model, text, end, asked["max_tokens"]) for text in rendered]
    seconds = time.process_time() - began
    tokens = [_tokens(model, text) for text in asked.get("texts", [])]
    said = {
        "tokens": tokens,
        "decoded": [_text(model, ids) for ids in tokens],
        "rendered": rendered,
        "answer_ids": answers,
        "answers": [_text(model, ids) for ids in answers],
        "seconds": seconds,
        "answer_tokens": sum(map(len, answers)),
    }
    json.dump(said, sys.stdout)


def _answer(model: Any, text: str, end: int, most: int) -> list[int]:
    """The greedy answer, without its end."""
    found: list[int] = []
    for token in model.generate(_tokens(model, text), temp=0):
        if token == end or len(found) == most:
            return found
        found.append(token)
    return found


def _tokens(model: Any, text: str) -> list[int]:
    return model.tokenize(text.encode(), add_bos=False, special=True)


def _text(model: Any, ids: list[int]) -> str:
    return model.detokenize(ids, special=False).decode("utf-8", "replace")


if __name__ == "__main__":
    main()
