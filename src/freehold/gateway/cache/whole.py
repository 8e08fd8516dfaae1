"""Whether an answer is whole, as far as its bytes tell. Read in the cache's own thread, not in a request's path."""

from __future__ import annotations

import re

import msgspec

from freehold.upstreams.base import Headers

# Within JSON a quote inside a string is escaped, so this matches the name of a field only.
_ERROR = re.compile(rb'"error"\s*+:\s*+(?!null)')
_DONE = (b"data: [DONE]", b"data:[DONE]")
_ENDS = (b"message_stop", b"response.completed", b"response.incomplete")
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


def is_whole(headers: Headers, body: bytes) -> bool:
    """Whether the body of an answer of status 200 says all there is to say: a JSON document, or a stream up to its last
    event, without an error in it. Compressed ones cannot be looked into and count as not whole."""
    kind = b""
    for name, value in headers:
        if name == b"content-type":
            kind = value.lower()
        elif name == b"content-encoding" and value.strip().lower() != b"identity":
            return False
    if kind.startswith(b"text/event-stream"):
        return _is_whole_stream(body)
    return kind.startswith(b"application/json") and _is_whole_document(body)


def _is_whole_document(body: bytes) -> bool:
    try:
        error = _fields.decode(body).get("error")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return error is None or bytes(error) == b"null"


def _is_whole_stream(body: bytes) -> bool:
    if not body.endswith((b"\n\n", b"\r\n\r\n", b"\r\r")) or _ERROR.search(body):
        return False
    rest = body.rstrip()
    if rest.endswith(_DONE):
        return True
    _, found, last = b"\n".join((b"", rest)).rpartition(b"\nevent:")  # a line's beginning: within JSON there is none
    return bool(found) and last.lstrip().startswith(_ENDS)
