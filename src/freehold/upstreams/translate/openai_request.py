"""OpenAI's chat completion request → Anthropic's Messages request: the table of its fields, and the way through it."""

from __future__ import annotations

import msgspec

from freehold.upstreams.translate import openai_content
from freehold.upstreams.translate.result import TranslatedRequest
from freehold.upstreams.translate.rules import (
    COUNT,
    FIELDS,
    FLAG,
    ITEMS,
    NUMBER,
    TEXT,
    TEXT_OR_TEXTS,
    At,
    Job,
    Options,
    Out,
    by_type,
    convert,
    drop,
    encode,
    is_text,
    nested,
    parse,
    refuse,
    same,
    settled,
    table,
    walk,
    walked,
)
from freehold.upstreams.translate.values import EFFORTS, EMPTY_SCHEMA, FORMAT_NAME, same_value

_SAMPLING = "Anthropic has no such setting."
_ONE = "Anthropic gives one answer per request."
_PRICE = "It steers caching: it changes the price, never the answer."
_RETIRED = "It is OpenAI's retired form of tools."


def _limit(raw: msgspec.Raw, out: Out, at: At) -> None:
    given = at.read(raw, COUNT)
    if out.setdefault("max_tokens", given) != given:
        at.refuse("`max_tokens` and `max_completion_tokens` differ.", "Send one of them.")


def _temperature(raw: msgspec.Raw, out: Out, at: At) -> None:
    if at.read(raw, NUMBER) > 1:
        at.refuse("Anthropic's temperatures end at 1.", "Send a temperature from 0 to 1.")
    out["temperature"] = raw


def _stop(raw: msgspec.Raw, out: Out, at: At) -> None:
    given = at.read(raw, TEXT_OR_TEXTS)
    out["stop_sequences"] = [given] if isinstance(given, str) else given


def _stream(raw: msgspec.Raw, out: Out, at: At) -> None:
    if at.read(raw, FLAG):
        out["stream"] = True


def _stream_options(raw: msgspec.Raw, out: Out, at: At) -> None:
    walk(STREAM_OPTIONS, at.read(raw, FIELDS), {}, at)


def _include_usage(raw: msgspec.Raw, out: Out, at: At) -> None:
    at.job.include_usage = at.read(raw, FLAG)


def _user(raw: msgspec.Raw, out: Out, at: At) -> None:
    if not same_value(nested(out, "metadata").setdefault("user_id", raw), raw, at):
        at.refuse("`user` and `safety_identifier` differ, and Anthropic takes one.", "Send one of them.")


def _effort(raw: msgspec.Raw, out: Out, at: At) -> None:
    effort = at.read(raw, TEXT)
    if effort == "none":
        out["thinking"] = {"type": "disabled"}
    elif effort in EFFORTS:
        out["thinking"] = {"type": "adaptive"}
        nested(out, "output_config")["effort"] = effort
    else:
        at.refuse(f"Anthropic has no effort {effort!r}.", f"Send none, {', '.join(EFFORTS)}.")


def _tier(raw: msgspec.Raw, out: Out, at: At) -> None:
    tier = at.read(raw, TEXT)
    if tier == "default":
        out["service_tier"] = "standard_only"
    elif tier != "auto":
        at.refuse(f"Anthropic has no tier {tier!r}.", "Send auto or default.")


def _format(raw: msgspec.Raw, out: Out, at: At) -> None:
    found = by_type(FORMATS, raw, at)
    if found:
        nested(out, "output_config")["format"] = found


def _text_format(raw: msgspec.Raw, out: Out, at: At) -> None:
    walk(TEXT_FORMAT, at.read(raw, FIELDS), out, at)


def _schema_format(raw: msgspec.Raw, out: Out, at: At) -> None:
    walk(SCHEMA_FORMAT, at.read(raw, FIELDS), out, at)


def _schema(raw: msgspec.Raw, out: Out, at: At) -> None:
    out["type"] = "json_schema"
    walk(JSON_SCHEMA, at.read(raw, FIELDS), out, at)


