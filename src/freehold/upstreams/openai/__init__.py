"""The OpenAI protocol over HTTP(S): a keep-alive HTTP/1.1 client on httptools, with timeouts and retries.

Public name: `OpenAIUpstream`.
"""

from freehold.upstreams.openai.upstream import OpenAIUpstream

__all__ = ["OpenAIUpstream"]
