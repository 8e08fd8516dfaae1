"""What waits for its other half: across workers, restarts and tenants."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import otlp_examples as otlp
import pytest
from import_fixtures import identify

from freehold.domain.errors import StoreError
from freehold.domain.traces import Trace
from freehold.record.answers import read_answer
from freehold.record.importing import ingest as module
from freehold.record.importing.ingest import Ingest

SPAN = otlp.span_document(otlp.GEN_AI)
NANO = 1_000_000_000


class Host:
    """Workers that share a file, a journal and a clock."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "waiting.sqlite"
        self.traces: list[Trace] = []
        self.now = 1_770_000_000 * NANO
        self.append: Callable[[Trace], None] = self.traces.append

    def worker(self) -> Ingest:
        return Ingest(self.path, lambda trace: self.append(trace), identify, clock=lambda: self.now)

    def answers(self) -> list[str | None]:
        return [read_answer(trace.response, stream=False).text for trace in self.traces]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_halves_that_reach_different_workers_join(host: Host) -> None:
    one, two = host.worker(), host.worker()
    assert one.logs(otlp.logs_document(otlp.GEN_AI_RECORDS[:2]), None).waiting == 1
    assert two.spans(SPAN, None).waiting == 1
    assert one.overdue()
    assert host.worker().logs(otlp.logs_document(otlp.GEN_AI_RECORDS[2:]), None).recorded == 1
    assert host.answers() == ["delivery"]
    assert not one.overdue()


def test_tenants_halves_never_join(host: Host) -> None:
    worker = host.worker()
    worker.logs(otlp.logs_document(otlp.GEN_AI_RECORDS), "key_a")
    assert worker.spans(SPAN, "key_b").waiting == 1
    assert worker.spans(SPAN, "key_a").recorded == 1
    assert [trace.key for trace in host.traces] == ["key_a"]


def test_a_span_waits_so_long_and_log_records_so_long(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = host.worker()
    worker.spans(SPAN, "key_a")
    worker.spans(SPAN, "key_a")  # sent again: it waits since the first time
    worker.logs(otlp.logs_document(otlp.GEN_AI_RECORDS, span_id="aaaaaaaaaaaaaaaa"), None)
    host.now += int(module.WAIT_SECONDS * NANO) - 1
    assert worker.overdue()
    host.now += 1
    assert not worker.overdue()
    assert (host.answers(), host.traces[0].key, host.traces[0].agent) == ([None], "key_a", "sorter")
    host.now += int(module.PARTS_SECONDS * NANO)
    worker.overdue()
    lost = otlp.span_document(otlp.GEN_AI, span_id="aaaaaaaaaaaaaaaa")
    assert worker.spans(lost, None).waiting == 1


def test_who_called_an_agent_is_known_after_waiting_too(host: Host) -> None:
    outer = otlp.span_document({"gen_ai.agent.name": "lead"}, span_id="00f067aa0ba902b7")
    inner = otlp.span_document(otlp.GEN_AI, parent="00f067aa0ba902b7")
    worker = host.worker()
    worker.spans({"resourceSpans": [*outer["resourceSpans"], *inner["resourceSpans"]]}, None)
    worker.logs(otlp.logs_document(otlp.GEN_AI_RECORDS), None)
    (trace,) = host.traces
    assert (trace.agent, trace.parent) == ("sorter", "lead")
    whole = otlp.span_document(otlp.GEN_AI | otlp.GEN_AI_MESSAGES, parent="00f067aa0ba902b7")
    worker.spans({"resourceSpans": [*outer["resourceSpans"], *whole["resourceSpans"]]}, None)
    assert host.traces[1].trace_id == trace.trace_id


def test_what_cannot_be_recorded_goes_on_waiting(host: Host) -> None:
    worker = host.worker()
    worker.spans(SPAN, None)

    def full(trace: Trace) -> None:
        raise StoreError("full", "")

    host.append = full
    with pytest.raises(StoreError):
        worker.logs(otlp.logs_document(otlp.GEN_AI_RECORDS), None)
    host.append = host.traces.append
    worker.logs(otlp.logs_document(otlp.GEN_AI_RECORDS), None)
    assert host.answers() == ["delivery"]
    worker.close()
    host.path.unlink()
    host.path.mkdir()
    with pytest.raises(StoreError, match="cannot be read or written"):
        host.worker().spans(SPAN, None)


def test_other_spans_and_records_are_ignored(host: Host) -> None:
    other = otlp.span_document({"http.request.method": "GET"})
    assert host.worker().spans(other, None)[:4] == (0, 0, 1, 0)
    assert host.worker().logs(otlp.logs_document([("exception", {"x": 1})]), None)[:4] == (0, 0, 1, 0)
    assert not host.path.exists()
