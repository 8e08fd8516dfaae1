"""Anthropic's Messages request → OpenAI's chat completion request: the table of its fields, and the way through it."""

from __future__ import annotations

import msgspec

from freehold.upstreams.translate import anthropic_content
from freehold.upstreams.translate.result import TranslatedRequest
from freehold.upstreams.translate.rules import (
    FIELDS,
    FLAG,
    ITEMS,
    TEXT,
    At,
    Job,
    Options,
    Out,
    by_type,
    convert,
    drop,
    encode,
    parse,
    refuse,
    same,
    settled,
    table,
    walk,
    walked,
)
from freehold.upstreams.translate.values import FORMAT_NAME

_SERVER = "It belongs to a tool that runs at Anthropic."
_ASK = "Ask an Anthropic model, or leave it out."


def _limit(raw: msgspec.Raw, out: Out, at: At) -> None:
    out[at.job.options.max_tokens_field] = raw


def _top_k(raw: msgspec.Raw, out: Out, at: At) -> None:
    if not at.job.options.extensions:
        at.refuse(
            "OpenAI's own API has no `top_k`.",
            "Leave it out, or mark the upstream as one that takes it (vLLM, llama.cpp and others do).",
        )
    out["top_k"] = raw


def _stream(raw: msgspec.Raw, out: Out, at: At) -> None:
    if at.read(raw, FLAG):
        out.update(stream=True, stream_options={"include_usage": True})


def _metadata(raw: msgspec.Raw, out: Out, at: At) -> None:
    walk(METADATA, at.read(raw, FIELDS), out, at)


def _thinking(raw: msgspec.Raw, out: Out, at: At) -> None:
    by_type(THINKING, raw, at)
    fields = at.read(raw, FIELDS)
    walk(THINKING_FIELDS, fields, {}, at)
    if at.read(fields["type"], TEXT) == "disabled":
        out["reasoning_effort"] = "none"


def _output(raw: msgspec.Raw, out: Out, at: At) -> None:
    walk(OUTPUT_CONFIG, at.read(raw, FIELDS), out, at)


def _effort(raw: msgspec.Raw, out: Out, at: At) -> None:
    if "reasoning_effort" in out:
        at.refuse("OpenAI has one setting for `thinking` and effort.", "Leave one of them out.")
    out["reasoning_effort"] = raw


def _format(raw: msgspec.Raw, out: Out, at: At) -> None:
    out["response_format"] = by_type(FORMATS, raw, at)


def _json_format(raw: msgspec.Raw, out: Out, at: At) -> None:
    found: Out = {"name": FORMAT_NAME}
    walk(JSON_FORMAT, at.read(raw, FIELDS), found, at)
    out.update(type="json_schema", json_schema={**found, "strict": True})


def _tier(raw: msgspec.Raw, out: Out, at: At) -> None:
    tier = at.read(raw, TEXT)
    if tier == "standard_only":
        out["service_tier"] = "default"
    elif tier != "auto":
        at.malformed(f"is {tier!r}, which is no tier")


def _tools(raw: msgspec.Raw, out: Out, at: At) -> None:
    out["tools"] = [_tool(item, at.item(index)) for index, item in enumerate(at.read(raw, ITEMS))]


def _tool(raw: msgspec.Raw, at: At) -> Out:
    fields = at.read(raw, FIELDS)
    kind = at.child("type").read(fields.get("type", msgspec.Raw(b"null")), _MAYBE_TEXT)
    if kind not in (None, "custom"):
        at.child("type").refuse(f"{kind!r} is a tool of Anthropic's own.", "Send a tool with an input_schema.")
    function = walked(TOOL, fields, at)
    return {"type": "function", "function": function}


_MAYBE_TEXT = msgspec.json.Decoder(str | None)


def _choice(raw: msgspec.Raw, out: Out, at: At) -> None:
    found: Out = by_type(CHOICES, raw, at)
    walk(CHOICE_FIELDS, at.read(raw, FIELDS), found, at)
    if "choice" in found:
        out["tool_choice"] = found["choice"]
    else:
        name = found["name"] if "name" in found else at.child("name").malformed("is missing")
        out["tool_choice"] = {"type": "function", "function": {"name": name}}
    if found.get("disabled"):
        out["parallel_tool_calls"] = False


def _disable(raw: msgspec.Raw, out: Out, at: At) -> None:
    out["disabled"] = at.read(raw, FLAG)


