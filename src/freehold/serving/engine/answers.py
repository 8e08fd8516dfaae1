"""A student's answers to many prompts at once, without a server: what it is evaluated and certified by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from freehold.domain.errors import RequestError, StudentError
from freehold.serving.engine.engine import load_engine
from freehold.serving.engine.sequence import Ask, Running
from freehold.serving.folder import ADAPTER, MODEL, GenerativeManifest
from freehold.serving.gate import Gate, StudentAnswer


def answer_all(
    student_folder: Path,
    manifest: GenerativeManifest,
    base_folder: Path | None,
    prompts: Sequence[str],
    gate: Gate | None,
    *,
    slots: int = 32,
    threads: int = 1,
) -> list[StudentAnswer]:
    """The student's greedy answer to each prompt, in order; each is one user turn, as the gateway sends it.

    Where the manifest has a schema, answers are kept to it. A prompt that does not fit into the student's context, and
    an answer that does not end, have the signal 0: the incumbent is asked.

    Args:
        student_folder: with `model/` or `adapter/`.
        manifest: its manifest.
        base_folder: of the base that an adapter is for.
        prompts: texts (`Sample.prompt`).
        gate: says how much of a stranger each prompt is; None: all novelties are 0.
        slots: answered side by side.
        threads: of arithmetic.

    Raises:
        StudentError: the student's or the base's files are missing or not readable, or do not fit together.
        RequestError: answers cannot be kept to the manifest's schema.
        ConfigError: what would keep them to it is not installed.
    """
    if manifest.weights == "adapter" and base_folder is None:
        raise StudentError("The student is an adapter and its base is not there.", "Name the base's folder.")
    folder = base_folder if manifest.weights == "adapter" and base_folder is not None else student_folder / MODEL
    engine = load_engine(folder, slots=slots, context=manifest.context, threads=threads)
    adapter = engine.load_adapter("student", student_folder / ADAPTER) if manifest.weights == "adapter" else None
    schema = msgspec.json.decode(manifest.answer_schema, type=dict[str, Any]) if manifest.answer_schema else None
    asked: list[Running | None] = []
    for prompt in prompts:
        tokens = engine.words.conversation([{"role": "user", "content": prompt}])
        matcher = None if schema is None else engine.grammars.matcher(schema)
        most = manifest.max_answer_tokens
        ask = Ask(prompt=tokens, max_tokens=most, logprobs=True, adapter=adapter, matcher=matcher)
        try:
            asked.append(engine.submit(ask))
        except RequestError:
            asked.append(None)
    while engine.busy:
        engine.step()
    texts = ["" if one is None else engine.words.decode(one.tokens) for one in asked]
    novelties = [0.0 if gate is None else gate.novelty(prompt) for prompt in prompts]
    signals = [math.exp(one.total) if one is not None and one.finish == "stop" else 0.0 for one in asked]
    return [StudentAnswer(*row) for row in zip(texts, signals, novelties, strict=True)]
