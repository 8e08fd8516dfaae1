"""Whose data an exchange is, where the caller did not say by header: read from the request when it is sealed.

OpenAI's `safety_identifier`, or `user`, which it takes the place of; Anthropic's `metadata.user_id`, without the
session that Claude Code appends to it.
"""

from __future__ import annotations

import re

import msgspec

from freehold.domain.traces import Trace

MAX_SUBJECT = 256
"""Characters; a longer name is cut, wherever it comes from."""
_HINT = re.compile(rb'"(?:safety_identifier|user|user_id)"\s*:\s*"')
"""Such a member is there, or text that looks like it. Within text quotes are escaped, so prompts do not match."""
_SESSION = "_session_"


class _Metadata(msgspec.Struct):
    user_id: str | None = None


class _Request(msgspec.Struct):
    safety_identifier: str | None = None
    user: str | None = None


class _Message(msgspec.Struct):
    metadata: _Metadata | None = None


_openai = msgspec.json.Decoder(_Request)
_anthropic = msgspec.json.Decoder(_Message)


def subject_of(trace: Trace) -> str | None:
    """The subject as the caller named it, by header or in the body; None if nobody did. Never raises."""
    if trace.subject:
        return trace.subject[:MAX_SUBJECT]
    if not _HINT.search(trace.request):
        return None
    try:
        if trace.api == "messages":
            metadata = _anthropic.decode(trace.request).metadata
            found = metadata.user_id.partition(_SESSION)[0] if metadata is not None and metadata.user_id else None
        else:
            request = _openai.decode(trace.request)
            found = request.safety_identifier or request.user
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found[:MAX_SUBJECT] if found else None


def with_subject(trace: Trace) -> Trace:
    """The trace with its subject filled in, if its request names one."""
    found = subject_of(trace)
    return trace if found == trace.subject else msgspec.structs.replace(trace, subject=found)
