"""An example of every row of the tables of requests, put into a whole document."""

from __future__ import annotations

from typing import Any

from translate_documents import (
    BREAK,
    CACHE,
    CALL,
    PDF,
    PNG,
    SCHEMA,
    SCHEMA_FORMAT,
    SIGNED,
    USE,
    Embed,
    Json,
    anthropic,
    openai,
    typed,
)


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


REQUEST_EXAMPLES: dict[str, tuple[Embed, Json]] = {
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
            "response_format": SCHEMA_FORMAT,
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
            "text": typed("text"),
            "json_schema": SCHEMA_FORMAT,
            "json_object": typed("json_object"),
        },
    ),
    "openai_request.TEXT_FORMAT": (lambda fields: openai(response_format={"type": "text", **fields}), {"type": "text"}),
    "openai_request.SCHEMA_FORMAT": (
        lambda fields: openai(response_format={**SCHEMA_FORMAT, **fields}),
        {"type": "json_schema", "json_schema": {"name": "response", "schema": {"type": "object"}, "strict": True}},
    ),
    "openai_request.JSON_SCHEMA": (
        lambda fields: openai(
            response_format={**SCHEMA_FORMAT, "json_schema": {**SCHEMA_FORMAT["json_schema"], **fields}}
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
            "function": typed("function", function={"name": "f", "parameters": SCHEMA}),
            "custom": typed("custom", custom={"name": "f"}),
        },
    ),
    "openai_request.CHOSEN": (
        lambda fields: _o_choice(typed("function", function={"name": "f", **fields})),
        {"name": "g"},
    ),
    "openai_request.NAMED_CHOICE": (
        lambda fields: _o_choice({"type": "function", "function": {"name": "f"}, **fields}),
        {"type": "function", "function": {"name": "g"}},
    ),
    "openai_request.CHOICES": (
        _o_choice,
        {
            "function": typed("function", function={"name": "f"}),
            "allowed_tools": typed("allowed_tools", allowed_tools={"mode": "auto", "tools": []}),
            "custom": typed("custom", custom={"name": "f"}),
        },
    ),
    "openai_content.TEXT_PART": (
        lambda fields: _o_user({"type": "text", "text": "x", **fields}),
        {"type": "text", "text": "y", "prompt_cache_breakpoint": BREAK},
    ),
    "openai_content.IMAGE_URL": (
        lambda fields: _o_user(typed("image_url", image_url={"url": PNG, **fields})),
        {"url": "https://example.com/a.png", "detail": "low"},
    ),
    "openai_content.IMAGE_PART": (
        lambda fields: _o_user({"type": "image_url", "image_url": {"url": PNG}, **fields}),
        {"type": "image_url", "image_url": {"url": PNG}, "prompt_cache_breakpoint": BREAK},
    ),
    "openai_content.FILE": (
        lambda fields: _o_user(typed("file", file={"file_data": PDF, "filename": "a.pdf", **fields})),
        {"file_data": PDF + "AA==", "filename": "b.pdf", "file_id": "file-1"},
    ),
    "openai_content.FILE_PART": (
        lambda fields: _o_user({"type": "file", "file": {"file_data": PDF, "filename": "a.pdf"}, **fields}),
        {"type": "file", "file": {"file_data": PDF, "filename": "b.pdf"}, "prompt_cache_breakpoint": BREAK},
    ),
    "openai_content.SYSTEM_PARTS": (
        lambda part: _o_turn({"role": "system", "content": [part, typed("text", text="more")]}),
        {"text": typed("text", text="x")},
    ),
    "openai_content.USER_PARTS": (
        _o_user,
        {
            "text": typed("text", text="x"),
            "image_url": typed("image_url", image_url={"url": PNG}),
            "file": typed("file", file={"file_data": PDF, "filename": "a.pdf"}),
            "input_audio": typed("input_audio", input_audio={"data": "AA==", "format": "wav"}),
        },
    ),
    "openai_content.ASSISTANT_PARTS": (
        lambda part: _o_turn({"role": "assistant", "content": [part, typed("text", text="more")]}),
        {"text": typed("text", text="x"), "refusal": typed("refusal", refusal="no")},
    ),
    "openai_content.TOOL_PARTS": (
        lambda part: _o_called({"role": "tool", "tool_call_id": "c1", "content": [part, typed("text", text="y")]}),
        {"text": typed("text", text="x")},
    ),
    "openai_content.CALLED": (
        lambda fields: _o_call(
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}", **fields}}
        ),
        {"name": "g", "arguments": '{"x" : 1.10, "y":\n123456789012345678901234567890}'},
    ),
    "openai_content.TOOL_CALL": (
        lambda fields: _o_call({**CALL, **fields}),
        {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ),
    "openai_content.TOOL_CALLS": (
        _o_call,
        {"function": CALL, "custom": typed("custom", id="c1", custom={"name": "f", "input": "x"})},
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
            "thinking_blocks": [SIGNED],
            "reasoning_content": "hm",
            "reasoning": "hm",
            "content": "y",
            "tool_calls": [CALL],
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
            "adaptive": typed("adaptive"),
            "disabled": typed("disabled"),
            "enabled": typed("enabled", budget_tokens=2000),
            "between_tools": typed("between_tools"),
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
        {"json_schema": typed("json_schema", schema=SCHEMA)},
    ),
    "anthropic_request.OUTPUT_CONFIG": (
        lambda fields: anthropic(output_config=fields),
        {"effort": "max", "format": typed("json_schema", schema=SCHEMA)},
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
            "auto": typed("auto"),
            "any": typed("any"),
            "none": typed("none"),
            "tool": typed("tool", name="f"),
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
            typed("image", source={"type": "base64", "media_type": "image/png", "data": "AA==", **fields})
        ),
        {"type": "base64", "media_type": "image/webp", "data": "AAAA"},
    ),
    "anthropic_content.URL_SOURCE": (
        lambda fields: _a_user(typed("image", source={"type": "url", "url": "https://example.com/a", **fields})),
        {"type": "url", "url": "https://example.com/b"},
    ),
    "anthropic_content.IMAGE_SOURCES": (
        lambda source: _a_user(typed("image", source=source)),
        {
            "base64": typed("base64", media_type="image/png", data="AA=="),
            "url": typed("url", url="https://example.com/a"),
            "file": typed("file", file_id="f"),
        },
    ),
    "anthropic_content.IMAGE_BLOCK": (
        lambda fields: _a_user({"type": "image", "source": typed("url", url="https://example.com/a"), **fields}),
        {
            "type": "image",
            "source": typed("url", url="https://example.com/b"),
            "transformations": {"oversized_image": "error"},
            "cache_control": CACHE,
        },
    ),
    "anthropic_content.DOCUMENT_SOURCES": (
        lambda source: _a_user(typed("document", source=source)),
        {
            "base64": typed("base64", media_type="application/pdf", data="AA=="),
            "url": typed("url", url="https://example.com/a.pdf"),
            "text": typed("text", media_type="text/plain", data="x"),
            "content": typed("content", content="x"),
            "file": typed("file", file_id="f"),
        },
    ),
    "anthropic_content.DOCUMENT_BLOCK": (
        lambda fields: _a_user(
            {"type": "document", "source": typed("base64", media_type="application/pdf", data="AA=="), **fields}
        ),
        {
            "type": "document",
            "source": typed("base64", media_type="application/pdf", data="AAAA"),
            "title": "t",
            "context": "c",
            "citations": {"enabled": True},
            "cache_control": CACHE,
        },
    ),
    "anthropic_content.TOOL_USE_BLOCK": (
        lambda fields: _a_turn({**USE, **fields}),
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
            "content": [typed("text", text="a"), typed("text", text="b")],
            "is_error": True,
            "toolset_name": "browser",
            "cache_control": CACHE,
        },
    ),
    "anthropic_content.SYSTEM_BLOCKS": (
        lambda block: anthropic(system=[block, typed("text", text="more")]),
        {"text": typed("text", text="x")},
    ),
    "anthropic_content.RESULT_BLOCKS": (
        lambda block: _a_result(typed("tool_result", tool_use_id="c1", content=[block, typed("text", text="y")])),
        {
            "text": typed("text", text="x"),
            "image": typed("image", source=typed("url", url="https://example.com/a")),
            "document": typed("document", source=typed("text", media_type="text/plain", data="x")),
            "search_result": typed("search_result", source="s", title="t", content=[]),
            "tool_reference": typed("tool_reference", tool_name="f"),
            "browser_state": typed("browser_state"),
        },
    ),
    "anthropic_content.USER_BLOCKS": (
        lambda block: _a_result(block) if block["type"] == "tool_result" else _a_user(block),
        {
            "text": typed("text", text="x"),
            "image": typed("image", source=typed("url", url="https://example.com/a")),
            "document": typed("document", source=typed("base64", media_type="application/pdf", data="AA==")),
            "tool_result": typed("tool_result", tool_use_id="c1", content="ok"),
            "search_result": typed("search_result", source="s", title="t", content=[]),
            "container_upload": typed("container_upload", file_id="f"),
        },
    ),
    "anthropic_content.ASSISTANT_BLOCKS": (
        _a_turn,
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
        },
    ),
    "anthropic_content.USER_MESSAGE": (_a_message("user"), {"role": "user", "content": "y"}),
    "anthropic_content.ASSISTANT_MESSAGE": (_a_message("assistant"), {"role": "assistant", "content": "y"}),
    "anthropic_content.SYSTEM_MESSAGE": (_a_message("system"), {"role": "system", "content": "y"}),
}

REQUEST_TYPES = {
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
}
