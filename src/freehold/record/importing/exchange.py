"""What every format is read into, and the trace or judgement that becomes of it.

The id of a trace is a hash: of the id that its source gave it, or else of its content. So a row that comes again, in
another file, another order or years later, has the id that it had. The key it is imported under is part of that, as
one tenant's data is never another's.
"""

from __future__ import annotations

import re
from typing import Any, Protocol

import msgspec

from freehold.domain.chat import ChatRequest
from freehold.domain.errors import RequestError, RowError
from freehold.domain.ids import content_id
from freehold.domain.traces import TASK_APIS, Api, Feedback, Trace
from freehold.record.importing.values import json_bytes
from freehold.upstreams.translate import chat_request

IMPORTED = "imported"
"""The reason of imported traces: no rung and no policy had a part in them."""
UNKNOWN_MODEL = "unknown"
_MAX_ERROR = 300
_MAX_NAME = 128
_LONGEST = 2**53
"""Microseconds: 285 years."""
MAX_BODIES_BYTES = 48 * 1024 * 1024
"""The journal takes records of up to 64 MiB."""
_NOT_IN_NAMES = re.compile(r"[^a-z0-9._-]+")


def _check(*texts: str | None) -> None:
    """Whether these can be written down: half a surrogate pair cannot."""
    try:
        "".join(filter(None, texts)).encode()
    except UnicodeEncodeError as error:
        raise RowError("One of its fields is no text of Unicode.", "Mend its encoding.") from error


class Exchange(msgspec.Struct, kw_only=True):
    """One request and what was answered, as far as its source tells."""

    request: dict[str, Any]
    """The body of a request of `api`."""
    response: dict[str, Any] | None
    """The body of its answer; None: there is none."""
    api: Api = "chat"
    own_id: str = ""
    """What the source calls it, if no other exchange is called so anywhere; empty: it is known by its content."""
    at_ns: int = 0
    """0: the source does not say."""
    model: str = ""
    """The model that was asked for."""
    answered: str = ""
    """The model that answered; empty: the one asked for."""
    provider: str = ""
    """Who the source says answered; empty: it does not."""
    status: int = 200
    error: str | None = None
    stream: bool = False
    cached: bool = False
    task: str = ""
    """The name its callers gave the task."""
    episode: str | None = None
    agent: str | None = None
    parent: str | None = None
    """The own id of the exchange, or the name of the agent, that brought it about."""
    parent_is_agent: bool = False
    subject: str | None = None
    first_byte_us: int = 0
    duration_us: int = 0
    traceparent: str | None = None


class Judgement(msgspec.Struct, kw_only=True):
    """A later judgement of an exchange or of an episode."""

    own_id: str
    about: str = ""
    """The own id of the exchange; empty where an episode is judged, or where `content` says which."""
    exchange: Exchange | None = None
    """The exchange, where it is known by its content."""
    episode: str | None = None
    at_ns: int = 0
    score: float | None = None
    label: str | None = None
    edit: str | None = None
    comment: str | None = None


class Identity(Protocol):
    """What `freehold.route.Identifier` says of a request."""

    @property
    def task(self) -> str:
        """The task's id."""
        ...

    @property
    def name(self) -> str:
        """The name that its callers gave it."""
        ...

    @property
    def fingerprint(self) -> str:
        """See `freehold.domain.fingerprint`."""
        ...


class Identify(Protocol):
    """Says which task a request belongs to, as the gateway would."""

    def __call__(self, request: ChatRequest, name: str, /) -> Identity:
        """`name`: what its callers call it, or empty."""
        ...


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for everything of one import."""

    source: str
    """`Trace.source`: the format's name, or `otlp`."""
    family: str = ""
    """Where own ids come from; empty: as `source`. What was sent by OTLP and then imported is the same twice."""
    upstream: str = ""
    """Who answered, in place of what the source says: an upstream of the settings, whose terms then hold."""
    task: str = ""
    model: str = ""
    """The model asked for, where the source does not say."""
    key: str | None = None
    now_ns: int = 0
    """The time of exchanges whose source does not say when they were."""


