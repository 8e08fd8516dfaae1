"""An example of every row of every table: the object it belongs to, put into a whole document, and a value."""

from __future__ import annotations

from collections.abc import Callable

from translate_anthropic_examples import ANTHROPIC_EXAMPLES, ANTHROPIC_TYPES
from translate_documents import CACHE, CALL, SIGNED, STOPPED, THOUGHT, USE, Embed, Json, completion, message, typed
from translate_openai_examples import OPENAI_EXAMPLES, OPENAI_TYPES


def _used(name: str, whole: Callable[..., Json]) -> Callable[[str | None], Embed]:
    """A document whose usage, or an object within it, has some more fields."""

    def within(inner: str | None) -> Embed:
        def embed(fields: Json) -> Json:
            document = whole()
            usage = document[name]
            if inner is None:
                usage.update(fields)
            else:
                usage[inner].update(fields)
            if "total_tokens" in usage:
                usage["total_tokens"] = usage["prompt_tokens"] + usage["completion_tokens"]
            return document

        return embed

    return within


_o_used, _a_used = _used("usage", completion), _used("usage", message)


def _o_answer_call(call: Json) -> Json:
    return completion({"content": None, "tool_calls": [call]}, {"finish_reason": "tool_calls"})


EXAMPLES: dict[str, tuple[Embed, Json]] = {
    **OPENAI_EXAMPLES,
    **ANTHROPIC_EXAMPLES,
    "openai_content.SIGNED_WORDS": (
        lambda fields: completion({**THOUGHT, "thinking_blocks": [{**SIGNED, **fields}]}),
        {"type": "thinking", "thinking": "hm", "signature": "t", "index": 0, "cache_control": CACHE},
    ),
    "openai_content.REDACTED": (
        lambda fields: completion({"thinking_blocks": [{"type": "redacted_thinking", "data": "x", **fields}]}),
        {"type": "redacted_thinking", "data": "y", "index": 0, "cache_control": CACHE},
    ),
    "openai_content.SIGNED": (
        lambda block: completion({**(THOUGHT if block["type"] == "thinking" else {}), "thinking_blocks": [block]}),
        {"thinking": SIGNED, "redacted_thinking": typed("redacted_thinking", data="x")},
    ),
    "openai_answer.CALLED": (
        lambda fields: _o_answer_call({**CALL, "function": {**CALL["function"], **fields}}),
        {"name": "g", "arguments": '{"x": 1e3}'},
    ),
    "openai_answer.CALL": (
        lambda fields: _o_answer_call({**CALL, **fields}),
        {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ),
    "openai_answer.CALLS": (
        _o_answer_call,
        {"function": CALL, "custom": typed("custom", id="c1", custom={"name": "f", "input": "x"})},
    ),
    "openai_answer.MESSAGE": (
        lambda fields: completion(
            {**THOUGHT, **fields} if "reasoning_content" in fields else fields,
            {"finish_reason": "tool_calls"}
            if "tool_calls" in fields
            else {"finish_reason": "content_filter"}
            if "refusal" in fields
            else None,
        ),
        {
            "role": "assistant",
            "thinking_blocks": [typed("redacted_thinking", data="x")],
            "reasoning_content": "hm",
            "reasoning": "hm",
            "content": "no",
            "refusal": "I may not",
            "tool_calls": [CALL],
            "function_call": {"name": "f", "arguments": "{}"},
            "audio": {"id": "x"},
            "annotations": [{"type": "url_citation"}],
        },
    ),
    "openai_answer.CHOICE": (
        lambda fields: completion(choice=fields),
        {
            "index": 0,
            "message": {"role": "assistant", "content": "no", "refusal": None},
            "finish_reason": "length",
            "stop_reason": "###",
            "logprobs": {"content": [{"token": "x", "logprob": -1}]},
        },
    ),
    "openai_answer.COMPLETION": (
        lambda fields: completion(**fields),
        {
            "id": "a2",
            "model": "m2",
            "object": "chat.completion",
            "created": 7,
            "choices": completion({"content": "no"})["choices"],
            "usage": completion()["usage"],
            "service_tier": "priority",
            "system_fingerprint": "fp",
            "metadata": {"k": "v"},
            "moderation": {"input": {}, "output": {}},
        },
    ),
    "anthropic_answer.TEXT_BLOCK": (
        lambda fields: message({"type": "text", "text": "x", **fields}),
        {"type": "text", "text": "y", "citations": [{"type": "char_location"}]},
    ),
    "anthropic_answer.TOOL_USE_BLOCK": (
        lambda fields: message({**USE, **fields}, stop_reason="tool_use"),
        {
            "type": "tool_use",
            "id": "c2",
            "name": "g",
            "input": {"x": 1.5},
            "caller": {"type": "code_execution_20250825", "tool_id": "x"},
            "toolset_name": "browser",
        },
    ),
    "anthropic_answer.THINKING_BLOCK": (
        lambda fields: message({**SIGNED, **fields}, typed("text", text="x")),
        {"type": "thinking", "thinking": "so", "signature": "t"},
    ),
    "anthropic_answer.REDACTED_BLOCK": (
        lambda fields: message({"type": "redacted_thinking", "data": "x", **fields}, typed("text", text="x")),
        {"type": "redacted_thinking", "data": "y"},
    ),
    "anthropic_answer.BLOCKS": (
        lambda block: message(block, stop_reason="tool_use" if block["type"] == "tool_use" else "end_turn"),
        {
            "text": typed("text", text="x"),
            "tool_use": USE,
            "thinking": SIGNED,
            "redacted_thinking": typed("redacted_thinking", data="x"),
            "server_tool_use": typed("server_tool_use", id="s", name="web_search", input={}),
            **{
                name: typed(name, tool_use_id="s", content=[])
                for name in (
                    "web_search_tool_result",
                    "web_fetch_tool_result",
                    "code_execution_tool_result",
                    "bash_code_execution_tool_result",
                    "text_editor_code_execution_tool_result",
                    "tool_search_tool_result",
                )
            },
            "container_upload": typed("container_upload", file_id="f"),
        },
    ),
    "anthropic_answer.STOP_DETAILS": (
        lambda fields: message(
            stop_details={"type": "refusal", "category": None, "explanation": "no", **fields}, **STOPPED
        ),
        {"type": "refusal", "explanation": "I may not", "category": "bio"},
    ),
    "anthropic_answer.MESSAGE": (
        lambda fields: (
            message(**{**({"stop_reason": "stop_sequence"} if "stop_sequence" in fields else {})}, **fields)
            if "stop_details" not in fields
            else message(**STOPPED, **fields)
        ),
        {
            "id": "a2",
            "model": "m2",
            "type": "message",
            "role": "assistant",
            "content": [typed("text", text="no")],
            "stop_reason": "max_tokens",
            "stop_sequence": "###",
            "stop_details": {"type": "refusal", "category": None, "explanation": "no"},
            "usage": message()["usage"],
            "container": {"id": "c", "expires_at": "2026-01-01T00:00:00Z"},
            "diagnostics": {"cache_miss_reason": None},
        },
    ),
    "usage.ANTHROPIC_DETAILS": (_a_used("output_tokens_details"), {"thinking_tokens": 1}),
    "usage.ANTHROPIC_USAGE": (
        _a_used(None),
        {
            "input_tokens": 7,
            "cache_read_input_tokens": 7,
            "cache_creation_input_tokens": 7,
            "output_tokens": 7,
            "output_tokens_details": {"thinking_tokens": 2},
            "cache_creation": {"ephemeral_1h_input_tokens": 1, "ephemeral_5m_input_tokens": 0},
            "server_tool_use": {"web_search_requests": 0, "web_fetch_requests": 0},
            "service_tier": "priority",
            "inference_geo": "us",
            "speed": "standard",
        },
    ),
    "usage.PROMPT_DETAILS": (
        _o_used("prompt_tokens_details"),
        {"cached_tokens": 3, "cache_write_tokens": 3, "audio_tokens": 1, "image_tokens": 1, "text_tokens": 1},
    ),
    "usage.COMPLETION_DETAILS": (
        _o_used("completion_tokens_details"),
        {
            "reasoning_tokens": 1,
            "accepted_prediction_tokens": 1,
            "rejected_prediction_tokens": 1,
            "audio_tokens": 1,
            "text_tokens": 1,
        },
    ),
    "usage.OPENAI_USAGE": (
        _o_used(None),
        {
            "prompt_tokens": 10,
            "prompt_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 0},
            "completion_tokens": 10,
            "completion_tokens_details": {"reasoning_tokens": 1},
            "total_tokens": 13,
        },
    ),
}
"""Tables of types take a whole object of that type; all others take a field's value."""

TYPES = OPENAI_TYPES | ANTHROPIC_TYPES | {"openai_answer.CALLS", "openai_content.SIGNED", "anthropic_answer.BLOCKS"}

STREAMED = {
    "openai_stream.DELTA",
    "openai_stream.STREAM_CHOICE",
    "openai_stream.CHUNK",
    "anthropic_stream.MESSAGE_DELTA",
    "anthropic_stream.DELTAS",
}
"""Made of the rows of whole answers; the streams' own tests go over them."""
