"""`POST /v1/feedback`: a later judgement of a trace, or of an episode and so of its steps, kept in the journal."""

from __future__ import annotations

import time
from typing import Annotated

import msgspec

from freehold.domain.episodes import is_name
from freehold.domain.errors import RequestError
from freehold.domain.ids import is_id, new_id
from freehold.domain.traces import Feedback
from freehold.gateway.http import Reply, Request
from freehold.gateway.replies import reply_json
from freehold.gateway.runtime import Runtime

MAX_TEXT = 100_000
_Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    trace_id: str = ""
    episode: str | None = None
    score: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] | None = None
    label: _Text | None = None
    edit: _Text | None = None
    comment: _Text | None = None


def feedback(runtime: Runtime, request: Request, reply: Reply) -> None:
    """Keep the feedback, then say so.

    Raises:
        RequestError: the body is not feedback.
        StoreError: it could not be kept.
    """
    given = _parse(request.body)
    kept = Feedback(
        feedback_id=new_id("fb"),
        trace_id=given.trace_id,
        episode=given.episode,
        at_ns=time.time_ns(),
        score=given.score,
        label=given.label,
        edit=given.edit,
        comment=given.comment,
        key=request.caller.grant.key_id,
    )
    runtime.journal.append(kept)
    about = {"episode": kept.episode} if kept.episode is not None else {"trace_id": kept.trace_id}
    reply_json(reply, 200, {"object": "feedback", "id": kept.feedback_id, **about})


def _parse(body: bytes) -> _Body:
    try:
        given = msgspec.json.decode(body, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(
            f"The body is not feedback: {error}.",
            "Send JSON with `trace_id` or `episode`, and at least one of score (0 to 1), label, edit, comment.",
        ) from error
    if given.episode is not None:
        _check_episode(given)
    elif not (given.trace_id.startswith("tr_") and is_id(given.trace_id)):
        raise RequestError("`trace_id` is not a trace id.", "Send the x-freehold-trace header of the answer.")
    if given.score is None and given.label is None and given.edit is None and given.comment is None:
        raise RequestError("The feedback says nothing.", "Send at least one of score, label, edit, comment.")
    return given


def _check_episode(given: _Body) -> None:
    if given.trace_id:
        raise RequestError("Feedback is about a trace or an episode.", "Send `trace_id` or `episode`, not both.")
    if not is_name(given.episode or ""):
        raise RequestError(
            "`episode` is not the name of an episode.", "Send the x-freehold-episode header of its requests."
        )
