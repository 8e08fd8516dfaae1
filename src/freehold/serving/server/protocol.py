"""What callers may send, in OpenAI's form; fields that are not here are not looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from freehold.domain.errors import RequestError

Count = Annotated[int, msgspec.Meta(ge=0)]
MOST_ANSWERS = 16
MOST_STOPS = 16
MOST_TOP = 20


class StreamOptions(msgspec.Struct, frozen=True):
    """`stream_options`."""

    include_usage: bool = False


class JsonSchema(msgspec.Struct, frozen=True):
    """`response_format.json_schema`."""

    name: str = ""
    schema_: dict[str, Any] | None = msgspec.field(name="schema", default=None)


class ResponseFormat(msgspec.Struct, frozen=True):
    """`response_format`."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class Common(msgspec.Struct, frozen=True, kw_only=True):
    """What both endpoints take."""

    model: str
    max_tokens: Count | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0.0, le=2.0)] | None = None
    top_p: Annotated[float, msgspec.Meta(gt=0.0, le=1.0)] | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=MOST_ANSWERS)] | None = None
    seed: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    ignore_eos: bool = False
    """Of vLLM: go on after the end, for measurements."""

    @property
    def stops(self) -> tuple[str, ...]:
        """`stop` as a tuple; empty ones are none."""
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(stop for stop in given if stop)


class ChatRequest(Common, frozen=True, kw_only=True):
    """POST /v1/chat/completions."""

    messages: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1)]
    tools: list[dict[str, Any]] | None = None
    max_completion_tokens: Count | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=MOST_TOP)] | None = None
    response_format: ResponseFormat | None = None


class CompletionRequest(Common, frozen=True, kw_only=True):
    """POST /v1/completions."""

    prompt: str | list[Any]
    """A text, tokens, or a list of either."""
    echo: bool | None = None
    logprobs: Annotated[int, msgspec.Meta(ge=0, le=MOST_TOP)] | None = None
    suffix: str | None = None


class LoadAdapter(msgspec.Struct, frozen=True):
    """POST /v1/load_lora_adapter, as vLLM takes it."""

    lora_name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    lora_path: Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
    load_inplace: bool = False


class UnloadAdapter(msgspec.Struct, frozen=True):
    """POST /v1/unload_lora_adapter, as vLLM takes it."""

    lora_name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


_Body = TypeVar("_Body", bound=msgspec.Struct)


def read_body(body: bytes, kind: type[_Body]) -> _Body:
    """A request.

    Raises:
        RequestError: it is no JSON, lacks something, or asks for what this server cannot do.
    """
    try:
        read = msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
        raise RequestError(f"The request cannot be read: {error}.", "Send it in OpenAI's form.") from error
    if isinstance(read, Common):
        _refuse(read)
    return read


def _refuse(request: Common) -> None:
    odd = {"frequency_penalty": request.frequency_penalty, "presence_penalty": request.presence_penalty}
    odd["logit_bias"] = len(request.logit_bias or ())
    if isinstance(request, CompletionRequest):
        odd["suffix"] = len(request.suffix or "")
    for name, value in odd.items():
        if value:
            raise RequestError(f"This server does not know {name}.", "Leave it out.")
    if len(request.stops) > MOST_STOPS:
        raise RequestError(f"There are {len(request.stops)} stop strings; {MOST_STOPS} are allowed.", "Send fewer.")


def schema_of(form: ResponseFormat | None) -> dict[str, Any] | None:
    """The JSON Schema that an answer must keep to; None: there is none.

    Raises:
        RequestError: a schema is announced and not there.
    """
    if form is None or form.type == "text":
        return None
    if form.type == "json_object":
        return {"type": "object"}
    if form.json_schema is None or form.json_schema.schema_ is None:
        raise RequestError("response_format has no json_schema.schema.", "Send one, or use json_object.")
    return form.json_schema.schema_


def plain_messages(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Messages whose contents are texts.

    Raises:
        RequestError: a message has no role, or a part that is no text.
    """
    found: list[dict[str, Any]] = []
    for message in messages:
        if not isinstance(message.get("role"), str):
            raise RequestError("A message has no role.", 'Send {"role": "user", "content": "…"}.')
        content = message.get("content")
        if isinstance(content, list):
            content = "".join(_text(part) for part in content)  # pyright: ignore[reportUnknownVariableType]
        if content is not None and not isinstance(content, str):
            raise RequestError("A message's content is no text.", "Send a string, or parts of type text.")
        found.append({**message, "content": content or ""})
    return found


def _text(part: Any) -> str:
    if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str):  # pyright: ignore[reportUnknownMemberType]
        return part["text"]  # pyright: ignore[reportUnknownVariableType]
    raise RequestError("A message has a part that is no text.", "These models read text only.")


def prompts_of(prompt: str | list[Any]) -> list[str | list[int]]:
    """The prompts of a completion request, each a text or tokens.

    Raises:
        RequestError: they are neither, mixed, or none.
    """
    for kind in (str, list[int], list[str], list[list[int]]):
        try:
            read: Any = msgspec.convert(prompt, kind)
        except msgspec.ValidationError:
            continue
        if not read:
            break
        return read if kind in (list[str], list[list[int]]) else [read]
    raise RequestError("The prompt is empty, or neither text nor tokens.", "Send a string, or a list of strings.")
