"""The steps of an ATIF document: a conversation's messages, tool results with the step that asked for them."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, cast

from freehold.curate.trajectories.trajectory import Line, Trajectory
from freehold.curate.trajectories.words import calls_of, function_of, parts_of
from freehold.domain.episodes import Message, Step

NANO = 10**9
IMAGES = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp"}
LEFT_OUT = "Content that is neither text nor an image at a URL is left out; its kind is named in its place."
AtifStep = dict[str, Any]


class Steps:
    """Makes the steps of one conversation."""

    def __init__(self, trajectory: Trajectory) -> None:
        self.made: list[AtifStep] = []
        self.notes: list[str] = []
        """Sentences on what the document leaves out."""
        self._known = {step.trace_id: step for step in trajectory.steps}
        self._by_call: dict[str, AtifStep] = {}
        """Id of a tool call → the last step that made it."""
        self._by_trace: dict[str, AtifStep] = {}
        for line in trajectory.lines:
            self._add(line)

    def refer(self, child: Trajectory, references: list[dict[str, Any]]) -> None:
        """Say where `child` was brought about: at its tool call, else in its step, else in the last of the agent's."""
        step = self._by_call.get(child.tool_call or "") or self._by_trace.get(child.parent_step or "")
        step = step or next((one for one in reversed(self.made) if one["source"] == "agent"), self.made[-1])
        results = step.setdefault("observation", {"results": []})["results"]
        asked = (one for one in results if child.tool_call and one.get("source_call_id") == child.tool_call)
        result: dict[str, Any] | None = next(asked, None)
        if result is None:
            result = {}
            results.append(result)
        result["subagent_trajectory_ref"] = [*result.get("subagent_trajectory_ref", ()), *references]

    def _add(self, line: Line) -> None:
        role = line.message.get("role")
        if role in ("tool", "function"):
            self._observe(line)
            return
        source = {"assistant": "agent", "system": "system", "developer": "system"}.get(str(role), "user")
        step = self._step(line, source, self._content(line.message))
        if source == "agent":
            self._agents(step, line)

    def _step(self, line: Line, source: str, message: Any) -> AtifStep:
        step: AtifStep = {"step_id": len(self.made) + 1}
        known = self._known.get(line.trace_id)
        if known is not None and line.author != "earlier":
            step["timestamp"] = _time(known, answered=line.author == "model")
        step |= {"source": source, "message": message, "extra": {"freehold": {"trace_id": line.trace_id}}}
        if line.copied or line.author == "earlier":
            step["is_copied_context"] = True
        self.made.append(step)
        return step

    def _agents(self, step: AtifStep, line: Line) -> None:
        calls = calls_of(line.message)
        if calls:
            step["tool_calls"] = [self._call(call, number, step) for number, call in enumerate(calls)]
        if line.author == "caller":
            step["llm_call_count"] = 0  # no model wrote it
            return
        step["llm_call_count"] = 1
        if line.message.get("reasoning_content"):
            step["reasoning_content"] = line.message["reasoning_content"]
        known = self._known.get(line.trace_id)
        if known is None or line.author != "model":
            return
        step["model_name"] = known.answered_by.partition("/")[2] or known.model
        if known.tokens_source:
            step["metrics"] = _metrics(known)
        if not line.loss:
            step["extra"]["freehold"] |= {"loss": 0, "why": line.why}
        self._by_trace[line.trace_id] = step

    def _call(self, call: Mapping[str, Any], number: int, step: AtifStep) -> dict[str, Any]:
        name, arguments = function_of(call)
        identity = str(call.get("id") or f"step-{step['step_id']}-call-{number + 1}")
        self._by_call[identity] = step
        made = {"tool_call_id": identity, "function_name": name}
        if isinstance(arguments, dict):
            return {**made, "arguments": arguments}
        return {**made, "arguments": {}, "extra": {"freehold": {"arguments": arguments}}}

    def _observe(self, line: Line) -> None:
        """Put a tool's result with the step that asked for it; one that nobody asked for is a step of the system's."""
        identity = str(line.message.get("tool_call_id") or "")
        result: dict[str, Any] = {"content": self._content(line.message)}
        asked = self._by_call.get(identity)
        if asked is not None and asked is self._last_agent():
            result = {"source_call_id": identity, **result, "extra": {"freehold": {"trace_id": line.trace_id}}}
            asked.setdefault("observation", {"results": []})["results"].append(result)
            return
        result["extra"] = {"freehold": {"tool_call_id": identity}}
        self._step(line, "system", "")["observation"] = {"results": [result]}

    def _last_agent(self) -> AtifStep | None:
        return next((step for step in reversed(self.made) if step["source"] == "agent"), None)

    def _content(self, message: Message) -> str | list[dict[str, Any]]:
        """Text, or ATIF's parts where there is an image."""
        parts = [self._part(part) for part in parts_of(message)]
        if all(part["type"] == "text" for part in parts):
            return "".join(part["text"] for part in parts)
        return parts

    def _part(self, part: dict[str, Any]) -> dict[str, Any]:
        if part.get("type") == "text":
            return {"type": "text", "text": part["text"]}
        url = image_url(part)
        kind = IMAGES.get(url.partition("?")[0].rpartition(".")[2].lower()) if url.startswith("http") else None
        if kind is not None:
            return {"type": "image", "source": {"media_type": kind, "path": url}}
        if LEFT_OUT not in self.notes:
            self.notes.append(LEFT_OUT)
        return {"type": "text", "text": f"[{part.get('type', 'part')} left out]"}


def image_url(part: Mapping[str, Any]) -> str:
    """Where the image of a part is, in the form of any of the APIs; empty if it is none, or no URL says so."""
    found = part.get("image_url", part.get("source"))
    url = cast("dict[str, Any]", found).get("url") if isinstance(found, dict) else found
    return url if isinstance(url, str) else ""


def _time(step: Step, *, answered: bool) -> str:
    """When the step was asked or answered: UTC, to the microsecond."""
    seconds, nanoseconds = divmod(step.at_ns + (step.duration_us * 1000 if answered else 0), NANO)
    at = datetime.datetime.fromtimestamp(seconds, datetime.UTC).replace(microsecond=nanoseconds // 1000)
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _metrics(step: Step) -> dict[str, Any]:
    metrics: dict[str, Any] = {"prompt_tokens": step.input_tokens, "completion_tokens": step.output_tokens}
    if step.price_source != "none":
        metrics["cost_usd"] = step.cost_nanousd / NANO
    return metrics
