"""A few rows of every format that can be imported, in the shapes that its program writes."""

from __future__ import annotations

import json
from typing import Any

Row = dict[str, Any]
TURNS = [{"role": "system", "content": "Sort the mail."}, {"role": "user", "content": "Where is my parcel?"}]
ANSWER = {"role": "assistant", "content": "delivery"}
COMPLETION = {
    "id": "chatcmpl-77",
    "object": "chat.completion",
    "created": 1_760_000_000,
    "model": "gpt-4o-2024-08-06",
    "choices": [{"index": 0, "message": ANSWER, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 21, "completion_tokens": 2, "total_tokens": 23},
}
SECRET = "sk-live-9f8e7d6c5b4a3210"
"""Must be found nowhere after an import."""
EPISODE = "01942e26-51eb-7d12-82d5-c639332d11ff"
INFERENCE = "01942e26-88ab-7331-8293-de75cc2b88a7"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"

OPENAI_CHAT: list[Row] = [
    {"messages": [*TURNS, {**ANSWER, "weight": 1}], "parallel_tool_calls": False},
    {"messages": [*TURNS[:1], {"role": "user", "content": "I was billed twice"}, {**ANSWER, "content": "billing"}]},
]
OPENAI_BATCH_INPUT: list[Row] = [
    {
        "custom_id": "request-1",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "gpt-4o", "messages": TURNS, "user": "u-7", "extra_headers": {"authorization": SECRET}},
    },
    {
        "custom_id": "request-2",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "gpt-4o", "messages": TURNS},
    },
]
OPENAI_BATCH_OUTPUT: list[Row] = [
    {
        "id": "batch_req_1",
        "custom_id": "request-1",
        "response": {"status_code": 200, "request_id": "r1", "body": COMPLETION},
        "error": None,
    },
    {
        "id": "batch_req_2",
        "custom_id": "request-2",
        "response": {"status_code": 429, "request_id": "r2", "body": {"error": {"code": "rate_limited"}}},
        "error": None,
    },
]
ANTHROPIC_BATCH_INPUT: list[Row] = [
    {
        "custom_id": "a",
        "params": {
            "model": "claude-sonnet-4-5",
            "max_tokens": 64,
            "system": "Sort the mail.",
            "messages": TURNS[1:],
            "metadata": {"user_id": "u-9"},
            "extra_headers": {"x-api-key": SECRET},
        },
    },
    {"custom_id": "b", "params": {"model": "claude-sonnet-4-5", "max_tokens": 64, "messages": TURNS[1:]}},
]
ANTHROPIC_BATCH_RESULT: list[Row] = [
    {
        "custom_id": "a",
        "result": {
            "type": "succeeded",
            "message": {
                "id": "msg_01",
                "type": "message",
                "role": "assistant",
                "model": "claude-sonnet-4-5-20250929",
                "content": [{"type": "text", "text": "delivery"}],
                "stop_reason": "end_turn",
                "stop_sequence": None,
                "usage": {"input_tokens": 20, "output_tokens": 3},
            },
        },
    },
    {"custom_id": "b", "result": {"type": "expired"}},
]
LITELLM_SPEND_LOG: Row = {
    "request_id": "chatcmpl-77",
    "call_type": "acompletion",
    "api_key": SECRET,
    "spend": 0.0001,
    "total_tokens": 23,
    "prompt_tokens": 21,
    "completion_tokens": 2,
    "startTime": "2026-05-01T10:00:00.000Z",
    "endTime": "2026-05-01T10:00:01.500Z",
    "completionStartTime": "2026-05-01T10:00:00.400Z",
    "model": "openai/gpt-4o-2024-08-06",
    "model_group": "gpt-4o",
    "custom_llm_provider": "openai",
    "api_base": "https://api.openai.com",
    "user": "default_user",
    "metadata": {"user_api_key": SECRET, "user_api_key_alias": "prod"},
    "cache_hit": "False",
    "request_tags": [],
    "end_user": "customer-3",
    "messages": TURNS,
    "response": COMPLETION,
    "session_id": "sess-1",
    "status": "success",
    "proxy_server_request": {
        "model": "gpt-4o",
        "temperature": 0.2,
        "messages": TURNS,
        "extra_headers": {"x-api-key": SECRET},
    },
}
LITELLM_PAYLOAD: Row = {
    "id": "chatcmpl-78",
    "trace_id": "t-1",
    "call_type": "completion",
    "stream": False,
    "response_cost": 0.1,
    "status": "success",
    "custom_llm_provider": "azure",
    "prompt_tokens": 21,
    "completion_tokens": 2,
    "startTime": 1_760_000_000.25,
    "endTime": 1_760_000_001.25,
    "completionStartTime": 1_760_000_001.25,
    "model": "gpt-4o",
    "metadata": {"user_api_key_hash": SECRET},
    "messages": TURNS,
    "response": COMPLETION,
    "model_parameters": {"temperature": 0, "extra_headers": {"authorization": SECRET}},
    "hidden_params": {"api_base": "https://x.test"},
}
TENSORZERO_CALL: Row = {
    "id": "01942e26-88ab-7331-8293-de75cc2b88a8",
    "inference_id": INFERENCE,
    "raw_request": '{"authorization": "' + SECRET + '"}',
    "raw_response": "{}",
    "model_name": "gpt-4o-mini",
    "model_provider_name": "openai",
    "input_tokens": 30,
    "output_tokens": 5,
    "response_time_ms": 800,
    "ttft_ms": None,
    "system": "Ask a question. 21 are left.",
    "input_messages": '[{"role":"user","content":[{"type":"text","text":"Begin."}]}]',
    "output": "[]",
    "cached": False,
    "finish_reason": "stop",
}
TENSORZERO_JSON: Row = {
    "id": INFERENCE,
    "function_name": "ask_question",
    "variant_name": "baseline",
    "episode_id": EPISODE,
    "input": '{"system":{"remaining_questions":21},"messages":[{"role":"user","content":"x"}]}',
    "output": '{"raw":"{\\"question\\":\\"Is it big?\\"}","parsed":{"question":"Is it big?"}}',
    "output_schema": '{"type":"object","properties":{"question":{"type":"string"}}}',
    "inference_params": '{"chat_completion":{"temperature":0.5}}',
    "processing_time_ms": 4254,
    "tags": {},
    "extra_body": None,
}
TENSORZERO_CHAT: Row = {
    "id": "01942e26-a877-79f0-9d38-2e2cc952fb50",
    "function_name": "weather",
    "variant_name": "v1",
    "episode_id": EPISODE,
    "input": {
        "system": "Help.",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Oslo?"}]},
            {
                "role": "assistant",
                "content": [{"type": "tool_call", "id": "c1", "name": "temp", "arguments": '{"at":"Oslo"}'}],
            },
            {"role": "user", "content": [{"type": "tool_result", "id": "c1", "name": "temp", "result": "3"}]},
        ],
    },
    "output": [{"type": "text", "text": "3 degrees."}],
    "tool_params": {"tools_available": [{"name": "temp", "description": "d", "parameters": {}, "strict": False}]},
    "inference_params": {"chat_completion": {}},
    "processing_time_ms": 900,
    "ttft_ms": 200,
    "tags": {"user_id": "u-1"},
}
TENSORZERO_FEEDBACK: list[Row] = [
    {
        "id": "01944339-00dc-7aa2-843a-74ebdf5d5d60",
        "target_id": EPISODE,
        "metric_name": "solved",
        "value": True,
        "tags": {},
    },
    {
        "id": "01944339-00dc-7aa2-843a-74ebdf5d5d61",
        "target_id": INFERENCE,
        "metric_name": "elapsed",
        "value": 4.5,
        "tags": {},
    },
    {
        "id": "01944339-00e3-75a3-bc01-8e1b4cb22681",
        "target_id": EPISODE,
        "target_type": "episode",
        "value": "nice",
        "tags": {},
    },
    {
        "id": "0193da94-5754-7101-900c-dbb0cdcc42ca",
        "inference_id": INFERENCE,
        "value": '{"raw":"{\\"question\\":\\"Is it alive?\\"}","parsed":{}}',
        "tags": {},
    },
]
OPENTRACY: list[Row] = [
    {
        "request_id": "8d1f",
        "timestamp": "2026-04-01 08:00:00.250",
        "selected_model": "gpt-4o-mini",
        "provider": "openai",
        "latency_ms": 512.5,
        "ttft_ms": 100.0,
        "tokens_in": 21,
        "tokens_out": 2,
        "is_error": 0,
        "request_type": "chat",
        "is_stream": 0,
        "cache_hit": 0,
        "input_text": "Where is my parcel?",
        "output_text": "delivery",
        "input_messages": json.dumps(TURNS),
        "output_message": json.dumps(ANSWER),
        "finish_reason": "stop",
        "request_tools": "[]",
        "response_tool_calls": "[]",
    },
    {
        "trace_id": "tr-5",
        "timestamp": "2026-04-01T08:00:00.250Z",
        "request": "And now?",
        "response": "delivery",
        "duration_ms": 15.5,
        "success": True,
        "session_id": "s-1",
        "agent_version": "3",
        "tokens_in": 21,
        "tokens_out": 2,
        "stages": [{"stage": "route", "routing_model": "gpt-4o-mini"}],
        "history": [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": "There."}],
    },
    {"trace_id": "tr-5", "score": 4, "comment": "good", "at": "2026-04-01T09:00:00.000001Z"},
    {"request_id": "9", "timestamp": "2026-04-01 08:00:01", "selected_model": "x", "request_type": "route"},
]
TRACER: list[Row] = [
    {"input": "Where is my parcel?", "teacher": "delivery", "id": "1", "ground_truth": "delivery_status"},
    {"input": "I was billed twice", "teacher": "billing", "metadata": {"request_model": "gpt-4o", "ts": 1_760_000_000}},
    {
        "operation_name": "chat",
        "system": "openai",
        "request_model": "gpt-4o",
        "response_model": "gpt-4o-2024-08-06",
        "input_text": "Hello",
        "output_text": "Hi",
        "input_tokens": 1,
        "output_tokens": 1,
        "finish_reasons": ["stop"],
        "latency_ms": 12.0,
        "cost_usd": None,
        "status": "ok",
        "error": None,
        "start_time": "2026-04-01T08:00:00+00:00",
        "trace_id": TRACE,
        "span_id": SPAN,
        "parent_span_id": None,
        "request_params": {"temperature": 0.1},
        "tool_calls": [],
        "tags": [],
        "attributes": {},
    },
]
KILN: Row = {
    "v": 1,
    "id": "123456789012",
    "created_at": "2026-02-03T10:00:00.123456+00:00",
    "created_by": "somebody",
    "input": "Where is my parcel?",
    "input_source": {"type": "human", "properties": {"created_by": "somebody"}},
    "output": {
        "v": 1,
        "output": "delivery",
        "source": {
            "type": "synthetic",
            "properties": {"model_name": "gpt_4o", "model_provider": "openai", "adapter_name": "kiln"},
        },
        "rating": {"v": 1, "type": "five_star", "value": 4.0, "requirement_ratings": {}},
        "model_type": "task_output",
    },
    "repair_instructions": "Be exact.",
    "repaired_output": {"v": 1, "output": "delivery_status", "source": {"type": "human", "properties": {}}},
    "trace": [*TURNS, ANSWER],
    "usage": {"input_tokens": 21, "output_tokens": 2, "total_tokens": 23, "cost": 0.001},
    "tags": [],
    "model_type": "task_run",
}
LANGFUSE: list[Row] = [
    {
        "id": "lf-t1",
        "timestamp": "2026-03-01T00:00:00Z",
        "name": "run",
        "userId": "u-4",
        "htmlPath": "/x",
        "scores": [],
    },
    {
        "id": "lf-o1",
        "traceId": "lf-t1",
        "type": "GENERATION",
        "name": "sort",
        "startTime": "2026-03-01T00:00:01.000Z",
        "endTime": "2026-03-01T00:00:02.000Z",
        "completionStartTime": "2026-03-01T00:00:01.250Z",
        "model": "gpt-4o",
        "modelParameters": {"temperature": 0.3, "api_key": SECRET},
        "input": TURNS,
        "output": ANSWER,
        "usageDetails": {"input": 15, "input_cached_tokens": 6, "output": 2, "total": 23},
        "level": "DEFAULT",
    },
    {"id": "lf-o2", "traceId": "lf-t1", "type": "SPAN", "name": "outer", "startTime": "2026-03-01T00:00:00Z"},
    {
        "id": "lf-s1",
        "traceId": "lf-t1",
        "observationId": "lf-o1",
        "name": "correct",
        "dataType": "BOOLEAN",
        "value": 1,
        "stringValue": "True",
        "source": "API",
        "timestamp": "2026-03-02T00:00:00Z",
        "comment": "yes",
    },
    {
        "id": "lf-s2",
        "traceId": "lf-t1",
        "name": "tone",
        "dataType": "CATEGORICAL",
        "value": 2,
        "stringValue": "friendly",
        "source": "API",
        "timestamp": "2026-03-02T00:00:00Z",
    },
]
OPENINFERENCE_FRAME: Row = {
    "name": "ChatCompletion",
    "span_kind": "LLM",
    "parent_id": None,
    "start_time": "2026-03-01T00:00:01Z",
    "end_time": "2026-03-01T00:00:02Z",
    "status_code": "OK",
    "context.span_id": SPAN,
    "context.trace_id": TRACE,
    "attributes.openinference.span.kind": "LLM",
    "attributes.llm.model_name": "gpt-4o",
    "attributes.llm.provider": "openai",
    "attributes.llm.invocation_parameters": '{"temperature": 0.1}',
    "attributes.llm.input_messages": [
        {"message.role": turn["role"], "message.content": turn["content"]} for turn in TURNS
    ],
    "attributes.llm.output_messages": [{"message.role": "assistant", "message.content": "delivery"}],
    "attributes.llm.token_count.prompt": 21,
    "attributes.llm.token_count.completion": 2,
    "attributes.user.id": "u-5",
}
OPENINFERENCE_JSON: Row = {
    "id": "U3Bhbjox",
    "name": "ChatCompletion",
    "context": {"trace_id": TRACE, "span_id": "00f067aa0ba902b7"},
    "span_kind": "LLM",
    "parent_id": None,
    "start_time": "2026-03-01T00:00:01Z",
    "end_time": "2026-03-01T00:00:02Z",
    "status_code": "OK",
    "attributes": {
        "openinference.span.kind": "LLM",
        "llm.model_name": "gpt-4o",
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.content": "Oslo?",
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.tool_calls.0.tool_call.id": "c1",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "temp",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": '{"at":"Oslo"}',
        "llm.tools.0.tool.json_schema": '{"type":"function","function":{"name":"temp"}}',
    },
    "events": [],
}
HUGGINGFACE: list[Row] = [
    {"conversations": [{"from": "human", "value": "Oslo?"}, {"from": "gpt", "value": "3 degrees."}], "system": "Help."},
    {"prompt": "Oslo?", "completion": "3 degrees.", "model": "m-1"},
    {"prompt": [{"role": "user", "content": "Oslo?"}], "completion": [{"role": "assistant", "content": "4 degrees."}]},
    {"instruction": "Add.", "input": "1 2", "output": "3"},
    {"messages": [*TURNS, ANSWER], "source": "x", "model": "m-2"},
]


def lines(rows: list[Row]) -> bytes:
    """JSON lines."""
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)
