"""One exchange while it goes on: what is known so far, and, at its end, its trace."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from freehold.domain.ids import new_id
from freehold.domain.traces import Api, Kind, Trace
from freehold.gateway.metrics import Metrics
from freehold.gateway.telemetry.trace_context import SpanContext
from freehold.gateway.usage import Tokens, tokens_of
from freehold.record import Recorder
from freehold.upstreams.base import Headers

if TYPE_CHECKING:
    from freehold.gateway.telemetry.telemetry import Telemetry


class Exchange:
    """Gathers the fields of a `Trace`; `finish` records it, once."""

    # Defaults of the class: most fields of most exchanges keep them, and setting thirty fields costs.
    api: Api = "chat"
    recorded = True
    finished = False
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
    parent: str | None = None
    attempts: Sequence[str] = ()
    tried: Sequence[str] = ()
    """Models of a ladder that were asked in vain."""
    cached = False
    key: str | None = None
    """Id of the caller's virtual key."""
    on_finish: Callable[[Exchange, Tokens | None], None] | None = None
    """Told what was answered, with its tokens if it says them, before it is recorded; must not raise."""
    more_headers: Headers = []  # noqa: RUF012 - never changed, only replaced
    """What else the response's head says."""
    span: SpanContext | None = None
    """Its place in an OpenTelemetry trace, if it has one."""
    _first_byte = 0.0

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
        if kind == "request":
            metrics.in_flight += 1
        self._began = time.perf_counter()
        self.trace_id = new_id("tr")
        self.at_ns = time.time_ns()
        self.kind: Kind = kind
        self.of = of

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
        self.episode, self.parent = asked.episode, asked.trace_id
        if asked.span is not None:
            self.span = asked.span.child()

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
        telemetry = self._telemetry
        if telemetry is not None and not telemetry.wants(self.status, self.error):
            telemetry = None
        if self.recorded or telemetry is not None:
            trace = self._trace(seconds)
            if self.recorded:
                self._metrics.recorded(self._recorder.record(trace))
            if telemetry is not None:
                telemetry.finished(trace, self.span, recorded=self.recorded, ends=getattr(self.attempts, "ends", ()))
        self._count(seconds, tokens)
        self.response = b""  # an audit may hold on to the exchange for a while

    def _count(self, seconds: float, tokens: Tokens | None) -> None:
        metrics = self._metrics
        if self.kind == "request":
            metrics.in_flight -= 1
            first = 0.0
            if self.stream and self._first_byte:
                metrics.streams -= 1
                first = self._first_byte - self._began
            metrics.request(
                self.reason,
                self.status,
                self.error,
                seconds,
                owned=self.owned,
                api=self.api,
                model=self.model,
                answered_by=self.answered_by,
                first_byte=first,
            )
        if self.attempts:
            metrics.tried(self.attempts)
        if tokens is not None:
            metrics.used(self.answered_by, self.owned, *tokens)

    def _trace(self, seconds: float) -> Trace:
        first = self._first_byte - self._began if self._first_byte else 0.0
        trace = Trace(
            trace_id=self.trace_id,
            at_ns=self.at_ns,
            api=self.api,
            task=self.task,
            task_name=self.task_name,
            fingerprint=self.fingerprint,
            model=self.model,
            answered_by=self.answered_by,
            policy=self.policy,
            reason=self.reason,
            signal=self.signal,
            novelty=self.novelty,
            audit_probability=self.audit_probability,
            status=self.status,
            error=self.error,
            stream=self.stream,
            request=self.request,
            response=self.response,
            truncated=self.truncated,
            first_byte_us=int(first * 1e6),
            duration_us=int(seconds * 1e6),
            attempts=tuple(self.attempts) if len(self.attempts) > 1 else (),
            key=self.key,
            traceparent=self.span and f"{self.span.trace_id}-{self.span.span_id}",
        )
        if (
            self.certificate is None
            and self.of is None
            and self.episode is None
            and self.parent is None
            and not self.cached
            and not self.owned
        ):
            return trace
        return self._with_rest(trace)

    def _with_rest(self, trace: Trace) -> Trace:
        """The fields that most exchanges leave at their defaults, kept out of the way of those."""
        return msgspec.structs.replace(
            trace,
            kind=self.kind,
            of=self.of,
            owned=self.owned,
            certificate=self.certificate,
            audited=self.audited,
            cached=self.cached,
            episode=self.episode,
            parent=self.parent,
        )
