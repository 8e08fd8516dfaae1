"""OpenAI's chat completion → Anthropic's message: the table of its fields, and the way through it."""

from __future__ import annotations

from typing import cast

import msgspec

from freehold.upstreams.translate.openai_content import arguments, signed
from freehold.upstreams.translate.result import Translated
from freehold.upstreams.translate.rules import (
    COUNT,
    FIELDS,
    ITEMS,
    OBJECTS,
    TEXT,
    At,
    Job,
    Out,
    by_type,
    convert,
    drop,
    encode,
    is_text,
    parse,
    refuse,
    same,
    settled,
    table,
    walk,
    walked,
)
from freehold.upstreams.translate.usage import usage_to_anthropic
from freehold.upstreams.translate.values import STOP_OF_FINISH

_TIERS = {"default": "standard", "priority": "priority"}
_ASK = "Ask without it."


def _choices(raw: msgspec.Raw, out: Out, at: At) -> None:
    found = at.read(raw, OBJECTS)
    if len(found) != 1:
        at.refuse(f"it holds {len(found)} answers, Anthropic's messages are one.", "Ask with n = 1.")
    walk(CHOICE, found[0], out, at.item(0))


def _index(raw: msgspec.Raw, out: Out, at: At) -> None:
    if at.read(raw, COUNT) != 0:
        at.refuse("Anthropic's messages are one answer.", "Ask with n = 1.")


def _message(raw: msgspec.Raw, out: Out, at: At) -> None:
    walk(MESSAGE, at.read(raw, FIELDS), out, at)


def _signed(raw: msgspec.Raw, out: Out, at: At) -> None:
    out["signed"] = signed(raw, at)


def _reasoning(raw: msgspec.Raw, out: Out, at: At) -> None:
    words = at.read(raw, TEXT)
    if words and "signed" not in out:
        out["thinking"] = [{"type": "thinking", "thinking": words, "signature": ""}]


def _content(raw: msgspec.Raw, out: Out, at: At) -> None:
    if at.read(raw, TEXT):
        out["text"] = [{"type": "text", "text": raw}]


def _refusal(raw: msgspec.Raw, out: Out, at: At) -> None:
    if at.read(raw, TEXT):
        out["refusal"] = raw


def _calls(raw: msgspec.Raw, out: Out, at: At) -> None:
    out["calls"] = [by_type(CALLS, item, at.item(index)) for index, item in enumerate(at.read(raw, ITEMS))]


def _call(raw: msgspec.Raw, out: Out, at: At) -> None:
    out["type"] = "tool_use"
    walk(CALL, at.read(raw, FIELDS), out, at)


def _called(raw: msgspec.Raw, out: Out, at: At) -> None:
    walk(CALLED, at.read(raw, FIELDS), out, at)


def _finish(raw: msgspec.Raw, out: Out, at: At) -> None:
    out["finish_reason"] = at.read(raw, TEXT)
    if out["finish_reason"] not in STOP_OF_FINISH:
        at.refuse(f"Anthropic has no reason like {out['finish_reason']!r}.", "Ask another upstream.")


def _stopped_at(raw: msgspec.Raw, out: Out, at: At) -> None:
    if is_text(raw):  # vLLM gives the number of a token here, too
        out["stop_sequence"] = raw


def _usage(raw: msgspec.Raw, out: Out, at: At) -> None:
    out["usage"] = usage_to_anthropic(at.read(raw, FIELDS), at)


def _tier(raw: msgspec.Raw, out: Out, at: At) -> None:
    tier = _TIERS.get(at.read(raw, TEXT))
    if tier is None:
        at.drop("Anthropic has no such tier.")
    else:
        out["service_tier"] = tier


