"""A real OTLP/HTTP receiver on loopback: takes spans as a collector does, and decodes them with their own library."""

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Receiver:
    """`spans` holds what came; `wait_for` waits until there are so many. A context manager."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.resources: list[dict[str, Any]] = []
        self.requests: list[str] = []
        self.status = 200
        self._came = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                receiver._take(self.path, self.headers["content-type"], body)
                self.send_response(receiver.status)
                self.send_header("content-type", "application/x-protobuf")
                self.end_headers()
                self.wfile.write(ExportTraceServiceResponse().SerializeToString())

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}/v1/traces"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def _take(self, path: str, content_type: str, body: bytes) -> None:
        with self._came:
            self.requests.append(f"{path} {content_type}")
            if self.status == 200:
                for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                    self.resources.append({item.key: value_of(item.value) for item in group.resource.attributes})
                    self.spans += [span for scope in group.scope_spans for span in scope.spans]
            self._came.notify_all()

    def wait_for(self, count: int, seconds: float = 15) -> list[Span]:
        """The spans, once there are `count` of them."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.spans) >= count, seconds), f"only {len(self.spans)} spans came"
            return list(self.spans)

    def wait_for_requests(self, count: int, seconds: float = 15) -> None:
        with self._came:
            assert self._came.wait_for(lambda: len(self.requests) >= count, seconds)

    def __enter__(self) -> "Receiver":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def value_of(value: AnyValue) -> Any:
    """A protobuf value as Python's own."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [value_of(item) for item in value.array_value.values]
    return getattr(value, kind) if kind else None


def attributes_of(span: Span) -> dict[str, Any]:
    return {item.key: value_of(item.value) for item in span.attributes}
