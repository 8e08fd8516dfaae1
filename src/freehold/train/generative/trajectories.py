"""What agents did, as examples: the rows of `freehold episode export --format chat`, tool calls included.

Only what a model of the run wrote is learned, by the rows' `loss_mask`: never what callers or tools said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from freehold.domain.errors import EvidenceError
from freehold.train.generative.examples import Example, Turn

_canonical = msgspec.json.Encoder(order="sorted")


class _Row(msgspec.Struct):
    """What is read of a row; the rest is where it comes from."""

    messages: list[dict[str, Any]]
    loss_mask: list[int] | None = None
    tools: list[dict[str, Any]] = []
    freehold: dict[str, Any] = {}


def read_trajectories(path: Path) -> tuple[list[Example], Counter[str]]:
    """The rows of a file as examples, and why how many are left out.

    Raises:
        EvidenceError: the file cannot be read, a line is no such row (the message says which), or none can be used.
    """
    found, left_out = trajectory_examples(read_rows(path))
    if not found:
        raise nothing_in(path, left_out)
    return found, left_out


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file, as they are.

    Raises:
        EvidenceError: the file cannot be read, or a line is no JSON object (the message says which).
    """
    rows: list[dict[str, Any]] = []
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    rows.append(msgspec.json.decode(line, type=dict[str, Any]))
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise EvidenceError(f"Line {number} of {path} is no JSON object: {error}.", _EXPORT) from error
    except OSError as error:
        raise EvidenceError(f"{path} cannot be read: {error.strerror}.", _EXPORT) from error
    return rows


def nothing_in(path: Path, left_out: Mapping[str, int]) -> EvidenceError:
    """For a file without a row that can be learned from."""
    reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items()) or "it is empty"
    return EvidenceError(f"No row of {path} can be learned from: {reasons}.", _EXPORT)


_EXPORT = "Write it by `freehold episode export --format chat --out FILE`."


def trajectory_examples(rows: Iterable[Mapping[str, Any]]) -> tuple[list[Example], Counter[str]]:
    """Rows as examples, in order, and why how many are left out."""
    left_out: Counter[str] = Counter()
    found: list[Example] = []
    for row in rows:
        try:
            example = _example(msgspec.convert(row, _Row))
        except (msgspec.ValidationError, _NotText) as error:
            left_out[str(error)] += 1
            continue
        if any(turn.learn for turn in example.turns):
            found.append(example)
        else:
            left_out["nothing in it is learned"] += 1
    return found, left_out


class _NotText(Exception):
    """A message holds what this kind of student cannot read or write."""


def _example(row: _Row) -> Example:
    mask = row.loss_mask
    if mask is None:  # OpenAI's own form: every assistant's message counts unless its weight is 0
        mask = [int(one.get("role") == "assistant" and one.get("weight", 1) != 0) for one in row.messages]
    if len(mask) != len(row.messages):
        raise _NotText("its loss_mask has another length than its messages")
    turns = tuple(_turn(message, bool(learn)) for message, learn in zip(row.messages, mask, strict=True))
    last = max((at for at, turn in enumerate(turns) if turn.learn), default=-1)
    tools = tuple(_canonical.encode(tool).decode() for tool in row.tools)
    return Example(turns[: last + 1] or turns, str(row.freehold.get("trajectory", "")), tools)


def _turn(message: Mapping[str, Any], learn: bool) -> Turn:
    role = {"developer": "system", "function": "tool"}.get(str(message.get("role")), str(message.get("role")))
    calls = tuple(_call(call) for call in message.get("tool_calls") or ())
    return Turn(role, _text(message.get("content")), learn and role == "assistant", calls)


def _text(content: Any) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    parts = cast("list[Any]", content) if isinstance(content, list) else [content]
    texts: list[str] = []
    for part in parts:
        text = cast("dict[str, Any]", part).get("text") if isinstance(part, dict) else None
        if not isinstance(text, str):
            raise _NotText("it holds what is no text (an image, say)")
        texts.append(text)
    return "\n".join(texts)


def _call(call: Any) -> str:
    """`{"name": …, "arguments": …}`: arguments as the object that they say, which chat templates want."""
    function = cast("dict[str, Any]", call).get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        raise _NotText("a tool call in it is no function's")
    known = cast("dict[str, Any]", function)
    arguments: Any = known.get("arguments") or {}
    if isinstance(arguments, str):
        try:
            arguments = msgspec.json.decode(arguments)
        except msgspec.DecodeError as error:
            raise _NotText("the arguments of a tool call in it are no JSON") from error
    return msgspec.json.encode({"name": str(known.get("name") or ""), "arguments": arguments}).decode()
