"""Completions, embeddings, models, files and audio; and an endpoint that nobody knows, which tells what it got."""

from __future__ import annotations

import base64
import struct
from email import message_from_bytes
from typing import Any

from .script import CREATED, IN_TOKENS, OUT_TOKENS, Refused, digest, number_of, object_of, pieces, text_of

Json = dict[str, Any]
MODELS = ("gpt-test", "text-test", "claude-test")
FILE = "file-1"


def completion(body: Json) -> tuple[Json, list[Json | str]]:
    """The retired completions: the answer whole and as events.

    Raises:
        Refused: the request is none.
    """
    model, prompt = text_of(body.get("model"), "model"), text_of(body.get("prompt"), "prompt")
    number = number_of(body.get("n") or 1, "n")
    head = {"id": "cmpl-1", "object": "text_completion", "created": CREATED, "model": model}
    text = f"{prompt if body.get('echo') else ''} …und weiter 👋"
    usage = {
        "prompt_tokens": IN_TOKENS,
        "completion_tokens": OUT_TOKENS,
        "total_tokens": IN_TOKENS + OUT_TOKENS,
    }

    def choice(index: int, part: str, finish: str | None) -> Json:
        return {"index": index, "text": part, "logprobs": None, "finish_reason": finish}

    events: list[Json | str] = []
    for index in range(number):
        events += [{**head, "choices": [choice(index, piece, None)]} for piece in pieces(text)]
        events.append({**head, "choices": [choice(index, "", "stop")]})
    if object_of(body.get("stream_options") or {}, "stream_options").get("include_usage") is True:
        events.append({**head, "choices": [], "usage": usage})
    choices = [choice(index, text, "stop") for index in range(number)]
    return {**head, "choices": choices, "usage": usage}, [*events, "[DONE]"]


def embeddings(body: Json) -> Json:
    """One vector per text: its length, and ordinals of its first letters.

    Raises:
        Refused: the request is none.
    """
    model, given = text_of(body.get("model"), "model"), body.get("input")
    inputs = given if isinstance(given, list) else [given]
    if not inputs:
        raise Refused(400, "input must not be empty.", "input")
    rows: list[Json] = []
    for index, given_text in enumerate(inputs):
        text = text_of(given_text, "input")
        values = [float(len(text)), *(float(ord(letter)) for letter in text[:3])]
        packed = base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
        vector = packed if body.get("encoding_format") == "base64" else values
        rows.append({"object": "embedding", "index": index, "embedding": vector})
    usage = {"prompt_tokens": IN_TOKENS, "total_tokens": IN_TOKENS}
    return {"object": "list", "data": rows, "model": model, "usage": usage}


def models() -> Json:
    """The list of models."""
    return {"object": "list", "data": [_model(name) for name in MODELS]}


def model(name: str) -> Json:
    """One of them.

    Raises:
        Refused: there is none of that name.
    """
    if name not in MODELS:
        raise Refused(404, f"The model {name!r} does not exist.", "model")
    return _model(name)


def uploaded(content_type: str, body: bytes) -> Json:
    """The file of an upload; its name and size are those that came.

    Raises:
        Refused: it is no multipart form with a file and a purpose.
    """
    fields = form(content_type, body)
    if "file" not in fields or "purpose" not in fields:
        raise Refused(400, "Send a file and its purpose.", "file")
    name, data = fields["file"]
    return {**file_object(), "filename": name, "bytes": len(data), "purpose": fields["purpose"][1].decode()}


def file_object() -> Json:
    """A file that is there."""
    head = {"id": FILE, "object": "file", "bytes": 4, "created_at": CREATED, "filename": "a.jsonl"}
    return {**head, "purpose": "batch", "status": "processed", "expires_at": None}


def transcription(content_type: str, body: bytes) -> Json:
    """Says which sound came.

    Raises:
        Refused: it is no multipart form with a file and a model.
    """
    fields = form(content_type, body)
    if "file" not in fields or "model" not in fields:
        raise Refused(400, "Send a file and a model.", "file")
    return {"text": f"{fields['file'][0]} {digest(fields['file'][1])}"}


def form(content_type: str, body: bytes) -> dict[str, tuple[str, bytes]]:
    """The fields of a multipart form: field → file name and content."""
    parsed = message_from_bytes(b"content-type: " + content_type.encode("latin-1") + b"\r\n\r\n" + body)
    found: dict[str, tuple[str, bytes]] = {}
    for part in parsed.get_payload() if parsed.is_multipart() else ():
        name = part.get_param("name", header="content-disposition")  # type: ignore[union-attr]
        data = part.get_payload(decode=True)  # type: ignore[union-attr]
        if isinstance(name, str) and isinstance(data, bytes):
            found[name] = (part.get_filename() or "", data)  # type: ignore[union-attr]
    return found


def _model(name: str) -> Json:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "provider"}
