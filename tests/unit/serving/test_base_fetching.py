"""Fetching a base, from a server that speaks the hub's interface: only what is used is ever asked for."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

pytest.importorskip("tokenizers")
pytest.importorskip("huggingface_hub")

from tiny_models import make_model

from freehold.config import load_settings
from freehold.serving.bases import find_base

COMMIT = "c" * 40
CONFIG = '[models]\nhub = ["org/some", "org/none"]\n'


class Hub(BaseHTTPRequestHandler):
    """Serves one model's folder as org/some."""

    folder: Path
    asked: list[str]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(self.path.partition("?")[0])
        self.asked.append(f"{self.command} {path}")
        files = sorted(self.folder.iterdir())
        if path.startswith("/api/models/org/some/revision/"):
            siblings = [{"rfilename": file.name} for file in files]
            self._send(json.dumps({"id": "org/some", "sha": COMMIT, "siblings": siblings}).encode())
        elif path.startswith("/api/models/org/some/tree/"):
            tree = [{"type": "file", "path": file.name, "size": file.stat().st_size, "oid": "0" * 40} for file in files]
            self._send(json.dumps(tree).encode())
        elif path.startswith("/org/some/resolve/") and (self.folder / Path(path).name).is_file():
            self._send((self.folder / Path(path).name).read_bytes())
        else:
            self._send(b'{"error":"Repository not found"}', 404, {"x-error-code": "RepoNotFound"})

    def _send(self, body: bytes, status: int = 200, more: dict[str, Any] | None = None) -> None:
        self.send_response(status)
        headers = {"etag": f'"{hashlib.sha256(body).hexdigest()}"', "x-repo-commit": COMMIT, **(more or {})}
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def command(place: Path, endpoint: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own: huggingface_hub reads its variables when it is imported."""
    given = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HUB_CACHE": str(place / "hub")}
    given |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_PROXY": "*"}
    words = (sys.executable, "-m", "freehold.cli.main", "models", *words)
    return subprocess.run(words, cwd=place, env=given, capture_output=True, text=True, timeout=120, check=False)


def test_a_listed_model_is_fetched_and_then_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_model(tmp_path / "there")
    (made / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    (made / "modeling.py").write_text("raise SystemExit")
    (tmp_path / "freehold.toml").write_text(CONFIG)
    handler = type("Handler", (Hub,), {"folder": made, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        fetched = command(tmp_path, endpoint, "fetch", "org/some", "--json")
        assert fetched.returncode == 0, fetched.stderr
        folder = Path(json.loads(fetched.stdout)["folder"])
        assert {file.name for file in folder.iterdir()} == {file.name for file in made.iterdir()} - {
            "pytorch_model.bin",
            "modeling.py",
        }
        assert not [path for path in handler.asked if path.endswith((".bin", ".py"))]
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
        assert find_base(load_settings(tmp_path / "freehold.toml"), "org/some").folder == folder
        missing = command(tmp_path, endpoint, "fetch", "org/none")
        assert missing.returncode == 1 and "does not give out org/none" in missing.stderr
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    gone = command(tmp_path, endpoint, "fetch", "org/none")
    assert gone.returncode == 1 and "could not be fetched" in gone.stderr and "Traceback" not in gone.stderr
