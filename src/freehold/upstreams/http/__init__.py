"""Providers over HTTP(S): a keep-alive HTTP/1.1 client on httptools that pushes answers, with timeouts and retries.

OpenAI's protocol needs nothing more than this and a key.

Public name: `HttpUpstream`.
"""

from freehold.upstreams.http.upstream import HttpUpstream

__all__ = ["HttpUpstream"]
