"""`POST /v1/feedback`: a later judgement of a trace, kept in the journal."""

from __future__ import annotations

import time
from typing import Annotated

import msgspec

from freehold.domain.errors import RequestError
from freehold.domain.ids import is_id, new_id
from freehold.domain.traces import Feedback
from freehold.gateway.http import Reply, Request
from freehold.gateway.replies import reply_json
from freehold.gateway.runtime import Runtime

MAX_TEXT = 100_000
_Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    trace_id: str
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
        at_ns=time.time_ns(),
        score=given.score,
        label=given.label,
        edit=given.edit,
        comment=given.comment,
        key=request.caller.grant.key_id,
    )
    runtime.journal.append(kept)
    reply_json(reply, 200, {"object": "feedback", "id": kept.feedback_id, "trace_id": kept.trace_id})


def _parse(body: bytes) -> _Body:
    try:
        given = msgspec.json.decode(body, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(
            f"The body is not feedback: {error}.",
            "Send JSON with `trace_id` and at least one of score (0 to 1), label, edit, comment.",
        ) from error
    if not (given.trace_id.startswith("tr_") and is_id(given.trace_id)):
        raise RequestError("`trace_id` is not a trace id.", "Send the x-freehold-trace header of the answer.")
    if given.score is None and given.label is None and given.edit is None and given.comment is None:
        raise RequestError("The feedback says nothing.", "Send at least one of score, label, edit, comment.")
    return given
