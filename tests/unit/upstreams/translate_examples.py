"""An example of every row of every table: the object it belongs to, put into a whole document, and a value."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

Json = dict[str, Any]
Embed = Callable[[Json], Json]

PNG = "data:image/png;base64,iVBORw0="
PDF = "data:application/pdf;base64,JVBERi0="
SCHEMA = {"type": "object", "properties": {"x": {"type": "number"}}, "additionalProperties": False}
CACHE = {"type": "ephemeral"}
BREAK = {"mode": "explicit"}


def openai(**fields: Any) -> Json:
    return {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_completion_tokens": 5, **fields}


def anthropic(**fields: Any) -> Json:
    return {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5, **fields}


def _o_user(part: Json) -> Json:
    return openai(messages=[{"role": "user", "content": [{"type": "text", "text": "see"}, part]}])


def _o_turn(message: Json) -> Json:
    question, answer = {"role": "user", "content": "hi"}, {"role": "user", "content": "go on"}
    return openai(messages=[question, message, answer])


def _o_called(message: Json) -> Json:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turn = {"role": "assistant", "tool_calls": [call]}
    return openai(messages=[{"role": "user", "content": "hi"}, turn, message])


def _o_call(call: Json) -> Json:
    result = {"role": "tool", "tool_call_id": call.get("id", "c1"), "content": "ok"}
    turn = {"role": "assistant", "tool_calls": [call]}
    return openai(messages=[{"role": "user", "content": "hi"}, turn, result])


def _o_function(function: Json) -> Json:
    return openai(tools=[{"type": "function", "function": function}])


def _o_choice(choice: Any) -> Json:
    return {**_o_function({"name": "f", "parameters": SCHEMA}), "tool_choice": choice}


def _a_user(block: Json) -> Json:
    return anthropic(messages=[{"role": "user", "content": [{"type": "text", "text": "see"}, block]}])


def _a_turn(block: Json) -> Json:
    turn = {"role": "assistant", "content": [{"type": "text", "text": "well"}, block]}
    return anthropic(messages=[{"role": "user", "content": "hi"}, turn, {"role": "user", "content": "go on"}])


def _a_result(block: Json) -> Json:
    call = {"type": "tool_use", "id": "c1", "name": "f", "input": {}}
    turns = [{"role": "assistant", "content": [call]}, {"role": "user", "content": [block]}]
    return anthropic(messages=[{"role": "user", "content": "hi"}, *turns])


def _a_message(role: str) -> Embed:
    def embed(fields: Json) -> Json:
        turns = [{"role": "user", "content": "hi"}, {"role": role, "content": "x", **fields}]
        return anthropic(messages=[*turns, {"role": "user", "content": "go on"}])

    return embed


def _a_tool(tool: Json) -> Json:
    return anthropic(tools=[tool])


def _a_choice(choice: Json) -> Json:
    return {**_a_tool({"name": "f", "input_schema": SCHEMA}), "tool_choice": choice}


def completion(message: Json | None = None, choice: Json | None = None, **fields: Any) -> Json:
    """OpenAI's answer, in normal form."""
    usage = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
    usage |= {"prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 1}}
    usage |= {"completion_tokens_details": {"reasoning_tokens": 3}}
    said = {"role": "assistant", "content": "yes", "refusal": None, **(message or {})}
    chosen = {"index": 0, "message": said, "logprobs": None, "finish_reason": "stop", **(choice or {})}
    base = {"id": "a1", "object": "chat.completion", "created": 7, "model": "m", "choices": [chosen], "usage": usage}
    return {**base, **fields}


def message(*blocks: Json, **fields: Any) -> Json:
    """Anthropic's answer, in normal form."""
    usage = {"input_tokens": 6, "output_tokens": 4, "cache_read_input_tokens": 2, "cache_creation_input_tokens": 1}
    usage |= {"output_tokens_details": {"thinking_tokens": 3}}
    stop = {"stop_reason": "end_turn", "stop_sequence": None, "stop_details": None}
    base = {"id": "a1", "type": "message", "role": "assistant", "model": "m"}
    content = list(blocks) or [{"type": "text", "text": "yes"}]
    return {**base, "content": content, **stop, "usage": usage, **fields}


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
_CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1.10}'}}
_USE = {"type": "tool_use", "id": "c1", "name": "f", "input": {"x": 1}}
_SIGNED = {"type": "thinking", "thinking": "hm", "signature": "s"}
_STOPPED = {"stop_reason": "refusal"}
_THOUGHT = {"reasoning_content": "hm", "thinking_blocks": [_SIGNED]}


