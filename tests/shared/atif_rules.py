"""What the Agent Trajectory Interchange Format 1.7 asks of a document, as a checker of our own.

Written from Harbor's RFC 0001 (sections II, the schema with its normative rules, and VII). Fields that no table of the
RFC names are errors.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

ROOT = {
    "schema_version": str,
    "session_id": str,
    "trajectory_id": str,
    "agent": dict,
    "steps": list,
    "notes": str,
    "final_metrics": dict,
    "continued_trajectory_ref": str,
    "extra": dict,
    "subagent_trajectories": list,
}
AGENT = {"name": str, "version": str, "model_name": str, "tool_definitions": list, "extra": dict}
STEP = {
    "step_id": int,
    "timestamp": str,
    "source": str,
    "model_name": str,
    "reasoning_effort": (str, float),
    "message": (str, list),
    "reasoning_content": str,
    "tool_calls": list,
    "observation": dict,
    "metrics": dict,
    "extra": dict,
    "llm_call_count": int,
    "is_copied_context": bool,
}
AGENTS_ONLY = ("model_name", "reasoning_effort", "reasoning_content", "tool_calls", "metrics")
CALL = {"tool_call_id": str, "function_name": str, "arguments": dict, "extra": dict}
RESULT = {"source_call_id": str, "content": (str, list), "subagent_trajectory_ref": list, "extra": dict}
REFERENCE = {"trajectory_id": str, "trajectory_path": str, "session_id": str, "extra": dict}
METRICS = {"prompt_tokens": int, "completion_tokens": int, "cached_tokens": int, "cost_usd": float, "extra": dict}
TOTALS = {
    "total_prompt_tokens": int,
    "total_completion_tokens": int,
    "total_cached_tokens": int,
    "total_cost_usd": float,
    "total_steps": int,
    "extra": dict,
}
PART = {"type": str, "text": str, "source": dict}
IMAGE = {"media_type": str, "path": str}
IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")


def problems(document: dict[str, Any], where: str = "$") -> list[str]:
    """What is wrong with a document, sub-agents' included; empty if nothing is."""
    found = _fields(document, ROOT, ("schema_version", "agent", "steps"), where)
    found += _fields(document["agent"], AGENT, ("name", "version"), f"{where}.agent")
    found += _fields(document.get("final_metrics", {}), TOTALS, (), f"{where}.final_metrics")
    if document["schema_version"] != "ATIF-v1.7":
        found.append(f"{where}: version")
    if not document["steps"]:
        found.append(f"{where}: no steps")
    if document.get("final_metrics", {}).get("total_steps", len(document["steps"])) != len(document["steps"]):
        found.append(f"{where}: total_steps")
    children = document.get("subagent_trajectories", [])
    ids = [child.get("trajectory_id") for child in children]
    if None in ids or len(set(ids)) != len(ids):
        found.append(f"{where}: ids of embedded trajectories")
    for number, step in enumerate(document["steps"]):
        found += _step(step, number, ids, f"{where}.steps[{number}]")
    return found + [line for n, child in enumerate(children) for line in problems(child, f"{where}.sub[{n}]")]


def _step(step: dict[str, Any], number: int, ids: list[str], where: str) -> list[str]:
    found = _fields(step, STEP, ("step_id", "source", "message"), where)
    if step["step_id"] != number + 1:
        found.append(f"{where}: step_id")
    if step["source"] not in ("system", "user", "agent"):
        found.append(f"{where}: source")
    if step["source"] != "agent" and any(name in step for name in AGENTS_ONLY):
        found.append(f"{where}: fields of agents only")
    if step.get("llm_call_count") == 0 and ("metrics" in step or "reasoning_content" in step):
        found.append(f"{where}: metrics without a call")
    if "timestamp" in step:
        datetime.datetime.fromisoformat(step["timestamp"])
    found += _fields(step.get("metrics", {}), METRICS, (), f"{where}.metrics")
    found += _content(step["message"], where)
    for call in step.get("tool_calls", []):
        found += _fields(call, CALL, ("tool_call_id", "function_name", "arguments"), f"{where}.tool_calls")
    calls = {call["tool_call_id"] for call in step.get("tool_calls", [])}
    for result in step.get("observation", {"results": []})["results"]:
        found += _fields(result, RESULT, (), f"{where}.results")
        found += _content(result.get("content", ""), where)
        if "source_call_id" in result and result["source_call_id"] not in calls:
            found.append(f"{where}: result of no call")
        for reference in result.get("subagent_trajectory_ref", []):
            found += _fields(reference, REFERENCE, (), f"{where}.ref")
            if "trajectory_path" not in reference and reference.get("trajectory_id") not in ids:
                found.append(f"{where}: reference to nothing")
    return found


def _content(content: Any, where: str) -> list[str]:
    found: list[str] = []
    for part in content if isinstance(content, list) else []:
        found += _fields(part, PART, ("type",), where)
        image = part.get("type") == "image"
        if part.get("type") not in ("text", "image") or ("source" in part) != image or ("text" in part) == image:
            found.append(f"{where}: part")
        if image:
            found += _fields(part["source"], IMAGE, ("media_type", "path"), where)
            found += [] if part["source"]["media_type"] in IMAGES else [f"{where}: media type"]
    return found


def _fields(value: dict[str, Any], known: dict[str, Any], required: tuple[str, ...], where: str) -> list[str]:
    found = [f"{where}: {name} is missing" for name in required if name not in value]
    for name, item in value.items():
        kind = known.get(name)
        if kind is None or not isinstance(item, kind) or (isinstance(item, bool) and kind is not bool):
            found.append(f"{where}: {name}")
    return found


def walk(document: dict[str, Any], see: Callable[[dict[str, Any]], None]) -> None:
    """Show `see` the document and all that are embedded in it."""
    see(document)
    for child in document.get("subagent_trajectories", []):
        walk(child, see)
