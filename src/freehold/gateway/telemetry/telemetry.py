"""What the gateway calls when an exchange begins and ends, and what becomes of that: spans and access lines."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial

import structlog

from freehold.config import Settings
from freehold.domain.errors import FreeholdError
from freehold.domain.traces import Trace
from freehold.gateway.telemetry import genai
from freehold.gateway.telemetry.access_log import is_problem, write_lines
from freehold.gateway.telemetry.metrics import Metrics
from freehold.gateway.telemetry.outbox import Outbox
from freehold.gateway.telemetry.spans import FinishedSpan, SpanExporter
from freehold.gateway.telemetry.trace_context import SpanContext, begin_span
from freehold.record.prices import PriceList
from freehold.upstreams.base import Headers

LINE_SECONDS = 0.2
SPAN_SECONDS = 1.0
CLOSE_SECONDS = 3.0

_log = structlog.get_logger()


class Telemetry:
    """One per worker. With spans off, `begin` is not to be called; `finished` costs nothing for what nobody wants."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        """Build from settings; nothing is connected and no thread runs before the first exchange has ended.

        Raises:
            ConfigError: spans are wanted, but OpenTelemetry is not installed.
        """
        chosen = settings.telemetry
        self.spans = bool(chosen.otlp_endpoint)
        """Whether exchanges have spans: then they `begin` with one."""
        self.lines = chosen.log == "requests"
        """Whether every exchange has a line; otherwise only problems do."""
        self.everything = self.spans or self.lines
        """Whether `finished` has a use for every exchange."""
        self._sample = chosen.sample
        self._exporter = (
            SpanExporter(
                chosen.otlp_endpoint,
                metrics.worker,
                content=chosen.content,
                providers=_providers(settings),
            )
            if self.spans
            else None
        )
        self._metrics = metrics
        self._guard = threading.Lock()
        self._spans: Outbox[FinishedSpan] = Outbox(
            "spans", self._export, partial(self._lost, "spans"), interval=SPAN_SECONDS
        )
        self._lines: Outbox[Trace] = Outbox(
            "lines", partial(write_lines, everything=self.lines), partial(self._lost, "lines"), interval=LINE_SECONDS
        )

    def begin(self, headers: Headers, trace_id: str) -> SpanContext:
        """The span of an exchange that begins with these headers; `replace_headers` puts it before the upstream."""
        return begin_span(headers, trace_id, self._sample)

    def wants(self, status: int, error: str | None) -> bool:
        """Whether `finished` has a use for an exchange that ended so, span or not."""
        return self.everything or is_problem(status, error)

    def finished(
        self, trace: Trace, span: SpanContext | None, *, recorded: bool = True, ends: Sequence[int] = ()
    ) -> None:
        """Take over a finished exchange.

        Args:
            trace: as it is recorded; where it was not recorded, as it would have been.
            span: what `begin` gave, a child of it for a question that belongs to an exchange; None: no span.
            recorded: False: the caller asked not to record, so no content leaves.
            ends: when each of its tries ended, if that is known.
        """
        if span is not None and span.sampled:
            held = len(trace.request) + len(trace.response)
            self._spans.put(FinishedSpan(trace, span, recorded, ends), held)
        if self.lines or is_problem(trace.status, trace.error):
            self._lines.put(trace, len(trace.request) + len(trace.response))

    def refused(self, error: FreeholdError, path: str) -> None:
        """Count, and in a line tell of, a request for which no exchange began: its key was wrong, for instance."""
        self._metrics.errors[error.code] += 1
        if self.lines:
            _log.info("refused", error=error.code, status=error.http_status, path=path[:200])

    def close(self) -> None:
        """Send and write what is left, for some seconds at most."""
        self._lines.close(CLOSE_SECONDS)
        self._spans.close(CLOSE_SECONDS)
        if self._exporter is not None:
            self._exporter.close()

    def _export(self, finished: list[FinishedSpan]) -> None:
        if self._exporter is not None and not self._exporter.export(finished):
            self._lost("spans", len(finished))

    def _lost(self, what: str, count: int) -> None:
        with self._guard:  # the event loop and two threads come here, each rarely
            self._metrics.dropped[what] += count


def price_of(prices: PriceList, upstream: str, model: str, given: int, cached: int, said: int) -> float | None:
    """Dollars of so many tokens at today's prices; None if no price is known. The first call may take a second."""
    cost, source = prices.cost(upstream, (model,), input=given, cached=cached, output=said, at_ns=time.time_ns())
    return None if source == "none" else cost / 1e9


def _providers(settings: Settings) -> Mapping[str, str]:
    named = {name: genai.provider_of(upstream.base_url) for name, upstream in settings.upstreams.items()}
    return {name: provider for name, provider in named.items() if provider}
