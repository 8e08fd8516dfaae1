"""Finished exchanges become OpenTelemetry spans and leave over OTLP/HTTP. All of it happens in a thread of its own."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from freehold import __version__
from freehold.domain.errors import ConfigError
from freehold.domain.traces import Trace
from freehold.gateway.telemetry import genai
from freehold.gateway.telemetry.trace_context import SpanContext
from freehold.record.answers import read_answer

if TYPE_CHECKING:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import ReadableSpan

MAX_CONTENT_BYTES = 256_000
"""Of a prompt and an answer together, above which a span goes without them."""

_log = structlog.get_logger()


class TimedAttempts(list[str]):
    """Takes the place of a request's list of tries, and notes when each of them ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[int] = []
        """Unix nanoseconds."""

    def append(self, attempt: str) -> None:
        """Note one try's outcome, and the time."""
        super().append(attempt)
        self.ends.append(time.time_ns())


class FinishedSpan(NamedTuple):
    """An exchange that has ended, and its place in a trace."""

    trace: Trace
    span: SpanContext
    recorded: bool
    """False: the caller asked not to record, so no content leaves either."""
    ends: Sequence[int] = ()
    """When each of `trace.attempts` ended: see `TimedAttempts`."""


class SpanExporter:
    """Call `export` with batches, from one thread."""

    def __init__(self, endpoint: str, worker: str, *, content: bool, providers: Mapping[str, str]) -> None:
        """`providers`: upstream → the provider's name in the conventions. Nothing is imported or connected yet.

        Raises:
            ConfigError: the libraries are not installed.
        """
        if importlib.util.find_spec("opentelemetry") is None or not importlib.util.find_spec("opentelemetry.exporter"):
            raise ConfigError(
                "telemetry.otlp_endpoint is set, but OpenTelemetry is not installed.",
                "Run `pip install 'freehold[otel]'`, or take the setting out.",
            )
        self._endpoint = endpoint
        self._worker = worker
        self._content = content
        self._providers = providers
        self._exporter: OTLPSpanExporter | None = None
        self._common: dict[str, Any] = {}

    def export(self, finished: list[FinishedSpan]) -> bool:
        """Send the spans of `finished`, with the exporter's own retries (10 s); False: they are lost."""
        exporter = self._exporter or self._open()
        spans = [span for item in finished for span in self._spans(item)]
        return exporter.export(spans).value == 0

    def close(self) -> None:
        """Close the connection."""
        if self._exporter is not None:
            self._exporter.shutdown()

    def _open(self) -> OTLPSpanExporter:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        about = {"service.name": "freehold", "service.version": __version__, "service.instance.id": self._worker}
        self._common = {
            "resource": Resource.create(about),  # OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME are among it
            "instrumentation_scope": InstrumentationScope("freehold.gateway", __version__, genai.SCHEMA_URL),
        }
        self._exporter = OTLPSpanExporter(endpoint=self._endpoint)
        return self._exporter

    def _spans(self, finished: FinishedSpan) -> list[ReadableSpan]:
        trace, span = finished.trace, finished.span
        answer = read_answer(trace.response, stream=trace.stream, api=trace.api)
        attributes = genai.attributes(trace, answer, self._providers)
        if self._content and finished.recorded:
            if len(trace.request) + len(trace.response) <= MAX_CONTENT_BYTES:
                attributes |= genai.content(trace, answer)
            else:
                attributes["freehold.content_left_out"] = True
        if trace.attempts:
            attributes["freehold.attempts"] = trace.attempts
        end = trace.at_ns + trace.duration_us * 1000
        kind = "SERVER" if trace.kind == "request" else "INTERNAL" if trace.answered_by[:8] == "student/" else "CLIENT"
        whole = self._span(genai.span_name(trace), kind, span, trace.at_ns, end, attributes)
        return [whole, *self._tries(finished, end)]

    def _tries(self, finished: FinishedSpan, end: int) -> list[ReadableSpan]:
        """A span for each try, where there was more than one; a pause before a try is within it."""
        trace, ends = finished.trace, finished.ends
        if len(ends) < len(trace.attempts):
            return []
        # The last try goes on until its answer has ended.
        starts = (trace.at_ns, *ends)
        stops = (*ends[: len(trace.attempts) - 1], end)
        return [
            self._try(number, attempt, finished.span.child(), start, stop)
            for number, (attempt, start, stop) in enumerate(zip(trace.attempts, starts, stops, strict=False), 1)
        ]

    def _try(self, number: int, attempt: str, span: SpanContext, start: int, stop: int) -> ReadableSpan:
        upstream, _, outcome = attempt.partition(": ")
        status = int(outcome) if outcome.isdecimal() else 0
        failed = genai.error_type(status, None if status else outcome)
        attributes: genai.Attributes = {
            genai.PROVIDER: self._providers.get(upstream, upstream),
            "freehold.upstream": upstream,
            "freehold.try": number,
        }
        if status:
            attributes[genai.HTTP_STATUS] = status
        if failed:
            attributes[genai.ERROR_TYPE] = failed
        return self._span(f"try {upstream}", "CLIENT", span, start, stop, attributes)

    def _span(
        self, name: str, kind: str, span: SpanContext, start: int, end: int, attributes: genai.Attributes
    ) -> ReadableSpan:
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import SpanContext as Context
        from opentelemetry.trace import SpanKind, Status, StatusCode, TraceFlags

        # Made as they are, without a tracer: the ids were given out when the request came, and a tracer would cost
        # 70 µs where this costs 6.
        flags = TraceFlags(TraceFlags.SAMPLED)
        trace_id, parent_id = int(span.trace_id, 16), span.parent_id
        failed = genai.ERROR_TYPE in attributes and (kind != "SERVER" or _is_ours(attributes[genai.HTTP_STATUS]))
        return ReadableSpan(
            name,
            context=Context(trace_id, int(span.span_id, 16), is_remote=False, trace_flags=flags),
            parent=Context(trace_id, int(parent_id, 16), is_remote=True, trace_flags=flags) if parent_id else None,
            attributes=attributes,
            kind=SpanKind[kind],
            status=Status(StatusCode.ERROR) if failed else Status(),
            start_time=start,
            end_time=end,
            **self._common,
        )


def _is_ours(status: int) -> bool:
    """Whether a failure is a server's: what is wrong with a caller's request is no error of the server's span."""
    return not 400 <= status < 500
