"""Which paths belong to which protocol: they say what a request speaks."""

from __future__ import annotations

CHAT = b"/chat/completions"
MESSAGES = b"/messages"
FOREIGN: dict[str, tuple[bytes, ...]] = {
    "openai": (MESSAGES,),
    "anthropic": (CHAT, b"/responses", b"/completions", b"/embeddings"),
}
"""Protocol of an upstream → how the paths begin that only the other protocol has."""
