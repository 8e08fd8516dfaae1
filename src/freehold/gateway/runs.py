"""Which agent's run a request belongs to, as far as its head says: in headers, or by an agent's own base URL.

The base URL is `/r/{run}/{agent}/{parent}/v1`, for agents of which nothing else can be set. Below it everything is as
below `/v1`, the key's check included; only what comes after it is routed and goes upstream.

Claude Code names its session, its sub-agents and their parents in headers (its documentation's gateway protocol
reference: `x-claude-code-session-id`, `-agent-id`, `-parent-agent-id`). W3C Trace Context counts last: a trace may be
of more than an agent's run.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from freehold.domain.episodes import LONGEST_NAME, is_name
from freehold.domain.errors import NotFound, RequestError
from freehold.domain.traces import Linked
from freehold.gateway.http import Request
from freehold.gateway.telemetry.trace_context import said_parent
from freehold.upstreams.base import Headers

RUNS = b"/r/"
NOBODY = "-"
"""In place of an agent or a parent: none."""
CLAUDE_CODE = (b"x-claude-code-session-id", b"x-claude-code-agent-id", b"x-claude-code-parent-agent-id")
TOLD = frozenset((*CLAUDE_CODE, b"traceparent"))
"""Headers that are others' and say something of runs; they go upstream as they came."""
_DOTS = frozenset((".", ".."))


class Place(NamedTuple):
    """Fields of a trace."""

    episode: str | None = None
    agent: str | None = None
    parent: str | None = None
    linked: Linked = ""
    subject: str | None = None


def take_run(request: Request) -> Place:
    """Read the run off a request's path, and leave of the path what is below it.

    Raises:
        NotFound: the path is none below such a base URL.
        RequestError: a name in it is none.
    """
    # Undecoded: a slash that is escaped is part of a name, and of nothing that is routed.
    names, found, rest = request.raw_path[len(RUNS) :].partition(b"/v1/")
    parts = names.split(b"/")
    if not found or len(parts) != 3:
        raise NotFound("This is no base URL of an agent.", "It is /r/RUN/AGENT/PARENT/v1; AGENT and PARENT may be `-`.")
    run, agent, parent = (_name(part) for part in parts)
    if run is None:
        raise RequestError("A base URL below /r names no run.", "Put its name in place of the first `-`.")
    request.point_to(b"/v1/" + rest)
    return Place(run, agent, parent, "url")


def placed(own: dict[str, str], other: Place | None) -> Place:
    """What headers of ours say (fields of `Place` by name), and for the rest what is said elsewhere.

    An episode that they name is no other's: then only a base URL may still say which agent it is.
    """
    if "episode" not in own:
        return (other or Place())._replace(**own)
    base = other if other is not None and other.linked == "url" else Place()
    return base._replace(**own, linked="header")


def told(headers: Headers) -> Place | None:
    """What headers in `TOLD` say; what is no name counts as not said, since they are not meant for us."""
    names = {name: value.decode("ascii", errors="replace").strip() for name, value in headers}
    session, agent, parent = (names.get(name, "") for name in CLAUDE_CODE)
    if is_name(session):
        return Place(session, agent if is_name(agent) else None, parent if is_name(parent) else None, "session")
    span = said_parent(headers)
    return None if span is None else Place(span[0], None, span[1], "traceparent")


def _name(part: bytes) -> str | None:
    name = unquote_to_bytes(part).decode("ascii", errors="replace")
    if not is_name(name) or name in _DOTS:
        raise RequestError(
            "A base URL below /r has a part that is no name.",
            f"Use 1 to {LONGEST_NAME} visible ASCII characters, percent-encoded where a URL needs it, or `-`.",
        )
    return None if name == NOBODY else name