METADATA = table("anthropic", "metadata", (same("user_id", "user"),))
THINKING = table(
    "anthropic",
    "thinking",
    (
        settled("adaptive", "", "what OpenAI's models that reason do by themselves"),
        settled("disabled", "reasoning_effort", "none"),
        refuse("enabled", "OpenAI has no budget of thinking.", "Send adaptive thinking and output_config.effort."),
        refuse("between_tools", "OpenAI cannot say when to think.", "Send adaptive thinking."),
    ),
)
THINKING_FIELDS = table(
    "anthropic",
    "thinking",
    (
        settled("type", "reasoning_effort"),
        refuse("budget_tokens", "OpenAI has no budget of thinking.", "Send output_config.effort."),
        drop("display", "Whether reasoning is shown; the answer does not depend on it."),
    ),
)
JSON_FORMAT = table(
    "anthropic",
    "output_config.format",
    (settled("type", "type"), same("schema", "schema")),
    required=("schema",),
)
FORMATS = table("anthropic", "output format", (convert("json_schema", "response_format", _json_format),))
OUTPUT_CONFIG = table(
    "anthropic",
    "output_config",
    (
        convert("effort", "reasoning_effort", _effort, "with it, thinking is adaptive on the way back"),
        convert("format", "response_format", _format),
    ),
)
TOOL = table(
    "anthropic",
    "tool",
    (
        settled("type", "", "custom, the default"),
        same("name"),
        same("description"),
        same("input_schema", "parameters"),
        same("strict"),
        refuse("allowed_callers", _SERVER, _ASK, (["direct"],)),
        refuse("defer_loading", "OpenAI's chat completions load all tools.", "Leave it out.", (False,)),
        refuse("input_examples", "OpenAI's tools have none.", "Put examples into the description.", ([],)),
        drop("eager_input_streaming", "When pieces of the input come; the input is the same."),
        anthropic_content.CACHE,
    ),
    required=("name", "input_schema"),
)
CHOICES = table(
    "anthropic",
    "tool choice",
    (
        convert("auto", "auto", lambda raw, out, at: out.update(choice="auto")),
        convert("any", "required", lambda raw, out, at: out.update(choice="required")),
        convert("none", "none", lambda raw, out, at: out.update(choice="none")),
        settled("tool", "function"),
    ),
)
CHOICE_FIELDS = table(
    "anthropic",
    "tool choice",
    (
        settled("type", "tool_choice"),
        same("name", "name"),
        convert("disable_parallel_tool_use", "parallel_tool_calls", _disable, "the opposite"),
    ),
)
REQUEST = table(
    "anthropic",
    "Messages request",
    (
        same("model"),
        convert("system", "messages[0]", anthropic_content.system),
        convert("messages", "messages", anthropic_content.messages),
        convert("max_tokens", "max_completion_tokens", _limit, "or max_tokens, where the upstream needs that"),
        same("temperature"),
        same("top_p"),
        convert("top_k", "top_k", _top_k, "only where the upstream takes it"),
        same("stop_sequences", "stop"),
        convert("stream", "stream, stream_options.include_usage", _stream),
        convert("metadata", "user", _metadata),
        convert("thinking", "reasoning_effort", _thinking),
        convert("output_config", "reasoning_effort, response_format", _output),
        convert("service_tier", "service_tier", _tier, "standard_only ↔ default"),
        convert("tools", "tools", _tools),
        convert("tool_choice", "tool_choice, parallel_tool_calls", _choice),
        refuse("speed", "OpenAI's tiers are others.", "Leave it out.", ("standard",)),
        refuse("inference_geo", "OpenAI takes no region per request.", "Configure an upstream of that region."),
        refuse("container", _SERVER, _ASK),
        refuse("mcp_servers", _SERVER, _ASK, ([],)),
        refuse("context_management", "OpenAI's chat completions edit no context.", _ASK),
        refuse("diagnostics", "OpenAI explains no cache misses."),
        refuse("user_profile_id", "OpenAI has no user profiles.", "Send metadata.user_id."),
        refuse("workspace_id", "OpenAI has no workspaces.", "Configure an upstream with that project's key."),
        anthropic_content.CACHE,
    ),
    required=("model", "messages", "max_tokens"),
)


def request_to_openai(body: bytes, options: Options | None = None) -> TranslatedRequest:
    """An Anthropic Messages request as an OpenAI chat completion request.

    Raises:
        RequestError: the body is not such a request; the message names the field.
        TranslationError: a field asks for something OpenAI does not have; the message names it and says what to do.
    """
    job = Job("openai", "request", options)
    at = At(job)
    out = walked(REQUEST, parse(body, at), at)
    return TranslatedRequest(body=encode(out), dropped=job.dropped, stream="stream" in out, include_usage=False)
