"""The tables know every field that the providers' own libraries know: theirs are generated from their specifications.

OpenAI's library is a development dependency. Anthropic's is read where it is installed.
"""

from __future__ import annotations

import importlib
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest

from freehold.upstreams.translate.errors import ROWS
from freehold.upstreams.translate.tables import tables
from freehold.upstreams.translate.values import EFFORTS, FINISH_OF_STOP, STOP_OF_FINISH

TABLES = tables()
_ASSISTANT = "chat.chat_completion_assistant_message_param"

OPENAI = {
    "openai_request.REQUEST": "chat.completion_create_params:CompletionCreateParamsStreaming",
    "openai_request.STREAM_OPTIONS": "chat.chat_completion_stream_options_param:ChatCompletionStreamOptionsParam",
    "openai_request.JSON_SCHEMA": "shared_params.response_format_json_schema:JSONSchema",
    "openai_request.FUNCTION": "shared_params.function_definition:FunctionDefinition",
    "openai_request.TOOL": "chat.chat_completion_function_tool_param:ChatCompletionFunctionToolParam",
    "openai_request.NAMED_CHOICE": "chat.chat_completion_named_tool_choice_param:ChatCompletionNamedToolChoiceParam",
    "openai_content.TEXT_PART": "chat.chat_completion_content_part_text_param:ChatCompletionContentPartTextParam",
    "openai_content.IMAGE_PART": "chat.chat_completion_content_part_image_param:ChatCompletionContentPartImageParam",
    "openai_content.IMAGE_URL": "chat.chat_completion_content_part_image_param:ImageURL",
    "openai_content.FILE": "chat.chat_completion_content_part_param:FileFile",
    "openai_content.FILE_PART": "chat.chat_completion_content_part_param:File",
    "openai_content.SYSTEM_MESSAGE": "chat.chat_completion_system_message_param:ChatCompletionSystemMessageParam",
    "openai_content.USER_MESSAGE": "chat.chat_completion_user_message_param:ChatCompletionUserMessageParam",
    "openai_content.ASSISTANT_MESSAGE": f"{_ASSISTANT}:ChatCompletionAssistantMessageParam",
    "openai_content.TOOL_MESSAGE": "chat.chat_completion_tool_message_param:ChatCompletionToolMessageParam",
    "openai_answer.COMPLETION": "chat.chat_completion:ChatCompletion",
    "openai_answer.CHOICE": "chat.chat_completion:Choice",
    "openai_answer.MESSAGE": "chat.chat_completion_message:ChatCompletionMessage",
    "openai_stream.DELTA": "chat.chat_completion_chunk:ChoiceDelta",
    "openai_stream.STREAM_CHOICE": "chat.chat_completion_chunk:Choice",
    "usage.OPENAI_USAGE": "completion_usage:CompletionUsage",
    "usage.PROMPT_DETAILS": "completion_usage:PromptTokensDetails",
    "usage.COMPLETION_DETAILS": "completion_usage:CompletionTokensDetails",
}
OPENAI_TYPES = {
    "openai_content.USER_PARTS": "chat.chat_completion_content_part_param:ChatCompletionContentPartParam",
    "openai_content.ASSISTANT_PARTS": f"{_ASSISTANT}:ContentArrayOfContentPart",
    "openai_request.TOOLS": "chat.chat_completion_tool_union_param:ChatCompletionToolUnionParam",
    "openai_request.CHOICES": "chat.chat_completion_tool_choice_option_param:ChatCompletionToolChoiceOptionParam",
    "openai_request.FORMATS": "chat.completion_create_params:ResponseFormat",
}
ANTHROPIC = {
    "anthropic_request.REQUEST": "message_create_params:MessageCreateParamsStreaming",
    "anthropic_request.METADATA": "metadata_param:MetadataParam",
    "anthropic_request.OUTPUT_CONFIG": "output_config_param:OutputConfigParam",
    "anthropic_request.JSON_FORMAT": "json_output_format_param:JSONOutputFormatParam",
    "anthropic_request.TOOL": "tool_param:ToolParam",
    "anthropic_content.TEXT_BLOCK": "text_block_param:TextBlockParam",
    "anthropic_content.IMAGE_BLOCK": "image_block_param:ImageBlockParam",
    "anthropic_content.BASE64_SOURCE": "base64_image_source_param:Base64ImageSourceParam",
    "anthropic_content.URL_SOURCE": "url_image_source_param:URLImageSourceParam",
    "anthropic_content.DOCUMENT_BLOCK": "document_block_param:DocumentBlockParam",
    "anthropic_content.TOOL_USE_BLOCK": "tool_use_block_param:ToolUseBlockParam",
    "anthropic_content.TOOL_RESULT_BLOCK": "tool_result_block_param:ToolResultBlockParam",
    "anthropic_answer.MESSAGE": "message:Message",
    "anthropic_answer.TEXT_BLOCK": "text_block:TextBlock",
    "anthropic_answer.TOOL_USE_BLOCK": "tool_use_block:ToolUseBlock",
    "anthropic_answer.THINKING_BLOCK": "thinking_block:ThinkingBlock",
    "anthropic_answer.REDACTED_BLOCK": "redacted_thinking_block:RedactedThinkingBlock",
    "anthropic_answer.STOP_DETAILS": "refusal_stop_details:RefusalStopDetails",
    "anthropic_stream.MESSAGE_DELTA": "raw_message_delta_event:Delta",
    "usage.ANTHROPIC_USAGE": "usage:Usage",
    "usage.ANTHROPIC_DETAILS": "output_tokens_details:OutputTokensDetails",
}
ANTHROPIC_TYPES = {
    "anthropic_request.THINKING": "thinking_config_param:ThinkingConfigParam",
    "anthropic_request.CHOICES": "tool_choice_param:ToolChoiceParam",
    "anthropic_content.IMAGE_SOURCES": "image_block_param:Source",
    "anthropic_content.DOCUMENT_SOURCES": "document_block_param:Source",
    "anthropic_content.RESULT_BLOCKS": "tool_result_block_param:Content",
    "anthropic_answer.BLOCKS": "content_block:ContentBlock",
    "anthropic_stream.DELTAS": "raw_content_block_delta:RawContentBlockDelta",
}