class Maker:
    """Makes records of what a format has read."""

    def __init__(self, options: Options, identify: Identify) -> None:
        self._options = options
        self._identify = identify
        self._tenant = (options.key or "").encode()

    def trace(self, exchange: Exchange) -> Trace:
        """The trace of an exchange.

        Raises:
            RowError: it holds what JSON cannot say.
        """
        options = self._options
        model = exchange.model or options.model or UNKNOWN_MODEL
        request, response = self._bodies(exchange, model)
        task = self._task(exchange, request)
        made = Trace(
            trace_id=self._id(exchange, request, response),
            at_ns=exchange.at_ns or options.now_ns,
            api=exchange.api,
            task=task.task if task else "",
            task_name=task.name if task else "",
            fingerprint=task.fingerprint if task else "",
            model=model,
            answered_by=self._answered_by(exchange, model) if exchange.response is not None else "",
            reason=IMPORTED,
            status=exchange.status if 100 <= exchange.status < 600 else 500,
            error=exchange.error and exchange.error[:_MAX_ERROR],
            stream=False,
            request=request,
            response=response,
            first_byte_us=min(max(exchange.first_byte_us, 0), _LONGEST),
            duration_us=min(max(exchange.duration_us, 0), _LONGEST),
            cached=exchange.cached,
            key=options.key,
            episode=exchange.episode or None,
            agent=exchange.agent or None,
            parent=self._parent(exchange),
            subject=exchange.subject or None,
            source=options.source,
            traceparent=exchange.traceparent,
        )
        _check(made.model, made.answered_by, made.error, made.episode, made.agent, made.parent, made.subject)
        return made

    def feedback(self, judgement: Judgement) -> Feedback:
        """The record of a judgement.

        Raises:
            RowError: its exchange holds what JSON cannot say.
        """
        about = judgement.exchange
        trace_id = self._own_id(judgement.about) if judgement.about else ""
        if about is not None:
            bodies = self._bodies(about, about.model or self._options.model or UNKNOWN_MODEL)
            trace_id = self._id(about, *bodies)
        _check(judgement.own_id, judgement.episode, judgement.label, judgement.edit, judgement.comment)
        return Feedback(
            feedback_id=content_id("fb", self._family, self._tenant, judgement.own_id.encode(), trace_id.encode()),
            trace_id=trace_id,
            episode=None if trace_id else judgement.episode,
            at_ns=judgement.at_ns or self._options.now_ns,
            score=judgement.score,
            label=judgement.label,
            edit=judgement.edit,
            comment=judgement.comment,
            key=self._options.key,
        )

    @property
    def _family(self) -> bytes:
        return (self._options.family or self._options.source).encode()

    def _bodies(self, exchange: Exchange, model: str) -> tuple[bytes, bytes]:
        asked = exchange.request if exchange.request.get("model") else {**exchange.request, "model": model}
        request, response = json_bytes(asked), b"" if exchange.response is None else json_bytes(exchange.response)
        if len(request) + len(response) > MAX_BODIES_BYTES:
            raise RowError(f"Its exchange is longer than {MAX_BODIES_BYTES >> 20} MiB.", "Leave it out.")
        return request, response

    def _id(self, exchange: Exchange, request: bytes, response: bytes) -> str:
        if exchange.own_id:
            return self._own_id(exchange.own_id)
        return content_id("tr", b"content", self._tenant, str(exchange.at_ns).encode(), request, response)

    def _own_id(self, own: str) -> str:
        return content_id("tr", b"own", self._family, self._tenant, own.encode(errors="surrogatepass"))

    def _parent(self, exchange: Exchange) -> str | None:
        if not exchange.parent:
            return None
        return exchange.parent if exchange.parent_is_agent else self._own_id(exchange.parent)

    def _answered_by(self, exchange: Exchange, model: str) -> str:
        named = _NOT_IN_NAMES.sub("-", exchange.provider.lower()).strip("-")
        return f"{self._options.upstream or named or IMPORTED}/{exchange.answered or model}"

    def _task(self, exchange: Exchange, request: bytes) -> Identity | None:
        if exchange.api not in TASK_APIS:
            return None
        named = " ".join((self._options.task or exchange.task).split())[:_MAX_NAME]
        try:
            return self._identify(chat_request(request, exchange.api), named if named.isprintable() else "")
        except RequestError:  # recorded all the same, as the gateway does with what it cannot read
            return None
