"""Which agent run an exchange belongs to, where its body says so: the session that a harness names, a conversation.

What is read, as of November 2026:
- Claude Code's `metadata.user_id` of a Messages request: `user_…_account_…_session_UUID`, since version 2.1.78 JSON
  with a `session_id` (its gateway protocol's header, x-claude-code-session-id, is read by the gateway).
- `conversation` of OpenAI's Responses API: an id, or an object with one.

`previous_response_id` names another exchange, not the run: see `freehold.record.episodes.chains`. `prompt_cache_key`,
`safety_identifier` and `user` say nothing of runs: OpenAI documents them for its cache and for abuse, and one of them
may be shared by all of a product's traffic.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from freehold.domain.episodes import is_name
from freehold.domain.traces import Linked, Trace

_SESSION = "_session_"
_T = TypeVar("_T")


class _Metadata(msgspec.Struct):
    user_id: str | None = None


class _Message(msgspec.Struct):
    metadata: _Metadata | None = None


class _User(msgspec.Struct):
    session_id: str = ""


class _Conversation(msgspec.Struct):
    id: str = ""


class _Response(msgspec.Struct):
    conversation: str | _Conversation | None = None


_message = msgspec.json.Decoder(_Message)
_user = msgspec.json.Decoder(_User)
_response = msgspec.json.Decoder(_Response)


def placed(trace: Trace) -> Trace:
    """The trace with the episode that its request's body names; as it is if its head named one, or its body does not.

    A trace of W3C Trace Context may be of more than an agent's run, so it counts less than what the body says.
    """
    if trace.episode is not None and trace.linked != "traceparent":
        return trace
    # Looking for a few bytes is cheap; most requests hold none of them and are not decoded.
    if trace.api == "messages" and b"session_" in trace.request:
        return _in(trace, _session(trace.request), "session")
    if trace.api == "responses" and b'"conversation"' in trace.request:
        return _in(trace, _conversation(trace.request), "conversation")
    return trace


def _session(request: bytes) -> str:
    message = _decoded(request, _message)
    user = (message and message.metadata and message.metadata.user_id) or ""
    if user.startswith("{"):
        told = _decoded(user.encode(), _user)
        return told.session_id if told is not None else ""
    return user.rpartition(_SESSION)[2] if _SESSION in user else ""


def _conversation(request: bytes) -> str:
    response = _decoded(request, _response)
    found = response.conversation if response is not None else None
    return found.id if isinstance(found, _Conversation) else found or ""


def _in(trace: Trace, episode: str, linked: Linked) -> Trace:
    if not is_name(episode):
        return trace
    parent = None if trace.linked == "traceparent" else trace.parent  # a span says nothing within a session
    return msgspec.structs.replace(trace, episode=episode, linked=linked, parent=parent)


def _decoded(data: bytes, decoder: msgspec.json.Decoder[_T]) -> _T | None:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
