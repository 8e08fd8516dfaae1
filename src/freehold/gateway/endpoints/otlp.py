"""`POST /otlp/v1/traces` and `/otlp/v1/logs`: GenAI spans of agents whose calls do not go through the gateway.

OTLP/HTTP 1.x, in protobuf or JSON, gzip or not; for OTEL_EXPORTER_OTLP_ENDPOINT=http://HOST/otlp. What is answered
follows the OTLP specification, "OTLP/HTTP Response": what was taken, with `partial_success` where some of it could not
be; 400 for what is no OTLP, which exporters do not send again; 503 for what could not be kept, which they do.
"""

from __future__ import annotations

import asyncio
import threading
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, cast
from weakref import WeakKeyDictionary

import msgspec
import structlog

from freehold.domain.chat import ChatRequest
from freehold.domain.errors import BodyTooLarge, FreeholdError, RequestError, StoreError
from freehold.domain.traces import Trace
from freehold.gateway.http import Reply, Request
from freehold.gateway.runtime import Runtime
from freehold.gateway.turn import Waiting
from freehold.route import Identifier
from freehold.route.identify import Identity, task_name

if TYPE_CHECKING:
    from freehold.record.importing.ingest import Ingest, Taken
    from freehold.record.importing.values import Row

Signal = Literal["traces", "logs"]
JSON, PROTOBUF = b"application/json", b"application/x-protobuf"
SWEEP_SECONDS = 10.0
"""How often spans that wait for their messages are looked at, while there are any."""
_log = structlog.get_logger()


class _Form(NamedTuple):
    """How a document is written down."""

    json: bool
    gzip: bool


def otlp_traces(runtime: Runtime, request: Request, reply: Reply) -> None:
    """Take a document of spans."""
    Waiting(reply, _answer(runtime, "traces", request, reply))


def otlp_logs(runtime: Runtime, request: Request, reply: Reply) -> None:
    """Take a document of log records."""
    Waiting(reply, _answer(runtime, "logs", request, reply))


def resume(runtime: Runtime) -> None:
    """Look after spans that waited for their messages when the gateway stopped; call it within the event loop."""
    if _path_of(runtime).exists():
        _desk(runtime).sweep_later(0.0)


async def _answer(runtime: Runtime, signal: Signal, request: Request, reply: Reply) -> None:
    form = _Form(json=True, gzip=False)
    try:
        form = _form(request)
        desk = _desk(runtime)
        taken = await asyncio.to_thread(desk.take, signal, form, request)
    except FreeholdError as error:
        runtime.telemetry.refused(error, request.path)
        _refuse(error, form, reply)
    except Exception as error:  # noqa: BLE001 - the edge: the log says what, the caller only that
        _log.error("otlp-failed", path=request.path, exc_info=error)
        _refuse(FreeholdError("The gateway failed.", "Its log says why; try again."), form, reply)
    else:
        if taken is None:
            reply.whole(200, [_content_type(form)], b"{}" if form.json else b"")
            return
        for outcome in ("recorded", "waiting", "ignored", "rejected"):
            runtime.metrics.otlp[signal, outcome] += getattr(taken, outcome)
        if taken.waiting:
            desk.sweep_later(SWEEP_SECONDS)
        reply.whole(200, [_content_type(form)], _response(signal, form, taken))


def _form(request: Request) -> _Form:
    headers = dict(request.headers)
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    coding = headers.get(b"content-encoding", b"identity").strip().lower()
    if kind not in (JSON, PROTOBUF):
        raise RequestError(
            f"OTLP of the type {kind.decode('ascii', 'replace') or 'none'} is not taken.",
            "Send application/x-protobuf or application/json.",
        )
    if coding not in (b"identity", b"", b"gzip"):
        raise RequestError(f"The coding {coding.decode('ascii', 'replace')} is not taken.", "Send gzip, or none.")
    return _Form(json=kind == JSON, gzip=coding == b"gzip")


