"""OpenAI's and Anthropic's OpenAPI descriptions, as far as we route, derived from their libraries' own types.

Neither provider publishes its description as a package, and the libraries are generated from it: so their types say the
same, in step with the version that is installed.
"""

from __future__ import annotations

from typing import Any

from anthropic.types import Message, MessageTokensCount
from anthropic.types.message_count_tokens_params import MessageCountTokensParams
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from openai.types import Completion, CreateEmbeddingResponse, Model
from openai.types.chat import ChatCompletion
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming as ChatParams
from openai.types.completion_create_params import CompletionCreateParamsNonStreaming as CompletionParams
from openai.types.embedding_create_params import EmbeddingCreateParams
from openai.types.responses import Response
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming as ResponseParams
from pydantic import TypeAdapter

Json = dict[str, Any]
_REF = "#/components/schemas/{model}"
POSTS: dict[str, tuple[Any, Any]] = {
    "/v1/chat/completions": (ChatParams, ChatCompletion),
    "/v1/completions": (CompletionParams, Completion),
    "/v1/embeddings": (EmbeddingCreateParams, CreateEmbeddingResponse),
    "/v1/responses": (ResponseParams, Response),
    "/v1/messages": (MessageCreateParamsNonStreaming, Message),
    "/v1/messages/count_tokens": (MessageCountTokensParams, MessageTokensCount),
}
GETS: dict[str, Any] = {"/v1/models/{name}": Model, "/v1/responses/{name}": Response}


def description() -> Json:
    """The OpenAPI document."""
    schemas: Json = {}
    paths: Json = {}
    for path, (asked, answered) in POSTS.items():
        body = {"required": True, "content": _content(_schema(asked, schemas))}
        paths[path] = {"post": {"requestBody": body, "responses": _responses(_schema(answered, schemas))}}
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    for path, answered in GETS.items():
        paths[path] = {"get": {"parameters": [name], "responses": _responses(_schema(answered, schemas))}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "What the gateway routes", "version": "1"},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _schema(kind: Any, schemas: Json) -> Json:
    found = TypeAdapter(kind).json_schema(ref_template=_REF)
    schemas.update(found.pop("$defs", {}))
    return found


def _content(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _responses(schema: Json) -> Json:
    return {"200": {"description": "answered", "content": _content(schema)}, "default": {"description": "refused"}}
