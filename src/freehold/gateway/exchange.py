"""One exchange while it goes on: what is known so far, and, at its end, its trace."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from freehold.domain.ids import new_id
from freehold.domain.traces import Api, Kind, Linked, Trace
from freehold.gateway.limits.usage import Tokens, tokens_of
from freehold.gateway.runs import Place
from freehold.gateway.telemetry.metrics import Metrics
from freehold.gateway.telemetry.trace_context import SpanContext
from freehold.record import Recorder
from freehold.upstreams.base import Headers

if TYPE_CHECKING:
    from freehold.gateway.telemetry.telemetry import Telemetry

_NO_HEADERS: Headers = []


class Exchange:
    """Gathers the fields of a `Trace`; `finish` records it, once.

    What is in its dictionary is the trace: attributes that a trace has no field for are slots.
    """

    __slots__ = (
        "__dict__",
        "_began",
        "_first_byte",
        "_metrics",
        "_recorder",
        "_telemetry",
        "attempts",
        "finished",
        "more_headers",
        "on_finish",
        "recorded",
        "span",
        "tried",
    )

    # Defaults of the class: most fields of most exchanges keep them, and setting thirty fields costs.
    kind: Kind = "request"
    of: str | None = None
    api: Api = "chat"
    task = ""
    task_name = ""
    fingerprint = ""
    model = ""
    answered_by = ""
    owned = False
    policy = 0
    certificate: str | None = None
    reason = ""
    signal: float | None = None
    novelty: float | None = None
    audit_probability = 0.0
    audited = False
    status = 0
    error: str | None = None
    stream = False
    request = b""
    response = b""
    truncated = False
    episode: str | None = None
    agent: str | None = None
    parent: str | None = None
    linked: Linked = ""
    subject: str | None = None
    cached = False
    key: str | None = None
    """Id of the caller's virtual key."""

    def __init__(
        self,
        recorder: Recorder,
        metrics: Metrics,
        kind: Kind = "request",
        of: str | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._recorder = recorder
        self._metrics = metrics
        self._telemetry = telemetry
        self._first_byte = 0.0
        self.finished = False
        self.recorded = True
        self.attempts: Sequence[str] = ()
        self.tried: Sequence[str] = ()
        """Models of a ladder that were asked in vain."""
        self.on_finish: Callable[[Exchange, Tokens | None], None] | None = None
        """Told what was answered, with its tokens if it says them, before it is recorded; must not raise."""
        self.more_headers = _NO_HEADERS
        """What else the response's head says."""
        self.span: SpanContext | None = None
        """Its place in an OpenTelemetry trace, if it has one."""
        if kind == "request":
            metrics.in_flight += 1
            metrics.pulse.beat()
        else:
            self.kind, self.of = kind, of
        self._began = time.perf_counter()
        self.at_ns = time.time_ns()
        self.trace_id = new_id("tr")

    def began_answering(self) -> None:
        """The first byte of the answer is there."""
        if self.stream and not self._first_byte and self.kind == "request":
            self._metrics.streams += 1
        self._first_byte = time.perf_counter()

    def belongs_to(self, asked: Exchange) -> None:
        """Take over what is the same for a question about `asked`."""
        self.task, self.task_name, self.fingerprint = asked.task, asked.task_name, asked.fingerprint
        self.model, self.policy, self.novelty = (
            asked.model,
            asked.policy,
            asked.novelty if self.kind == "rung" else None,
        )
        self.episode, self.agent, self.parent = asked.episode, asked.agent, asked.trace_id
        self.linked, self.subject = asked.linked, asked.subject
        if asked.span is not None:
            self.span = asked.span.child()

    def take_place(self, place: Place) -> None:
        """Belong where the caller says."""
        self.episode, self.agent, self.parent, self.linked, self.subject = place

    def failed(self, code: str, message: str) -> None:
        """Note what went wrong; the first failure stands."""
        self.error = self.error or f"{code}: {message}"

    def headers(self) -> Headers:
        """The x-freehold-* headers of the response, as far as there is something to say."""
        found: Headers = [(b"x-freehold-policy", b"%d" % self.policy)]
        if self.recorded:
            found.append((b"x-freehold-trace", self.trace_id.encode()))
        if self.task:
            found.append((b"x-freehold-task", (self.task_name or self.task).encode()))
        if self.answered_by:
            found.append((b"x-freehold-answered-by", self.answered_by.encode(errors="replace")))
        if self.certificate is not None:
            found.append((b"x-freehold-certificate", self.certificate.encode()))
        if self.tried:
            found.append((b"x-freehold-tried", ", ".join(self.tried).encode(errors="replace")))
        if self.more_headers:
            found += self.more_headers
        return found

    def finish(self) -> None:
        """Count the exchange and, unless the caller forbade it, record its trace. Does nothing the second time."""
        if self.finished:
            return
        self.finished = True
        tokens = tokens_of(self.response, self.api) if self.status == 200 and not self.cached else None
        if self.on_finish is not None:
            self.on_finish(self, tokens)
        seconds = time.perf_counter() - self._began
        first = self._first_byte - self._began if self._first_byte else 0.0
        telemetry = self._telemetry
        if telemetry is not None and not (telemetry.everything or telemetry.wants(self.status, self.error)):
            telemetry = None
        if self.recorded or telemetry is not None:
            trace = self._trace(seconds, first)
            if self.recorded:
                self._metrics.recorded(self._recorder.record(trace))
            if telemetry is not None:
                telemetry.finished(trace, self.span, recorded=self.recorded, ends=getattr(self.attempts, "ends", ()))
        self._count(seconds, first, tokens)
        self.response = b""  # an audit may hold on to the exchange for a while

    def _count(self, seconds: float, first: float, tokens: Tokens | None) -> None:
        metrics = self._metrics
        if self.kind == "request":
            metrics.in_flight -= 1
            if not self.stream:
                first = 0.0
            elif first:
                metrics.streams -= 1
            metrics.request(
                (self.api, self.model, self.answered_by, self.status, self.reason, self.owned),
                self.error,
                seconds,
                first,
            )
        if self.attempts:
            metrics.tried(self.attempts)
        if tokens is not None:
            metrics.used(self.answered_by, self.owned, *tokens)

    def _trace(self, seconds: float, first: float) -> Trace:
        trace = Trace(first_byte_us=int(first * 1e6), duration_us=int(seconds * 1e6), **self.__dict__)
        if len(self.attempts) < 2 and self.span is None:
            return trace
        return msgspec.structs.replace(
            trace,
            attempts=tuple(self.attempts) if len(self.attempts) > 1 else (),
            traceparent=self.span and f"{self.span.trace_id}-{self.span.span_id}",
        )