def _typed(kind: str, **fields: Any) -> Json:
    return {"type": kind, **fields}


def _o_answer_call(call: Json) -> Json:
    return completion({"content": None, "tool_calls": [call]}, {"finish_reason": "tool_calls"})


EXAMPLES: dict[str, tuple[Embed, Json]] = {
    "openai_request.REQUEST": (
        lambda fields: openai(**fields),
        {
            "model": "other",
            "messages": [{"role": "system", "content": "be"}, {"role": "user", "content": "hi"}],
            "max_completion_tokens": 6,
            "max_tokens": 5,
            "temperature": 0.5,
            "top_p": 0.9,
            "top_k": 3,
            "stop": ["###", "end"],
            "stream": True,
            "stream_options": {"include_usage": True},
            "user": "u",
            "safety_identifier": "u",
            "reasoning_effort": "high",
            "service_tier": "default",
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "response", "schema": SCHEMA, "strict": True},
            },
            "tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}],
            "tool_choice": "required",
            "parallel_tool_calls": False,
            "n": 2,
            "logprobs": True,
            "top_logprobs": 3,
            "seed": 1,
            "frequency_penalty": 0.1,
            "presence_penalty": 0.1,
            "logit_bias": {"1": 5},
            "modalities": ["text", "audio"],
            "audio": {"voice": "x", "format": "wav"},
            "verbosity": "low",
            "moderation": {"model": "m"},
            "web_search_options": {},
            "functions": [{"name": "f"}],
            "function_call": "auto",
            "metadata": {"k": "v"},
            "store": True,
            "prediction": {"type": "content", "content": "x"},
            "prompt_cache_key": "k",
            "prompt_cache_options": {"mode": "explicit"},
            "prompt_cache_retention": "24h",
        },
    ),
    "openai_request.STREAM_OPTIONS": (
        lambda fields: openai(stream=True, stream_options={"include_usage": True, **fields}),
        {"include_usage": True, "include_obfuscation": False},
    ),
    "openai_request.FORMATS": (
        lambda given: openai(response_format=given),
        {
            "text": _typed("text"),
            "json_schema": _typed("json_schema", json_schema={"name": "response", "schema": SCHEMA, "strict": True}),
            "json_object": _typed("json_object"),
        },
    ),
    "openai_request.JSON_SCHEMA": (
        lambda fields: openai(
            response_format=_typed(
                "json_schema", json_schema={"name": "response", "schema": SCHEMA, "strict": True, **fields}
            )
        ),
        {"schema": {"type": "object"}, "name": "other", "strict": False, "description": "d"},
    ),
    "openai_request.FUNCTION": (
        lambda fields: _o_function({"name": "f", "parameters": SCHEMA, **fields}),
        {"name": "g", "description": "does", "parameters": {"type": "object"}, "strict": True},
    ),
    "openai_request.TOOL": (
        lambda fields: openai(
            tools=[{"type": "function", "function": {"name": "f", "parameters": SCHEMA}, **fields}],
        ),
        {"type": "function", "function": {"name": "g", "parameters": SCHEMA}},
    ),
    "openai_request.TOOLS": (
        lambda tool: openai(tools=[tool]),
        {
            "function": _typed("function", function={"name": "f", "parameters": SCHEMA}),
            "custom": _typed("custom", custom={"name": "f"}),
        },
    ),
    "openai_request.CHOSEN": (
        lambda fields: _o_choice(_typed("function", function={"name": "f", **fields})),
        {"name": "g"},
    ),
    "openai_request.NAMED_CHOICE": (
        lambda fields: _o_choice({"type": "function", "function": {"name": "f"}, **fields}),
        {"type": "function", "function": {"name": "g"}},
    ),
    "openai_request.CHOICES": (
        _o_choice,
        {
            "function": _typed("function", function={"name": "f"}),
            "allowed_tools": _typed("allowed_tools", allowed_tools={"mode": "auto", "tools": []}),
            "custom": _typed("custom", custom={"name": "f"}),
        },
    ),
    "openai_content.TEXT_PART": (
        lambda fields: _o_user({"type": "text", "text": "x", **fields}),
        {"type": "text", "text": "y", "prompt_cache_breakpoint": BREAK},
    ),
    "openai_content.IMAGE_URL": (
        lambda fields: _o_user(_typed("image_url", image_url={"url": PNG, **fields})),
        {"url": "https://example.com/a.png", "detail": "low"},
    ),
    "openai_content.IMAGE_PART": (
        lambda fields: _o_user({"type": "image_url", "image_url": {"url": PNG}, **fields}),
        {"type": "image_url", "image_url": {"url": PNG}, "prompt_cache_breakpoint": BREAK},
    ),
    "openai_content.FILE": (
        lambda fields: _o_user(_typed("file", file={"file_data": PDF, "filename": "a.pdf", **fields})),
        {"file_data": PDF + "AA==", "filename": "b.pdf", "file_id": "file-1"},
    ),
    "openai_content.FILE_PART": (
        lambda fields: _o_user({"type": "file", "file": {"file_data": PDF, "filename": "a.pdf"}, **fields}),
        {"type": "file", "file": {"file_data": PDF, "filename": "b.pdf"}, "prompt_cache_breakpoint": BREAK},
    ),
    "openai_content.SYSTEM_PARTS": (
        lambda part: _o_turn({"role": "system", "content": [part, _typed("text", text="more")]}),
        {"text": _typed("text", text="x")},
    ),
    "openai_content.USER_PARTS": (
        _o_user,
        {
            "text": _typed("text", text="x"),
            "image_url": _typed("image_url", image_url={"url": PNG}),
            "file": _typed("file", file={"file_data": PDF, "filename": "a.pdf"}),
            "input_audio": _typed("input_audio", input_audio={"data": "AA==", "format": "wav"}),
        },
    ),
    "openai_content.ASSISTANT_PARTS": (
        lambda part: _o_turn({"role": "assistant", "content": [part, _typed("text", text="more")]}),
        {"text": _typed("text", text="x"), "refusal": _typed("refusal", refusal="no")},
    ),
    "openai_content.TOOL_PARTS": (
        lambda part: _o_called({"role": "tool", "tool_call_id": "c1", "content": [part, _typed("text", text="y")]}),
        {"text": _typed("text", text="x")},
    ),
    "openai_content.CALLED": (
        lambda fields: _o_call(
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}", **fields}}
        ),
        {"name": "g", "arguments": '{"x" : 1.10, "y":\n123456789012345678901234567890}'},
    ),
    "openai_content.TOOL_CALL": (
        lambda fields: _o_call({**_CALL, **fields}),
        {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ),
    "openai_content.TOOL_CALLS": (
        _o_call,
        {"function": _CALL, "custom": _typed("custom", id="c1", custom={"name": "f", "input": "x"})},
    ),
    "openai_content.SYSTEM_MESSAGE": (
        lambda fields: _o_turn({"role": "system", "content": "be", **fields}),
        {"role": "system", "content": "do", "name": "n"},
    ),
    "openai_content.USER_MESSAGE": (
        lambda fields: _o_turn({"role": "user", "content": "x", **fields}),
        {"role": "user", "content": "y", "name": "n"},
    ),
    "openai_content.ASSISTANT_MESSAGE": (
        lambda fields: _o_turn({"role": "assistant", "content": "x", **fields}),
        {
            "role": "assistant",
            "thinking_blocks": [_SIGNED],
            "reasoning_content": "hm",
            "reasoning": "hm",
            "content": "y",
            "tool_calls": [_CALL],
            "refusal": "no",
            "audio": {"id": "x"},
            "function_call": {"name": "f", "arguments": "{}"},
            "annotations": [{"type": "url_citation"}],
            "name": "n",
        },
    ),
    "openai_content.TOOL_MESSAGE": (
        lambda fields: _o_called({"role": "tool", "tool_call_id": "c1", "content": "ok", **fields}),
        {"role": "tool", "tool_call_id": "c2", "content": "[is_error: true] no", "name": "f"},
    ),
    "openai_content.ROLES": (
        lambda turn: _o_turn(turn) if turn["role"] != "tool" else _o_called(turn),
        {
            "system": {"role": "system", "content": "x"},
            "developer": {"role": "developer", "content": "x"},
            "user": {"role": "user", "content": "x"},
            "assistant": {"role": "assistant", "content": "x"},
            "tool": {"role": "tool", "tool_call_id": "c1", "content": "x"},
            "function": {"role": "function", "name": "f", "content": "x"},
        },
    ),
    "anthropic_request.METADATA": (lambda fields: anthropic(metadata=fields), {"user_id": "u"}),
    "anthropic_request.THINKING": (
        lambda given: anthropic(thinking=given),
        {
            "adaptive": _typed("adaptive"),
            "disabled": _typed("disabled"),
            "enabled": _typed("enabled", budget_tokens=2000),
            "between_tools": _typed("between_tools"),
        },
    ),
    "anthropic_request.THINKING_FIELDS": (
        lambda fields: anthropic(
            thinking={"type": "adaptive", **fields},
            output_config={"effort": "low"} if fields.get("type") != "disabled" else {},
        ),
        {"type": "disabled", "budget_tokens": 2000, "display": "omitted"},
    ),
    "anthropic_request.JSON_FORMAT": (
        lambda fields: anthropic(output_config={"format": {"type": "json_schema", "schema": SCHEMA, **fields}}),
        {"type": "json_schema", "schema": {"type": "object"}},
    ),
    "anthropic_request.FORMATS": (
        lambda given: anthropic(output_config={"format": given}),
        {"json_schema": _typed("json_schema", schema=SCHEMA)},
    ),
    "anthropic_request.OUTPUT_CONFIG": (
        lambda fields: anthropic(output_config=fields),
        {"effort": "max", "format": _typed("json_schema", schema=SCHEMA)},
    ),
    "anthropic_request.TOOL": (
        lambda fields: _a_tool({"name": "f", "input_schema": SCHEMA, **fields}),
        {
            "type": "custom",
            "name": "g",
            "description": "does",
            "input_schema": {"type": "object"},
            "strict": True,
            "allowed_callers": ["code_execution_20260120"],
            "defer_loading": True,
            "input_examples": [{"x": 1}],
            "eager_input_streaming": True,
            "cache_control": CACHE,
        },
    ),
    "anthropic_request.CHOICES": (
        _a_choice,
        {
            "auto": _typed("auto"),
            "any": _typed("any"),
            "none": _typed("none"),
            "tool": _typed("tool", name="f"),
        },
    ),
    "anthropic_request.CHOICE_FIELDS": (
        lambda fields: _a_choice({"type": "tool", "name": "f", **fields}),
        {"type": "tool", "name": "g", "disable_parallel_tool_use": True},
    ),
    "anthropic_request.REQUEST": (
        lambda fields: anthropic(**fields),
        {
            "model": "other",
            "system": "be",
            "messages": [{"role": "user", "content": "ho"}],
            "max_tokens": 6,
            "temperature": 0.5,
            "top_p": 0.9,
            "top_k": 3,
            "stop_sequences": ["###"],
            "stream": True,
            "metadata": {"user_id": "u"},
            "thinking": {"type": "disabled"},
            "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
            "service_tier": "standard_only",
            "tools": [{"name": "f", "input_schema": SCHEMA}],
            "tool_choice": {"type": "any"},
            "speed": "fast",
            "inference_geo": "eu",
            "container": "c",
            "mcp_servers": [{"url": "x"}],
            "context_management": {},
            "diagnostics": {"previous_message_id": "m"},
            "user_profile_id": "u",
            "workspace_id": "w",
            "cache_control": CACHE,
        },
    ),
    "anthropic_content.TEXT_BLOCK": (
        lambda fields: _a_user({"type": "text", "text": "x", **fields}),
        {"type": "text", "text": "y", "cache_control": CACHE, "citations": [{"type": "char_location"}]},
    ),
    "anthropic_content.BASE64_SOURCE": (
        lambda fields: _a_user(
            _typed("image", source={"type": "base64", "media_type": "image/png", "data": "AA==", **fields})
        ),
        {"type": "base64", "media_type": "image/webp", "data": "AAAA"},
    ),
    "anthropic_content.URL_SOURCE": (
        lambda fields: _a_user(_typed("image", source={"type": "url", "url": "https://example.com/a", **fields})),
        {"type": "url", "url": "https://example.com/b"},
    ),
    "anthropic_content.IMAGE_SOURCES": (
        lambda source: _a_user(_typed("image", source=source)),
        {
            "base64": _typed("base64", media_type="image/png", data="AA=="),
            "url": _typed("url", url="https://example.com/a"),
            "file": _typed("file", file_id="f"),
        },
    ),
    "anthropic_content.IMAGE_BLOCK": (
        lambda fields: _a_user({"type": "image", "source": _typed("url", url="https://example.com/a"), **fields}),
        {
            "type": "image",
            "source": _typed("url", url="https://example.com/b"),
            "transformations": {"oversized_image": "error"},
            "cache_control": CACHE,
        },
    ),
    "anthropic_content.DOCUMENT_SOURCES": (
        lambda source: _a_user(_typed("document", source=source)),
        {
            "base64": _typed("base64", media_type="application/pdf", data="AA=="),
            "url": _typed("url", url="https://example.com/a.pdf"),
            "text": _typed("text", media_type="text/plain", data="x"),
            "content": _typed("content", content="x"),
            "file": _typed("file", file_id="f"),
        },
    ),
    "anthropic_content.DOCUMENT_BLOCK": (
        lambda fields: _a_user(
            {"type": "document", "source": _typed("base64", media_type="application/pdf", data="AA=="), **fields}
        ),
        {
            "type": "document",
            "source": _typed("base64", media_type="application/pdf", data="AAAA"),
            "title": "t",
            "context": "c",
            "citations": {"enabled": True},
            "cache_control": CACHE,
        },
    ),
    "anthropic_content.TOOL_USE_BLOCK": (
        lambda fields: _a_turn({**_USE, **fields}),
        {
            "type": "tool_use",
            "id": "c2",
            "name": "g",
            "input": {"x": 1.5},
            "caller": {"type": "code_execution_20250825", "tool_id": "x"},
            "toolset_name": "browser",
            "cache_control": CACHE,
        },
    ),
    "anthropic_content.TOOL_RESULT_BLOCK": (
        lambda fields: _a_result({"type": "tool_result", "tool_use_id": "c1", "content": "ok", **fields}),
        {
            "type": "tool_result",
            "tool_use_id": "c2",
            "content": [_typed("text", text="a"), _typed("text", text="b")],
            "is_error": True,
            "toolset_name": "browser",
            "cache_control": CACHE,
        },
    ),
    "anthropic_content.SYSTEM_BLOCKS": (
        lambda block: anthropic(system=[block, _typed("text", text="more")]),
        {"text": _typed("text", text="x")},
    ),
    "anthropic_content.RESULT_BLOCKS": (
        lambda block: _a_result(_typed("tool_result", tool_use_id="c1", content=[block, _typed("text", text="y")])),
        {
            "text": _typed("text", text="x"),
            "image": _typed("image", source=_typed("url", url="https://example.com/a")),
            "document": _typed("document", source=_typed("text", media_type="text/plain", data="x")),
            "search_result": _typed("search_result", source="s", title="t", content=[]),
            "tool_reference": _typed("tool_reference", tool_name="f"),
            "browser_state": _typed("browser_state"),
        },
    ),
    "anthropic_content.USER_BLOCKS": (
        lambda block: _a_result(block) if block["type"] == "tool_result" else _a_user(block),
        {
            "text": _typed("text", text="x"),
            "image": _typed("image", source=_typed("url", url="https://example.com/a")),
            "document": _typed("document", source=_typed("base64", media_type="application/pdf", data="AA==")),
            "tool_result": _typed("tool_result", tool_use_id="c1", content="ok"),
            "search_result": _typed("search_result", source="s", title="t", content=[]),
            "container_upload": _typed("container_upload", file_id="f"),
        },
    ),
    "anthropic_content.ASSISTANT_BLOCKS": (
        _a_turn,
        {
            "text": _typed("text", text="x"),
            "tool_use": _USE,
            "thinking": _SIGNED,
            "redacted_thinking": _typed("redacted_thinking", data="x"),
            "server_tool_use": _typed("server_tool_use", id="s", name="web_search", input={}),
            **{
                name: _typed(name, tool_use_id="s", content=[])
                for name in (
                    "web_search_tool_result",
                    "web_fetch_tool_result",
                    "code_execution_tool_result",
                    "bash_code_execution_tool_result",
                    "text_editor_code_execution_tool_result",
                    "tool_search_tool_result",
                )
            },
        },
    ),
    "anthropic_content.USER_MESSAGE": (_a_message("user"), {"role": "user", "content": "y"}),
    "anthropic_content.ASSISTANT_MESSAGE": (_a_message("assistant"), {"role": "assistant", "content": "y"}),
    "anthropic_content.SYSTEM_MESSAGE": (_a_message("system"), {"role": "system", "content": "y"}),
    "openai_answer.CALLED": (
        lambda fields: _o_answer_call({**_CALL, "function": {**_CALL["function"], **fields}}),
        {"name": "g", "arguments": '{"x": 1e3}'},
    ),
    "openai_answer.CALL": (
        lambda fields: _o_answer_call({**_CALL, **fields}),
        {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ),
    "openai_answer.CALLS": (
        _o_answer_call,
        {"function": _CALL, "custom": _typed("custom", id="c1", custom={"name": "f", "input": "x"})},
    ),
    "openai_answer.MESSAGE": (
        lambda fields: completion(
            {**_THOUGHT, **fields} if "reasoning_content" in fields else fields,
            {"finish_reason": "tool_calls"}
            if "tool_calls" in fields
            else {"finish_reason": "content_filter"}
            if "refusal" in fields
            else None,
        ),
        {
            "role": "assistant",
            "thinking_blocks": [_typed("redacted_thinking", data="x")],
            "reasoning_content": "hm",
            "reasoning": "hm",
            "content": "no",
            "refusal": "I may not",
            "tool_calls": [_CALL],
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
        lambda fields: message({**_USE, **fields}, stop_reason="tool_use"),
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
        lambda fields: message({**_SIGNED, **fields}, _typed("text", text="x")),
        {"type": "thinking", "thinking": "so", "signature": "t"},
    ),
    "anthropic_answer.REDACTED_BLOCK": (
        lambda fields: message({"type": "redacted_thinking", "data": "x", **fields}, _typed("text", text="x")),
        {"type": "redacted_thinking", "data": "y"},
    ),
    "anthropic_answer.BLOCKS": (
        lambda block: message(block, stop_reason="tool_use" if block["type"] == "tool_use" else "end_turn"),
        {
            "text": _typed("text", text="x"),
            "tool_use": _USE,
            "thinking": _SIGNED,
            "redacted_thinking": _typed("redacted_thinking", data="x"),
            "server_tool_use": _typed("server_tool_use", id="s", name="web_search", input={}),
            **{
                name: _typed(name, tool_use_id="s", content=[])
                for name in (
                    "web_search_tool_result",
                    "web_fetch_tool_result",
                    "code_execution_tool_result",
                    "bash_code_execution_tool_result",
                    "text_editor_code_execution_tool_result",
                    "tool_search_tool_result",
                )
            },
            "container_upload": _typed("container_upload", file_id="f"),
        },
    ),
    "anthropic_answer.STOP_DETAILS": (
        lambda fields: message(
            stop_details={"type": "refusal", "category": None, "explanation": "no", **fields}, **_STOPPED
        ),
        {"type": "refusal", "explanation": "I may not", "category": "bio"},
    ),
    "anthropic_answer.MESSAGE": (
        lambda fields: (
            message(**{**({"stop_reason": "stop_sequence"} if "stop_sequence" in fields else {})}, **fields)
            if "stop_details" not in fields
            else message(**_STOPPED, **fields)
        ),
        {
            "id": "a2",
            "model": "m2",
            "type": "message",
            "role": "assistant",
            "content": [_typed("text", text="no")],
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

TYPES = {
    "openai_request.FORMATS",
    "openai_request.TOOLS",
    "openai_request.CHOICES",
    "openai_content.SYSTEM_PARTS",
    "openai_content.USER_PARTS",
    "openai_content.ASSISTANT_PARTS",
    "openai_content.TOOL_PARTS",
    "openai_content.TOOL_CALLS",
    "openai_content.ROLES",
    "anthropic_request.THINKING",
    "anthropic_request.FORMATS",
    "anthropic_request.CHOICES",
    "anthropic_content.IMAGE_SOURCES",
    "anthropic_content.DOCUMENT_SOURCES",
    "anthropic_content.SYSTEM_BLOCKS",
    "anthropic_content.RESULT_BLOCKS",
    "anthropic_content.USER_BLOCKS",
    "anthropic_content.ASSISTANT_BLOCKS",
    "openai_answer.CALLS",
    "anthropic_answer.BLOCKS",
}

STREAMED = {
    "openai_stream.DELTA",
    "openai_stream.STREAM_CHOICE",
    "openai_stream.CHUNK",
    "anthropic_stream.MESSAGE_DELTA",
}
"""Made of the rows of whole answers; the streams' own tests go over them."""


def encode(document: Json) -> bytes:
    return json.dumps(document).encode()
