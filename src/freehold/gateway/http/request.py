"""A request as it came: its line, its headers, its body."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import httptools

from freehold.domain.errors import RequestError
from freehold.upstreams.base import Headers

Address = tuple[str, int] | None


class Request:
    """One request. `handler` and `caller` are the application's to set when it has seen the head."""

    __slots__ = ("body", "caller", "client", "handler", "headers", "method", "path", "query", "raw_path", "version")

    def __init__(self, method: bytes, target: bytes, headers: Headers, version: str, client: Address) -> None:
        """Of a parsed head; header names are lower case.

        Raises:
            RequestError: `target` is no URL.
        """
        self.method = method
        self.headers = headers
        self.version = version
        self.client = client
        """Where the caller's end of the connection is."""
        self.body = b""
        self.handler: Any = None
        self.caller: Any = None
        if target[:1] != b"/" or b"#" in target:  # absolute form, `*`, a fragment: rare
            self.raw_path, self.query = _parse(target)
        else:
            self.raw_path, _, self.query = target.partition(b"?")
        self.point_to(self.raw_path)

    def point_to(self, raw_path: bytes) -> None:
        """Let this be the request's path."""
        self.raw_path = raw_path
        path = raw_path.decode("ascii", errors="replace")
        self.path = unquote(path) if "%" in path else path
        """Decoded, for choosing who answers; what goes upstream is `raw_path`."""


def _parse(target: bytes) -> tuple[bytes, bytes]:
    try:
        url = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError as error:
        raise RequestError("The request's target is not a URL.", "Send a path such as /v1/chat/completions.") from error
    return url.path or b"/", url.query or b""
