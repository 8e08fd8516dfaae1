"""The table of clients: what each has, where its requests arrive, and how it is made. Nothing is imported before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .cases import BOTH, CHAT, EXPECTED, MESSAGES, RESPONSES, Client

Fixture = Callable[[str], Any]
Make = Callable[[str, Fixture], Client]
"""(the gateway's address, fixtures by name) → the client."""


@dataclass(frozen=True)
class Row:
    """One client over one protocol."""

    name: str
    path: str
    """Where the provider must see its requests."""
    features: frozenset[str]
    """Those of EXPECTED that the client has."""
    make: Make
    silent: frozenset[str] = frozenset()
    """What its outcomes cannot say: `finish`, `usage`, …"""
    not_streamed: frozenset[str] = frozenset()
    """Features that the client has, but loses when it puts a stream together."""
    errors: frozenset[str] = frozenset({"classes", "status", "retry_after"})
    """What its errors say, beside the message."""

    def streams(self, feature: str) -> tuple[bool, ...]:
        """Asked for whole, and, where the client can, as a stream."""
        return (False,) if feature in self.not_streamed else (False, True)

    def expected(self, feature: str) -> dict[str, Any]:
        """What must come of `feature`."""
        return {key: value for key, value in EXPECTED[feature].items() if key not in self.silent}


def _openai(kind: str, *model: str) -> Make:
    def make(url: str, fixture: Fixture) -> Client:
        from . import openai_python

        return getattr(openai_python, kind)(url, *model)

    return make


def _anthropic(kind: str, *model: str) -> Make:
    def make(url: str, fixture: Fixture) -> Client:
        from . import anthropic_python

        return getattr(anthropic_python, kind)(url, *model)

    return make


def _langchain(kind: str) -> Make:
    def make(url: str, fixture: Fixture) -> Client:
        from .langchain import LangChain

        return LangChain(url, kind)

    return make


def _llm(url: str, fixture: Fixture) -> Client:
    from .commands import Llm

    return Llm(url, fixture("tmp_path_factory").mktemp("llm"))


def _curl(url: str, fixture: Fixture) -> Client:
    from .commands import Curl

    return Curl(url)


def _child(process: str, name: str) -> Make:
    def make(url: str, fixture: Fixture) -> Client:
        from .process import Remote

        return Remote(fixture(process), name)

    return make


_CHAT, _RESPONSES, _MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
_FINISH = frozenset({"finish"})
_VERCEL = CHAT - {"audio", "several"}
_LANGCHAIN = frozenset({"text", "tool", "tools", "results", "structured", "image"})
_COMMAND = frozenset({"text", "structured", "image"})

OPENAI = (
    Row("openai-python-chat", _CHAT, CHAT, _openai("Chat")),
    Row("openai-python-async-chat", _CHAT, CHAT, _openai("AsyncChat")),
    Row("openai-python-responses", _RESPONSES, RESPONSES, _openai("Responses"), silent=_FINISH),
    Row("openai-node-chat", _CHAT, CHAT, _child("node", "openai-chat")),
    Row("openai-node-responses", _RESPONSES, RESPONSES, _child("node", "openai-responses"), silent=_FINISH),
    Row("vercel-chat", _CHAT, _VERCEL, _child("node", "vercel-chat")),
    Row("vercel-responses", _RESPONSES, RESPONSES, _child("node", "vercel-responses")),
    Row("langchain-chat", _CHAT, _LANGCHAIN, _langchain("chat")),
    Row("langchain-responses", _RESPONSES, _LANGCHAIN, _langchain("responses"), silent=_FINISH),
    Row(
        "litellm-chat", _CHAT, CHAT, _child("litellm_process", "chat"), not_streamed=frozenset({"logprobs", "several"})
    ),
    Row("llm", _CHAT, _COMMAND, _llm, silent=frozenset({"finish", "usage"}), errors=frozenset()),
    Row(
        "curl",
        _CHAT,
        frozenset({"text", "tool", "several"}),
        _curl,
        silent=_FINISH,
        errors=frozenset({"status", "retry_after"}),
    ),
)
"""Clients of OpenAI's protocols with a model that an OpenAI upstream serves."""

ANTHROPIC = (
    Row("anthropic-python", _MESSAGES, MESSAGES, _anthropic("Messages")),
    Row("anthropic-python-async", _MESSAGES, MESSAGES, _anthropic("AsyncMessages")),
    Row("vercel-messages", _MESSAGES, MESSAGES, _child("node", "vercel-messages")),
    Row("langchain-messages", _MESSAGES, _LANGCHAIN, _langchain("messages")),
    Row("litellm-messages", _MESSAGES, BOTH, _child("litellm_process", "messages")),
)
"""Clients of Anthropic's protocol with a model that an Anthropic upstream serves."""

TRANSLATED = (
    Row("openai-python-to-anthropic", _MESSAGES, BOTH, _openai("Chat", "claude-test")),
    Row("openai-node-to-anthropic", _MESSAGES, BOTH, _child("node", "openai-chat-claude")),
    Row("anthropic-python-to-openai", _CHAT, BOTH, _anthropic("Messages", "gpt-test")),
    Row("vercel-messages-to-openai", _CHAT, BOTH, _child("node", "vercel-messages-gpt")),
)
"""Clients of one protocol with a model that an upstream of the other serves."""
