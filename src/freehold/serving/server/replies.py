"""What callers get, in OpenAI's form."""

from __future__ import annotations

import math
from typing import Any

import msgspec
from starlette.responses import Response

from freehold.domain.errors import FreeholdError
from freehold.serving.engine import Running
from freehold.serving.engine.text import Words

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_FLOOR = -9999.0
"""In place of minus infinity, which JSON has no number for; as OpenAI does."""

encode = msgspec.json.Encoder().encode


class Json(Response):
    """A JSON document."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """As msgspec writes it."""
        return encode(content)


def error_document(error: FreeholdError) -> dict[str, Any]:
    """An error as OpenAI shapes it."""
    status = status_of(error)
    kind = _TYPES.get(status) or ("invalid_request_error" if status < 500 else "api_error")
    param = "model" if error.code == "model_not_found" else None
    return {"error": {"message": str(error), "type": kind, "param": param, "code": error.code}}


def error_reply(error: FreeholdError) -> Response:
    """With its own status, and when to ask again if that is known."""
    later = {} if error.retry_after is None else {"retry-after": str(max(1, math.ceil(error.retry_after)))}
    return Json(error_document(error), status_of(error), later)


def status_of(error: FreeholdError) -> int:
    """The error's own; a student that cannot be used is a server that is not available."""
    return 503 if error.code == "student_error" else error.http_status


def finish_of(running: Running) -> str:
    """`finish_reason`; an answer that was cut has `length`, one that failed `error`."""
    return running.finish or "error"


def usage_of(prompt: int, answers: list[Running]) -> dict[str, Any]:
    """`usage`: the prompt counts once, the end of an answer counts as a token that was made."""
    said = sum(len(one.tokens) + (one.finish == "stop") for one in answers)
    shared = max((one.shared for one in answers), default=0)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": said,
        "total_tokens": prompt + said,
        "prompt_tokens_details": {"cached_tokens": shared},
    }


def chat_logprobs(words: Words, one: Running, first: int, last: int, *, whole: bool) -> dict[str, Any]:
    """`logprobs` of the answer's tokens `first` up to `last`; `whole`: with their total, the end's included."""
    content: list[dict[str, Any]] = []
    for place in range(first, last):
        top = [_token(words, *likely) for likely in one.tops[place]] if one.tops else []
        content.append({**_token(words, one.tokens[place], one.logprobs[place]), "top_logprobs": top})
    found: dict[str, Any] = {"content": content, "refusal": None}
    return {**found, "total": max(_FLOOR, one.total)} if whole else found


def _token(words: Words, token: int, logprob: float) -> dict[str, Any]:
    piece = words.piece(token)
    return {"token": piece.decode("utf-8", "replace"), "logprob": max(_FLOOR, logprob), "bytes": list(piece)}


class TextLogprobs:
    """`logprobs` of /v1/completions, token by token."""

    def __init__(self, words: Words, wanted: int) -> None:
        """`wanted`: likeliest tokens beside each."""
        self._words = words
        self._wanted = wanted
        self._offset = 0
        self.tokens: list[str] = []
        self.token_logprobs: list[float | None] = []
        self.top_logprobs: list[dict[str, float] | None] = []
        self.text_offset: list[int] = []

    def add(self, token: int, logprob: float | None, top: list[Any]) -> None:
        """One more token; `logprob`: None for the first of all, which nothing came before."""
        text = self._words.piece(token).decode("utf-8", "replace")
        self.tokens.append(text)
        self.text_offset.append(self._offset)
        self._offset += len(text)
        self.token_logprobs.append(None if logprob is None else max(_FLOOR, logprob))
        if logprob is None or not self._wanted:
            self.top_logprobs.append(None if logprob is None else {text: max(_FLOOR, logprob)})
            return
        best: dict[str, float] = {}
        for other, its in top:
            best.setdefault(self._words.piece(other).decode("utf-8", "replace"), max(_FLOOR, its))
        best.setdefault(text, max(_FLOOR, logprob))
        self.top_logprobs.append(best)

    def document(self, first: int = 0) -> dict[str, Any]:
        """The lists, from token `first` on."""
        return {
            "tokens": self.tokens[first:],
            "token_logprobs": self.token_logprobs[first:],
            "top_logprobs": self.top_logprobs[first:],
            "text_offset": self.text_offset[first:],
        }
