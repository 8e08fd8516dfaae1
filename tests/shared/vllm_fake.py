"""A stand-in for vLLM's server, from its documentation: /health, /v1/models, loading and unloading of adapters.

As a program it takes what `vllm serve` takes, as far as it matters here. Errors have vLLM's form and words; addresses
that were not opened answer as FastAPI does.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Served(ThreadingHTTPServer):
    """What the server knows."""

    def __init__(
        self,
        port: int = 0,
        *,
        base: str = "tiny",
        hidden: int = 32,
        rank: int = 16,
        loading: bool = True,
        key: str = "",
    ) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.models = {base: ""}
        self.base, self.rank, self.loading, self.key = base, rank, loading, key
        self.ready_at = 0.0
        self.lists = True
        self.asked: list[tuple[str, str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def load(self, name: str, path: str) -> tuple[int, str]:
        if not name or not path:
            return 400, "Both 'lora_name' and 'lora_path' must be provided."
        if name in self.models:
            return 400, f"The lora adapter '{name}' has already been loaded."
        folder = Path(path)
        if not (folder / "adapter_config.json").is_file():
            return 404, f"Loading lora {name} failed: No adapter found for {path}"
        rank = json.loads((folder / "adapter_config.json").read_text())["r"]
        if rank > self.rank:
            return 400, f"LoRA rank {rank} is greater than max_lora_rank {self.rank}."
        self.models[name] = path
        return 200, f"Success: LoRA adapter '{name}' added successfully."

    def unload(self, name: str) -> tuple[int, str]:
        if name not in self.models or name == self.base:
            return 404, f"The lora adapter '{name}' cannot be found."
        del self.models[name]
        return 200, f"Success: LoRA adapter '{name}' removed successfully."


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Served  # pyright: ignore[reportIncompatibleVariableOverride]  # the base class has any server

    def do_GET(self) -> None:
        if self.path == "/health":
            self._send(200 if time.monotonic() >= self.server.ready_at else 503, b"")
        elif not self._known():
            return
        elif self.path == "/v1/models":
            names = self.server.models if self.server.lists else [self.server.base]
            data = [{"id": name, "object": "model", "owned_by": "vllm"} for name in names]
            self._send(200, json.dumps({"object": "list", "data": data}).encode())
        else:
            self._send(404, b'{"detail":"Not Found"}')

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append((self.path, str(self.headers["authorization"]), body))
        if not self._known():
            return
        if not self.server.loading or self.path not in ("/v1/load_lora_adapter", "/v1/unload_lora_adapter"):
            self._send(404, b'{"detail":"Not Found"}')
            return
        if self.path == "/v1/load_lora_adapter":
            status, said = self.server.load(body.get("lora_name", ""), body.get("lora_path", ""))
        else:
            status, said = self.server.unload(body.get("lora_name", ""))
        kinds = {400: "BadRequestError", 404: "NotFoundError"}
        error = {"error": {"message": said, "type": kinds.get(status, ""), "param": None, "code": status}}
        self._send(status, said.encode() if status == 200 else json.dumps(error).encode())

    def _known(self) -> bool:
        if self.server.key and self.headers["authorization"] != f"Bearer {self.server.key}":
            self._send(401, b'{"error":"Unauthorized"}')
            return False
        return True

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving(**settings: Any) -> Generator[Served]:
    """The server in a thread."""
    server = Served(**settings)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def program(folder: Path) -> Path:
    """A program `vllm` that is this file."""
    path = folder / "vllm"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).absolute()} "$@"\n')
    path.chmod(0o755)
    return path


def main() -> None:
    """`vllm serve MODEL …`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["serve"])
    parser.add_argument("model")
    parser.add_argument("--served-model-name")
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    parser.add_argument("--enable-lora", action="store_true")
    parser.add_argument("--max-lora-rank", type=int)
    parser.add_argument("--max-loras", type=int)
    parser.add_argument("--max-model-len", type=int)
    parser.add_argument("--lora-modules", nargs="*", default=[])
    given = parser.parse_args()
    if not (Path(given.model) / "config.json").is_file():
        sys.exit(f"OSError: {given.model} does not appear to have a file named config.json")
    loading = os.environ.get("VLLM_ALLOW_RUNTIME_LORA_UPDATING", "") == "True" and given.enable_lora
    key = os.environ.get("VLLM_API_KEY", "")
    server = Served(given.port, base=given.served_model_name, rank=given.max_lora_rank, loading=loading, key=key)
    for module in given.lora_modules:
        name, _, path = module.partition("=")
        server.load(name, path)
    server.ready_at = time.monotonic() + 0.3
    server.serve_forever()


if __name__ == "__main__":
    main()
