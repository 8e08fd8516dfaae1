"""A model compares two answers. Its prompt is a file of this package; name and hash of it go with every score.

The answers are asked about in both orders, since judges favour a place; a judge who changes its mind with the order has
called it a tie (L. Zheng et al., "Judging LLM-as-a-judge with MT-Bench and Chatbot Arena", NeurIPS 2023). They stand
between marks that contain a hash of themselves, so that no answer can close its own block.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec

from freehold.domain.answers import unfence
from freehold.domain.scoring import Comparison, JudgeScorer, Score, scored, unscored
from freehold.scorers.base import Context, Unusable

Ask = Callable[[str, list[dict[str, str]]], Awaitable[str]]
"""Asks a model (its name, the chat messages) and gives the text of its answer."""
MAX_JUDGED = 60_000
"""Characters of a request or an answer; longer ones are not judged: what a judge cannot see it cannot compare."""


class _Verdict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    better: Literal["1", "2", "tie"]


_decoder = msgspec.json.Decoder(_Verdict)


@cache
def prompt_text(name: str) -> tuple[str, str]:
    """The judge's prompt of this name, and the SHA-256 of its bytes in hex."""
    data = (Path(__file__).parent / f"{name}.txt").read_bytes()
    return data.decode(), hashlib.sha256(data).hexdigest()


async def judge(scorer: JudgeScorer, ask: Ask, answer: str, reference: str, context: Context) -> Comparison:
    """Compare in both orders: the answer scores 1 (better both times), 0.5 (a tie, or one each), 0, or between.

    The reference scores the rest to 1, so that the signed loss runs from −1 to 1 and a tie loses nothing.

    A verdict that cannot be read after `retries` more tries leaves both unscored. Errors of `ask` are passed on.
    """
    text, digest = prompt_text(scorer.prompt)
    notes = {"judge": scorer.model, "prompt": scorer.prompt, "prompt_sha256": digest}
    try:
        for part in (context.prompt, answer, reference):
            if len(part) > MAX_JUDGED:
                raise Unusable(f"A text is longer than the {MAX_JUDGED:,} characters that are judged.")
        if answer == reference:
            return _comparison(0.5, "The answers are the same: the judge was not asked.", notes)
        first = await _better(scorer, ask, render(text, scorer, context.prompt, answer, reference))
        second = await _better(scorer, ask, render(text, scorer, context.prompt, reference, answer))
    except Unusable as error:
        return Comparison(reference=unscored(str(error), **notes), answer=unscored(str(error), **notes))
    worth = {"tie": 0.5, "1": 1.0, "2": 0.0}
    value = (worth[first] + 1.0 - worth[second]) / 2
    said = [{"tie": "a tie", "1": ours, "2": theirs}[v] for v, ours, theirs in
            ((first, "the answer", "the reference"), (second, "the reference", "the answer"))]  # fmt: skip
    return _comparison(value, f"Better, answer first: {said[0]}; reference first: {said[1]}.", notes)


def render(text: str, scorer: JudgeScorer, prompt: str, first: str, second: str) -> str:
    """The judge's whole prompt."""
    mark = hashlib.sha256(f"{prompt}\0{first}\0{second}".encode("utf-8", "replace")).hexdigest()[:16]
    criteria = f"What matters here: {scorer.criteria}\n" if scorer.criteria else ""
    return text.format(criteria=criteria, mark=mark, prompt=prompt, first=first, second=second)


async def _better(scorer: JudgeScorer, ask: Ask, prompt: str) -> Literal["1", "2", "tie"]:
    problem = ""
    for _ in range(1 + scorer.retries):
        said = await ask(scorer.model, [{"role": "user", "content": prompt}])
        try:
            return _decoder.decode(unfence(said.strip())[1]).better
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
            problem = str(error)
    raise Unusable(f"The judge gave no verdict in {1 + scorer.retries} tries: {problem}.")


def _comparison(value: float, detail: str, notes: dict[str, str]) -> Comparison:
    answer: Score = scored(value, detail, **notes)
    return Comparison(reference=scored(1.0 - value, detail, **notes), answer=answer)
