"""An example of every row of the tables of OpenAI's requests, put into a whole document."""

from __future__ import annotations

from typing import Any

from translate_documents import (
    BREAK,
    CALL,
    PDF,
    PNG,
    SCHEMA,
    SCHEMA_FORMAT,
    SIGNED,
    Embed,
    Json,
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


OPENAI_EXAMPLES: dict[str, tuple[Embed, Json]] = {
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
}


OPENAI_TYPES = {
    "openai_request.FORMATS",
    "openai_request.TOOLS",
    "openai_request.CHOICES",
    "openai_content.SYSTEM_PARTS",
    "openai_content.USER_PARTS",
    "openai_content.ASSISTANT_PARTS",
    "openai_content.TOOL_PARTS",
    "openai_content.TOOL_CALLS",
    "openai_content.ROLES",
}