CALLED = table(
    "openai",
    "answer's called function",
    (same("name"), convert("arguments", "content[].input", arguments, "the text of a JSON object ↔ the object")),
    required=("name", "arguments"),
    unknown="drop",
)
CALL = table(
    "openai",
    "answer's tool call",
    (
        same("id"),
        settled("type", "content[].type", "function ↔ tool_use"),
        convert("function", "content[].name, input", _called),
    ),
    required=("id", "function"),
    unknown="drop",
)
CALLS = table(
    "openai",
    "answer's tool call",
    (
        convert("function", "content[].tool_use", _call),
        refuse("custom", "Anthropic's tools take JSON only.", "Ask with function tools only."),
    ),
)
MESSAGE = table(
    "openai",
    "answer's message",
    (
        settled("role", "role", "always assistant"),
        convert("thinking_blocks", "content[].thinking", _signed, "an extension: signed reasoning"),
        convert("reasoning_content", "content[].thinking", _reasoning, "an extension; its signature is empty"),
        convert("reasoning", "content[].thinking", _reasoning, "vLLM's name of reasoning_content", lossless=False),
        convert("content", "content[].text", _content),
        convert("refusal", "stop_details.explanation", _refusal, "with stop_reason refusal"),
        convert("tool_calls", "content[].tool_use", _calls),
        refuse("function_call", "it is OpenAI's retired form of tools.", "Ask with `tools`."),
        refuse("audio", "Anthropic speaks no audio.", _ASK),
        refuse("annotations", "Anthropic has no citations of this form.", "Ask without search.", ([],)),
    ),
    unknown="drop",
)
CHOICE = table(
    "openai",
    "answer's choice",
    (
        convert("index", "", _index, "always 0"),
        convert("message", "content", _message),
        convert("finish_reason", "stop_reason", _finish, "stop with tool calls is tool_use"),
        convert("stop_reason", "stop_sequence", _stopped_at, "an extension of vLLM's"),
        refuse("logprobs", "Anthropic gives no probabilities.", _ASK, ({"content": None, "refusal": None}, {})),
    ),
    required=("message", "finish_reason"),
    unknown="drop",
)
COMPLETION = table(
    "openai",
    "chat completion",
    (
        same("id"),
        same("model"),
        settled("object", "type", "chat.completion ↔ message"),
        settled("created", "", "Anthropic's messages have no time; the caller's clock gives it on the way back"),
        convert("choices", "content, stop_reason", _choices, "exactly one"),
        convert("usage", "usage", _usage),
        convert("service_tier", "usage.service_tier", _tier, "default ↔ standard, priority ↔ priority"),
        drop("system_fingerprint", "It goes with `seed`, which is refused."),
        drop("metadata", "The request's own labels."),
        refuse("moderation", "Anthropic moderates no answers on request.", _ASK),
    ),
    required=("id", "model", "choices"),
    unknown="drop",
)


def stop_of(finish: str, *, called: bool, refused: bool) -> str:
    """Anthropic's word for why the answer ended. OpenAI says `stop` of a call that `tool_choice` forced."""
    if refused:
        return "refusal"
    if called and finish == "stop":
        return "tool_use"
    return STOP_OF_FINISH[finish]


def stopped(found: Out, *, called: bool) -> Out:
    """`stop_reason` and what goes with it, of a `finish_reason`, a `refusal` and a `stop_sequence`."""
    reason = stop_of(found["finish_reason"], called=called, refused="refusal" in found)
    sequence = found.get("stop_sequence") if reason == "end_turn" else None
    refusal = found.get("refusal")
    details = {"type": "refusal", "category": None, "explanation": refusal} if refusal is not None else None
    return {
        "stop_reason": reason if sequence is None else "stop_sequence",
        "stop_sequence": sequence,
        "stop_details": details,
    }


def answer_to_anthropic(body: bytes) -> Translated:
    """An OpenAI chat completion as an Anthropic message.

    Raises:
        AnswerNotTranslatable: the body is no chat completion, or holds what Anthropic's protocol cannot say.
    """
    job = Job("anthropic", "answer")
    at = At(job)
    out = walked(COMPLETION, parse(body, at), at)
    usage = cast("Out", out.get("usage") or usage_to_anthropic({}, at))
    if "service_tier" in out:
        usage["service_tier"] = out["service_tier"]
    document: Out = {"id": out["id"], "type": "message", "role": "assistant", "model": out["model"]}
    thinking = out.get("signed") or out.get("thinking", [])
    document["content"] = [*thinking, *out.get("text", []), *out.get("calls", [])]
    document.update(stopped(out, called=bool(out.get("calls"))), usage=usage)
    return Translated(body=encode(document), dropped=job.dropped)
