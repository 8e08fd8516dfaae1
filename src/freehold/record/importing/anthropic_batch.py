"""Anthropic's Message Batches: the requests and the results file, joined by `custom_id`.

Source: Anthropic's API reference, "Message Batches": requests are `{custom_id, params}` (in the body that makes a
batch, below `requests`), results `{custom_id, result: {type: succeeded | errored | canceled | expired, message |
error}}`, as of 2026. What was cancelled or expired was never asked, and is passed over. Results do not say when they
were made.
"""

from __future__ import annotations

from collections.abc import Iterator

from freehold.domain.errors import RowError
from freehold.record.importing.chat import without_secrets
from freehold.record.importing.exchange import Exchange
from freehold.record.importing.format import Format, Read, Shelf
from freehold.record.importing.openai_batch import get_request, put_request
from freehold.record.importing.values import Row, object_of, objects_of, text_of

_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}


def _role(row: Row) -> str | None:
    requests = objects_of(row.get("requests"))
    if requests and "custom_id" in requests[0] and "params" in requests[0]:
        return "inputs"
    if "custom_id" not in row:
        return None
    return "input" if isinstance(row.get("params"), dict) else "result" if isinstance(row.get("result"), dict) else None


def _read(role: str, row: Row, shelf: Shelf) -> Iterator[Read]:
    if role == "inputs":
        for request in objects_of(row["requests"]):
            put_request(shelf, text_of(request, "custom_id"), object_of(request.get("params")))
    elif role == "input":
        put_request(shelf, text_of(row, "custom_id"), row["params"])
    else:
        result = object_of(row["result"])
        if text_of(result, "type") in ("canceled", "expired"):
            return
        yield _exchange(result, get_request(shelf, text_of(row, "custom_id")))


def _exchange(result: Row, params: Row) -> Exchange:
    message = object_of(result.get("message"))
    failure = object_of(result.get("error"))
    failure = object_of(failure.get("error")) or failure
    if not message and not failure:
        raise RowError("Its result holds neither a message nor an error.", "Export the results file as it is.")
    kind = text_of(failure, "type")
    metadata = object_of(params.get("metadata"))
    return Exchange(
        request=without_secrets(params),
        response=message or None,
        api="messages",
        own_id=text_of(message, "id"),
        model=text_of(params, "model"),
        answered=text_of(message, "model"),
        provider="anthropic",
        status=200 if message else _STATUS.get(kind, 500),
        error=None if message else f"batch_failed: {kind or 'unknown'}",
        subject=text_of(metadata, "user_id"),
    )


FORMAT = Format(
    "anthropic-batch", "Anthropic Message Batches (requests and results)", ("inputs", "input", "result"), _role, _read
)
