"""Error envelopes: status, type and code of one protocol as the other's."""

from __future__ import annotations

import msgspec

from freehold.upstreams.translate.rules import Out

_SHOWN = 500
"""Characters of a body that is no envelope (a proxy's page, say) that are passed on."""


class Row(msgspec.Struct, frozen=True):
    """One kind of error as both protocols say it."""

    anthropic_status: int
    anthropic_type: str
    openai_status: int
    openai_type: str
    openai_code: str | None


ROWS = (
    Row(400, "invalid_request_error", 400, "invalid_request_error", None),
    Row(401, "authentication_error", 401, "authentication_error", "invalid_api_key"),
    Row(429, "rate_limit_error", 429, "rate_limit_error", "rate_limit_exceeded"),
    Row(402, "billing_error", 429, "insufficient_quota", "insufficient_quota"),
    Row(403, "permission_error", 403, "permission_error", None),
    Row(404, "not_found_error", 404, "not_found_error", "not_found"),
    Row(413, "request_too_large", 413, "request_too_large", "request_too_large"),
    Row(500, "api_error", 500, "server_error", None),
    Row(504, "timeout_error", 504, "timeout_error", "timeout"),
    Row(529, "overloaded_error", 503, "overloaded_error", "overloaded"),
)
"""Where several rows share a status or a type, the first counts. Other statuses travel as they are."""

_OTHER_CLIENT = next(row for row in ROWS if row.anthropic_status == 400)
_OTHER_SERVER = next(row for row in ROWS if row.anthropic_status == 500)


class TranslatedError(msgspec.Struct, frozen=True, kw_only=True):
    """An error in the other protocol."""

    status: int
    body: bytes


class _Error(msgspec.Struct):
    message: str = ""
    type: str | None = None
    code: str | int | None = None


class _Envelope(msgspec.Struct):
    error: _Error | str


_decoder = msgspec.json.Decoder(_Envelope)


def error_to_openai(status: int, body: bytes) -> TranslatedError:
    """Anthropic's error (any body with an error status) as OpenAI's."""
    found = _read(status, body)
    row = next((row for row in ROWS if row.anthropic_type == found.type), None)
    row = row or next((row for row in ROWS if row.anthropic_status == status), None)
    known = row is not None and status == row.anthropic_status
    row = row or _by_class(status)
    return TranslatedError(
        status=row.openai_status if known else status, body=msgspec.json.encode(openai_envelope(row, found.message))
    )


def error_to_anthropic(status: int, body: bytes) -> TranslatedError:
    """OpenAI's error (any body with an error status) as Anthropic's."""
    found = _read(status, body)
    row = _row_of_openai(status, found)
    known = row is not None and status == row.openai_status
    row = row or _by_class(status)
    return TranslatedError(
        status=row.anthropic_status if known else status,
        body=msgspec.json.encode(anthropic_envelope(row, found.message)),
    )


def event_to_openai(data: bytes) -> Out:
    """Anthropic's `error` event as OpenAI's."""
    found = _read(500, data)
    row = next((row for row in ROWS if row.anthropic_type == found.type), _OTHER_SERVER)
    return openai_envelope(row, found.message)


def event_to_anthropic(data: bytes) -> Out:
    """OpenAI's error in a stream as Anthropic's `error` event."""
    found = _read(500, data)
    return anthropic_envelope(_row_of_openai(None, found) or _OTHER_SERVER, found.message)


def openai_envelope(row: Row, message: str) -> Out:
    """OpenAI's envelope."""
    return {"error": {"message": message, "type": row.openai_type, "param": None, "code": row.openai_code}}


def anthropic_envelope(row: Row, message: str) -> Out:
    """Anthropic's envelope."""
    return {"type": "error", "error": {"type": row.anthropic_type, "message": message}}


def _row_of_openai(status: int | None, found: _Error) -> Row | None:
    """By code, then status, then type: OpenAI's own types say less than its statuses."""
    by_code = [row for row in ROWS if found.code is not None and row.openai_code == found.code]
    by_status = [row for row in ROWS if row.openai_status == status]
    by_type = [row for row in ROWS if status is None and row.openai_type == found.type]
    return next(iter((*by_code, *by_status, *by_type)), None)


def _by_class(status: int) -> Row:
    return _OTHER_CLIENT if status < 500 else _OTHER_SERVER


def _read(status: int, body: bytes) -> _Error:
    try:
        found = _decoder.decode(body).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        shown = " ".join(body.decode(errors="replace").split())[:_SHOWN]
        return _Error(message=f"The upstream answered {status}" + (f": {shown}" if shown else "."))
    return _Error(message=found) if isinstance(found, str) else found
