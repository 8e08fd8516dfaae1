"""Providers over HTTP(S): a keep-alive HTTP/1.1 client on httptools that pushes answers, balances and tries again.

OpenAI's protocol needs nothing more than this and a key. Public names: `HttpUpstream`, with its `Place`s and `Options`.
"""

from freehold.upstreams.http.upstream import HttpUpstream, Options, Place

__all__ = ["HttpUpstream", "Options", "Place"]
