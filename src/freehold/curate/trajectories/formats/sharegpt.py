"""One line of JSON per trajectory in ShareGPT's form, as LLaMA-Factory's description of its data names the roles.

`conversations` has entries from `human`, `gpt`, `function_call` and `observation`; `system` and `tools` (JSON text)
stand beside it. An assistant's message with words and tool calls is two entries, so that neither is lost: trainers that
insist on strict turns leave such rows out. `loss_mask` and each entry's `weight` say what is learned.
"""

from __future__ import annotations

from typing import Any

import msgspec

from freehold.curate.trajectories.formats.chat import provenance
from freehold.curate.trajectories.trajectory import Line, Trajectory
from freehold.curate.trajectories.words import calls_of, function_of, parts_of, text_of

INSTRUCTIONS = frozenset(("system", "developer"))


def sharegpt_row(trajectory: Trajectory) -> dict[str, Any]:
    """The row of one trajectory; instructions that come first are `system`, later ones are entries of their own."""
    lines = trajectory.lines
    first = next((n for n, line in enumerate(lines) if line.message.get("role") not in INSTRUCTIONS), len(lines))
    entries = [(entry, line) for line in lines[first:] for entry in _entries(line)]
    row: dict[str, Any] = {"conversations": [entry for entry, _ in entries]}
    if first:
        row["system"] = "\n".join(_text(line) for line in lines[:first])
    if trajectory.tools:
        row["tools"] = msgspec.json.encode(trajectory.tools).decode()
    row["loss_mask"] = [int(line.loss) for _, line in entries]
    row["freehold"] = provenance(trajectory, tuple(line for _, line in entries))
    return row


def _entries(line: Line) -> list[dict[str, Any]]:
    role = line.message.get("role")
    if role == "assistant":
        return [{**entry, "weight": int(line.loss)} for entry in _said(line)]
    if role in INSTRUCTIONS:
        return [{"from": "system", "value": _text(line)}]
    return [{"from": "observation" if role in ("tool", "function") else "human", "value": _text(line)}]


def _said(line: Line) -> list[dict[str, str]]:
    called = [{"name": name, "arguments": arguments} for name, arguments in map(function_of, calls_of(line.message))]
    words = _text(line)
    entries = [{"from": "gpt", "value": words}] if words or not called else []
    if called:
        value = msgspec.json.encode(called[0] if len(called) == 1 else called).decode()
        entries.append({"from": "function_call", "value": value})
    return entries


def _text(line: Line) -> str:
    """The message's text; parts that are none stand as JSON, so that what was there can be seen."""
    parts = parts_of(line.message)
    if all(part.get("type") == "text" for part in parts):
        return text_of(line.message)
    return "\n".join(
        part["text"] if part.get("type") == "text" else msgspec.json.encode(part).decode() for part in parts
    )
