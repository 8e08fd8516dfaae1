"""An example of every row of the tables of Anthropic's requests, put into a whole document."""

from __future__ import annotations

from translate_documents import (
    CACHE,
    SCHEMA,
    SIGNED,
    USE,
    Embed,
    Json,
    anthropic,
    typed,
)


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


ANTHROPIC_EXAMPLES: dict[str, tuple[Embed, Json]] = {
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


ANTHROPIC_TYPES = {
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