def _format_name(raw: msgspec.Raw, out: Out, at: At) -> None:
    if at.read(raw, TEXT) != FORMAT_NAME:
        at.drop("A label; Anthropic has none, and the answer does not depend on it.")


def _format_strict(raw: msgspec.Raw, out: Out, at: At) -> None:
    if not at.read(raw, FLAG):
        at.drop("Anthropic always holds answers to the schema, which is what a schema asks for.")


def _tools(raw: msgspec.Raw, out: Out, at: At) -> None:
    out["tools"] = [by_type(TOOLS, item, at.item(index)) for index, item in enumerate(at.read(raw, ITEMS))]


def _tool(raw: msgspec.Raw, out: Out, at: At) -> None:
    walk(TOOL, at.read(raw, FIELDS), out, at)


def _function(raw: msgspec.Raw, out: Out, at: At) -> None:
    walk(FUNCTION, at.read(raw, FIELDS), out, at)
    out.setdefault("input_schema", EMPTY_SCHEMA)


def _choice(raw: msgspec.Raw, out: Out, at: At) -> None:
    if not is_text(raw):
        out["tool_choice"] = by_type(CHOICES, raw, at)
        return
    choice = at.read(raw, TEXT)
    kind = {"auto": "auto", "required": "any", "none": "none"}.get(choice)
    if kind is None:
        at.malformed(f"is {choice!r}, which is no choice of tools")
    out["tool_choice"] = {"type": kind}


def _named_choice(raw: msgspec.Raw, out: Out, at: At) -> None:
    walk(NAMED_CHOICE, at.read(raw, FIELDS), out, at)
    out["type"] = "tool"


def _chosen(raw: msgspec.Raw, out: Out, at: At) -> None:
    walk(CHOSEN, at.read(raw, FIELDS), out, at)


def _parallel(raw: msgspec.Raw, out: Out, at: At) -> None:
    if at.read(raw, FLAG):
        return
    out.setdefault("tool_choice", {"type": "auto"})
    choice = nested(out, "tool_choice")
    if choice["type"] != "none":
        choice["disable_parallel_tool_use"] = True


