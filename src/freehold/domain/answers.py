"""When two answers are the same: the 0/1 loss of closed answers. Pure."""

from __future__ import annotations

import math
import re
from typing import Any, cast

import msgspec

_decoder = msgspec.json.Decoder(dict[str, Any])
_canonical = msgspec.json.Encoder(order="sorted")


class _Token(msgspec.Struct):
    logprob: float


class _Logprobs(msgspec.Struct):
    content: list[_Token] | None = None
    total: float | None = None


class _Choice(msgspec.Struct):
    logprobs: _Logprobs | None = None
    finish_reason: str | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice] = []


_completion = msgspec.json.Decoder(_Completion)
_FENCED = re.compile(r"(\s*```(?:json)?[ \t]*\n)(.*?)(\n[ \t]*```\s*)", re.S)


def unfence(text: str) -> tuple[str, str, str]:
    """Split `text` into what stands before, in and after a Markdown code fence that wraps all of it."""
    fenced = _FENCED.fullmatch(text)
    return (fenced.group(1), fenced.group(2), fenced.group(3)) if fenced else ("", text, "")


def mean_logprob(completion: bytes) -> float | None:
    """Mean log-probability of the tokens of a whole chat completion's first choice; None where it does not say."""
    try:
        choices = _completion.decode(completion).choices
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    given = choices[0].logprobs if choices else None
    tokens = (given.content if given else None) or []
    return sum(token.logprob for token in tokens) / len(tokens) if tokens else None


def answer_signal(completion: bytes) -> float:
    """How sure a generative student is of a whole chat completion: the probability of the answer, in [0, 1].

    0 where the answer did not end by itself, or the server says no log-probabilities.
    """
    total = _total_logprob(completion)
    return 0.0 if total is None else math.exp(min(0.0, total))


def _total_logprob(completion: bytes) -> float | None:
    """Of the first choice, its end included: Freehold's own server says it; of others it is the sum over the tokens
    that they show, which may lack the end."""
    try:
        choices = _completion.decode(completion).choices
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    given = choices[0].logprobs if choices and choices[0].finish_reason == "stop" else None
    if given is None or given.total is not None:
        return None if given is None else given.total
    return sum(token.logprob for token in given.content) if given.content else None


def parse_object(text: str) -> dict[str, Any] | None:
    """The JSON object that `text` is, a code fence around all of it allowed, or None."""
    body = unfence(text)[1].strip()
    if not body.startswith("{"):
        return None
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None


def canonical(value: object) -> str:
    """Canonical JSON (sorted keys, no spaces) of a decoded JSON value."""
    return _canonical.encode(value).decode()


def normalise(answer: str) -> str:
    """The form in which answers are compared: canonical JSON of an object, else the text without outer space."""
    parsed = parse_object(answer)
    return answer.strip() if parsed is None else canonical(parsed)


def disagreement(answer: str, reference: str) -> float:
    """The 0/1 loss of a closed answer against the incumbent's: 0.0 if they are the same, else 1.0."""
    if answer == reference:
        return 0.0
    return float(normalise(answer) != normalise(reference))


def leaves(value: dict[str, Any]) -> dict[tuple[str, ...], str]:
    """Path of keys → canonical JSON of the value there. Objects are walked; lists and inner `{}` are values."""
    found: dict[tuple[str, ...], str] = {}

    def walk(node: object, path: tuple[str, ...]) -> None:
        if isinstance(node, dict) and (node or not path):
            for key, child in cast("dict[str, Any]", node).items():
                walk(child, (*path, key))
        else:
            found[path] = canonical(cast("object", node))

    walk(value, ())
    return found