class _Desk:
    """One worker's side of it: what is taken, and the look at what waits."""

    def __init__(self, runtime: Runtime) -> None:
        from freehold.record.importing.ingest import Ingest

        self._runtime = runtime
        self._identifier, self._turn = Identifier(), threading.Lock()
        self._sweep: asyncio.TimerHandle | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self.ingest: Ingest = Ingest(_path_of(runtime), self._append, self._identify)

    def take(self, signal: Signal, form: _Form, request: Request) -> Taken | None:
        """Read a document and keep what it says; None where its sender forbade recording."""
        document = _document(signal, form, request.body, self._runtime.settings.gateway.max_body_bytes)
        if not request.caller.recorded:
            return None
        key: str | None = request.caller.grant.key_id
        return self.ingest.spans(document, key) if signal == "traces" else self.ingest.logs(document, key)

    def sweep_later(self, seconds: float) -> None:
        """Look at what waits after a while, and again until nothing does."""
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(seconds, self._begin_sweep)

    def _begin_sweep(self) -> None:
        self._sweeping = asyncio.get_running_loop().create_task(self._look())

    async def _look(self) -> None:
        self._sweep = None
        try:
            waits = await asyncio.to_thread(self.ingest.overdue)
        except FreeholdError as error:
            _log.error("otlp-waiting", error=error.message, hint=error.hint)
            waits = True
        if waits:
            self.sweep_later(SWEEP_SECONDS)

    def _append(self, trace: Trace) -> None:
        self._runtime.journal.append(trace)
        self._runtime.metrics.recorded(True)

    def _identify(self, request: ChatRequest, name: str) -> Identity:
        with self._turn:
            return self._identifier.identify(request, task_name(request, name), self._runtime.watch.view.index)


_desks: WeakKeyDictionary[Runtime, _Desk] = WeakKeyDictionary()


def _desk(runtime: Runtime) -> _Desk:
    found = _desks.get(runtime)
    if found is None:
        found = _desks[runtime] = _Desk(runtime)
    return found


def _path_of(runtime: Runtime) -> Path:
    return runtime.settings.data / "otlp" / "waiting.sqlite"


def _document(signal: Signal, form: _Form, body: bytes, limit: int) -> Row:
    from freehold.record.importing import otlp
    from freehold.record.importing.values import loads

    data = _unpacked(body, limit) if form.gzip else body
    if not form.json:
        return otlp.of_protobuf(data, signal)
    found = loads(data)
    if not isinstance(found, dict):
        raise RequestError("The body is JSON, but no OTLP document.", "Send an object with resourceSpans.")
    return cast("Row", found)


def _unpacked(body: bytes, limit: int) -> bytes:
    """A gzip body, decompressed up to the limit of bodies."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        data = unpacker.decompress(body, limit)
        if unpacker.unconsumed_tail or (not unpacker.eof and len(data) >= limit):
            raise BodyTooLarge(
                f"The body is over {limit:,} bytes when it is unpacked.",
                "Send smaller batches (OTEL_BSP_MAX_EXPORT_BATCH_SIZE), or raise gateway.max_body_bytes.",
            )
    except zlib.error as error:
        raise RequestError("The body is not gzip.", "Send what its content-encoding says.") from error
    if not unpacker.eof:
        raise RequestError("The body breaks off.", "Send it again.")
    return data


def _response(signal: Signal, form: _Form, taken: Taken) -> bytes:
    if not taken.rejected:
        return b"{}" if form.json else b""
    name = "rejectedSpans" if signal == "traces" else "rejectedLogRecords"
    if form.json:
        return msgspec.json.encode({"partialSuccess": {name: str(taken.rejected), "errorMessage": taken.reason}})
    # ExportTracePartialSuccess and its like for logs: 1: the number rejected (int64), 2: why (string).
    partial = b"\x08" + _varint(taken.rejected) + _text(2, taken.reason)
    return b"\x0a" + _varint(len(partial)) + partial


def _refuse(error: FreeholdError, form: _Form, reply: Reply) -> None:
    """Tell what went wrong, as google.rpc.Status."""
    status = error.http_status if not isinstance(error, StoreError) else 503
    later = [(b"retry-after", b"5")] if status == 503 else []
    if form.json:
        body = msgspec.json.encode({"code": 3 if status < 500 else 14, "message": str(error)})
    else:
        body = b"\x08" + _varint(3 if status < 500 else 14) + _text(2, str(error))
    reply.whole(status, [_content_type(form), *later], body)


def _content_type(form: _Form) -> tuple[bytes, bytes]:
    return (b"content-type", JSON if form.json else PROTOBUF)


def _text(field: int, text: str) -> bytes:
    data = text.encode()
    return bytes((field << 3 | 2,)) + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*found, number))