STREAM_OPTIONS = table(
    "openai",
    "stream_options",
    (
        convert("include_usage", "", _include_usage, "Anthropic's streams always end with the usage"),
        drop("include_obfuscation", "Padding against eavesdroppers; Anthropic's streams have none."),
    ),
)
FORMATS = table(
    "openai",
    "response format",
    (
        convert("text", "", _text_format, "the default"),
        convert("json_schema", "output_config.format", _schema_format),
        refuse("json_object", "Anthropic has no JSON mode.", "Send a json_schema, or a tool."),
    ),
)
TEXT_FORMAT = table("openai", "text format", (settled("type", ""),))
SCHEMA_FORMAT = table(
    "openai",
    "schema format",
    (settled("type", "output_config.format.type"), convert("json_schema", "output_config.format", _schema)),
    required=("json_schema",),
)
JSON_SCHEMA = table(
    "openai",
    "response_format.json_schema",
    (
        same("schema", "schema"),
        convert("name", "", _format_name, "a label", lossless=False),
        convert("strict", "", _format_strict, "Anthropic is always strict", lossless=False),
        refuse("description", "Anthropic's formats have none.", "Put it into the schema's own description."),
    ),
    required=("schema",),
)
FUNCTION = table(
    "openai",
    "function",
    (same("name"), same("description"), same("parameters", "input_schema"), same("strict")),
    required=("name",),
)
TOOL = table(
    "openai",
    "function tool",
    (
        settled("type", ""),
        convert("function", "name, description, input_schema, strict", _function),
    ),
    required=("function",),
)
TOOLS = table(
    "openai",
    "tool",
    (
        convert("function", "tools[]", _tool),
        refuse("custom", "Anthropic's tools take JSON only.", "Make it a function with one string parameter."),
    ),
)
CHOSEN = table("openai", "chosen function", (same("name"),), required=("name",))
NAMED_CHOICE = table(
    "openai",
    "named tool choice",
    (settled("type", "type", "function ↔ tool"), convert("function", "name", _chosen)),
    required=("function",),
)
CHOICES = table(
    "openai",
    "tool choice",
    (
        convert("function", "tool", _named_choice),
        refuse("allowed_tools", "Anthropic cannot choose among some of the tools.", "Send only those tools."),
        refuse("custom", "Anthropic's tools take JSON only.", "Use a function tool."),
    ),
)
REQUEST = table(
    "openai",
    "chat completion request",
    (
        same("model"),
        convert("messages", "system, messages", openai_content.messages),
        convert("max_completion_tokens", "max_tokens", _limit),
        convert("max_tokens", "max_tokens", _limit, "comes back as max_completion_tokens, unless set otherwise"),
        convert("temperature", "temperature", _temperature, "0 to 1; above 1 it is refused"),
        same("top_p"),
        same("top_k", why="not OpenAI's own, but common; comes back where the upstream takes it"),
        convert("stop", "stop_sequences", _stop, "a string ↔ a list of one"),
        convert("stream", "stream", _stream),
        convert("stream_options", "", _stream_options),
        convert("user", "metadata.user_id", _user),
        convert("safety_identifier", "metadata.user_id", _user, "comes back as `user`", lossless=False),
        convert(
            "reasoning_effort",
            "output_config.effort, thinking",
            _effort,
            "none ↔ thinking disabled; others ↔ adaptive thinking at that effort",
        ),
        convert("service_tier", "service_tier", _tier, "default ↔ standard_only"),
        convert("response_format", "output_config.format", _format, "json_schema only"),
        convert("tools", "tools", _tools),
        convert("tool_choice", "tool_choice", _choice, "required ↔ any, function ↔ tool"),
        convert(
            "parallel_tool_calls",
            "tool_choice.disable_parallel_tool_use",
            _parallel,
            "true is the default; false brings tool_choice auto",
        ),
        refuse("n", _ONE, "Send n requests.", (1,)),
        refuse("logprobs", "Anthropic gives no probabilities.", "Leave it out.", (False,)),
        refuse("top_logprobs", "Anthropic gives no probabilities.", "Leave it out.", (0,)),
        refuse("seed", _SAMPLING),
        refuse("frequency_penalty", _SAMPLING, "Leave it out.", (0,)),
        refuse("presence_penalty", _SAMPLING, "Leave it out.", (0,)),
        refuse("logit_bias", _SAMPLING, "Leave it out.", ({},)),
        refuse("modalities", "Anthropic answers in text only.", "Send [text].", (["text"],)),
        refuse("audio", "Anthropic speaks no audio."),
        refuse("verbosity", _SAMPLING, "Ask for it in the instructions.", ("medium",)),
        refuse("moderation", "Anthropic moderates no answers on request."),
        refuse("web_search_options", "Anthropic searches by a tool of its own.", "Ask its model directly."),
        refuse("functions", _RETIRED, "Use `tools`.", ([],)),
        refuse("function_call", _RETIRED, "Use `tool_choice`."),
        drop("metadata", "Labels of a completion stored at OpenAI; the answer does not depend on them."),
        drop("store", "It asks OpenAI to keep the answer for its own products; nothing is kept elsewhere."),
        drop("prediction", "A guess at the answer that makes it quicker; the answer does not depend on it."),
        drop("prompt_cache_key", _PRICE),
        drop("prompt_cache_options", _PRICE),
        drop("prompt_cache_retention", _PRICE),
    ),
    required=("model", "messages"),
)


def request_to_anthropic(body: bytes, options: Options | None = None) -> TranslatedRequest:
    """An OpenAI chat completion request as an Anthropic Messages request.

    Raises:
        RequestError: the body is not such a request; the message names the field.
        TranslationError: a field asks for something Anthropic does not have; the message names it and says what to do.
    """
    job = Job("anthropic", "request", options)
    at = At(job)
    out = walked(REQUEST, parse(body, at), at)
    out.setdefault("max_tokens", job.options.max_tokens)
    return TranslatedRequest(
        body=encode(out), dropped=job.dropped, stream="stream" in out, include_usage=job.include_usage
    )
