"""A provider for tests: a real HTTP server on loopback that speaks OpenAI's and Anthropic's protocols.

Its model is a script (`script.py`): what it answers shows what of the request arrived. It is deterministic, so that
the same request gives the same bytes, asked directly or through the gateway. It keeps every request as it came.
"""

from .server import Provider, Seen

__all__ = ["Provider", "Seen"]
