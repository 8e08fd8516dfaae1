"""Token counts. Anthropic counts cached tokens beside `input_tokens`, OpenAI within `prompt_tokens`."""

from __future__ import annotations

import msgspec

from freehold.upstreams.translate.rules import (
    COUNT,
    FIELDS,
    At,
    Convert,
    Fields,
    Out,
    convert,
    drop,
    settled,
    table,
    walk,
)

_KIND = "OpenAI's split by kind of input or output; the totals hold it."


def _count(name: str) -> Convert:
    def read(raw: msgspec.Raw, out: Out, at: At) -> None:
        out[name] = at.read(raw, COUNT)

    return read


def _thought(raw: msgspec.Raw, out: Out, at: At) -> None:
    walk(ANTHROPIC_DETAILS, at.read(raw, FIELDS), out, at)


def _prompt(raw: msgspec.Raw, out: Out, at: At) -> None:
    walk(PROMPT_DETAILS, at.read(raw, FIELDS), out, at)


def _completion(raw: msgspec.Raw, out: Out, at: At) -> None:
    walk(COMPLETION_DETAILS, at.read(raw, FIELDS), out, at)


ANTHROPIC_DETAILS = table(
    "anthropic",
    "usage.output_tokens_details",
    (convert("thinking_tokens", "usage.completion_tokens_details.reasoning_tokens", _count("reasoning")),),
    unknown="drop",
)
ANTHROPIC_USAGE = table(
    "anthropic",
    "usage",
    (
        convert("input_tokens", "usage.prompt_tokens", _count("input"), "plus both kinds of cached tokens"),
        convert("cache_read_input_tokens", "usage.prompt_tokens_details.cached_tokens", _count("read")),
        convert("cache_creation_input_tokens", "usage.prompt_tokens_details.cache_write_tokens", _count("written")),
        convert("output_tokens", "usage.completion_tokens", _count("output")),
        convert("output_tokens_details", "usage.completion_tokens_details", _thought),
        drop("cache_creation", "The split of written tokens by lifetime; their sum is kept."),
        drop("server_tool_use", "Counts of tools that run at Anthropic; such tools are refused."),
        settled("service_tier", "service_tier", "standard ↔ default, priority ↔ priority"),
        drop("inference_geo", "Where it was computed; OpenAI has no place for it."),
        drop("speed", "How it was computed; OpenAI has no place for it."),
    ),
    unknown="drop",
)
PROMPT_DETAILS = table(
    "openai",
    "usage.prompt_tokens_details",
    (
        convert("cached_tokens", "usage.cache_read_input_tokens", _count("read")),
        convert("cache_write_tokens", "usage.cache_creation_input_tokens", _count("written")),
        drop("audio_tokens", _KIND),
        drop("image_tokens", _KIND),
        drop("text_tokens", _KIND),
    ),
    unknown="drop",
)
COMPLETION_DETAILS = table(
    "openai",
    "usage.completion_tokens_details",
    (
        convert("reasoning_tokens", "usage.output_tokens_details.thinking_tokens", _count("reasoning")),
        drop("accepted_prediction_tokens", _KIND),
        drop("rejected_prediction_tokens", _KIND),
        drop("audio_tokens", _KIND),
        drop("text_tokens", _KIND),
    ),
    unknown="drop",
)
OPENAI_USAGE = table(
    "openai",
    "usage",
    (
        convert("prompt_tokens", "usage.input_tokens", _count("prompt"), "less both kinds of cached tokens"),
        convert("prompt_tokens_details", "usage", _prompt),
        convert("completion_tokens", "usage.output_tokens", _count("output")),
        convert("completion_tokens_details", "usage", _completion),
        settled("total_tokens", "", "the sum of the two"),
    ),
    unknown="drop",
)


def usage_to_openai(fields: Fields, at: At) -> Out:
    """Anthropic's `usage` as OpenAI's; counts that are missing are 0."""
    counts: dict[str, int] = {}
    walk(ANTHROPIC_USAGE, fields, counts, at)
    read, written, output = counts.get("read", 0), counts.get("written", 0), counts.get("output", 0)
    prompt = counts.get("input", 0) + read + written
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
        "completion_tokens_details": {"reasoning_tokens": counts.get("reasoning", 0)},
    }


def usage_to_anthropic(fields: Fields, at: At) -> Out:
    """OpenAI's `usage` as Anthropic's; counts that are missing (many streams have none) are 0.

    Servers that count cached tokens beside the prompt's give `input_tokens` 0, never less.
    """
    counts: dict[str, int] = {}
    walk(OPENAI_USAGE, fields, counts, at)
    read, written = counts.get("read", 0), counts.get("written", 0)
    return {
        "input_tokens": max(0, counts.get("prompt", 0) - read - written),
        "output_tokens": counts.get("output", 0),
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": written,
        "output_tokens_details": {"thinking_tokens": counts.get("reasoning", 0)},
    }