def _theirs(library: str, place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(f"{library}.types.{module}"), name)


def _fields(kind: Any) -> set[str]:
    names: set[str] = set()
    for base in kind.__mro__ if hasattr(kind, "model_fields") else (kind,):
        names |= {name for name in getattr(base, "__annotations__", {}) if not name.startswith(("model_", "_"))}
    return names


@pytest.fixture(scope="module")
def openai_library() -> str:
    pytest.importorskip("openai")
    return "openai"


@pytest.fixture(scope="module")
def anthropic_library() -> str:
    pytest.importorskip("anthropic", reason="Anthropic's library is not installed: its fields cannot be compared")
    return "anthropic"


@pytest.mark.parametrize("key", OPENAI)
def test_every_field_of_openai(key: str, openai_library: str) -> None:
    assert _fields(_theirs(openai_library, OPENAI[key])) - TABLES[key].rules.keys() == set()


@pytest.mark.parametrize("key", ANTHROPIC)
def test_every_field_of_anthropic(key: str, anthropic_library: str) -> None:
    assert _fields(_theirs(anthropic_library, ANTHROPIC[key])) - TABLES[key].rules.keys() == set()


def _types(library: str, place: str) -> set[str]:
    """The values of `type` of every object in a union."""

    def walk(kind: Any) -> set[str]:
        if get_origin(kind) in (Union, UnionType) or hasattr(kind, "__metadata__"):
            return {name for part in get_args(kind) for name in walk(part)}
        if hasattr(kind, "model_fields"):
            return set(get_args(kind.model_fields["type"].annotation))
        return set(get_args(get_type_hints(kind).get("type"))) if hasattr(kind, "__annotations__") else set()

    return walk(_theirs(library, place))


@pytest.mark.parametrize("key", OPENAI_TYPES)
def test_every_type_of_openai(key: str, openai_library: str) -> None:
    theirs = _types(openai_library, OPENAI_TYPES[key])
    assert theirs, "the library's types could not be read"
    assert theirs - TABLES[key].rules.keys() == set()


@pytest.mark.parametrize("key", ANTHROPIC_TYPES)
def test_every_type_of_anthropic(key: str, anthropic_library: str) -> None:
    theirs = _types(anthropic_library, ANTHROPIC_TYPES[key])
    assert theirs, "the library's types could not be read"
    assert theirs - TABLES[key].rules.keys() == set()


def test_every_finish_reason_and_effort_of_openai(openai_library: str) -> None:
    reasons = get_args(_theirs(openai_library, "chat.chat_completion:Choice").model_fields["finish_reason"].annotation)
    assert set(reasons) == STOP_OF_FINISH.keys() | {"function_call"}
    efforts = set(get_args(get_args(_theirs(openai_library, "shared.reasoning_effort:ReasoningEffort"))[0]))
    assert efforts == {*EFFORTS, "none", "minimal"}


def test_every_stop_reason_and_error_of_anthropic(anthropic_library: str) -> None:
    reasons = get_args(_theirs(anthropic_library, "stop_reason:StopReason"))
    assert set(reasons) == FINISH_OF_STOP.keys() | {"pause_turn"}
    kinds = get_args(_theirs(anthropic_library, "shared.error_type:ErrorType"))
    others = {"memory_precondition_failed_error", "memory_path_conflict_error", "conflict_error"}  # not of Messages
    assert set(kinds) - others <= {row.anthropic_type for row in ROWS}
