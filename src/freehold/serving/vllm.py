"""Students on vLLM, which is somebody else's program: the command that starts it, whether it is well, and its adapters.

vLLM is never imported: it wants a torch of its own, and mostly a machine of its own. What is spoken is its documented
HTTP interface ("LoRA Adapters", dynamic serving): `/health`, `/v1/models`, `/v1/load_lora_adapter`,
`/v1/unload_lora_adapter`. Freehold's own student server has the same.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from freehold.domain.errors import (
    AuthError,
    ConfigError,
    StudentError,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)

ALLOW_LOADING = "VLLM_ALLOW_RUNTIME_LORA_UPDATING"
"""Environment variable without which vLLM has no way to load adapters while it runs."""
_API_KEY = "VLLM_API_KEY"
_POLL_SECONDS = 0.2
_LAST_LINES = 2000


class Launch(NamedTuple):
    """How vLLM is started."""

    command: list[str]
    environment: dict[str, str]
    """What is added to this process's: secrets are here, where no list of processes shows them."""


def launch(
    base: Path,
    name: str,
    adapters: Mapping[str, Path] | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    max_rank: int = 16,
    max_adapters: int = 8,
    context: int | None = None,
    api_key: str = "",
    program: str = "vllm",
    more: Sequence[str] = (),
) -> Launch:
    """The `vllm serve` command for a base model and adapters on it.

    Args:
        base: the base model's folder (`find_base(…).folder`), or that of a student with full weights (`…/model`).
        name: what the base is called.
        adapters: name → folder in peft's form (`…/adapter`), there from the start.
        host: an address of this machine.
        port: to listen on.
        max_rank: highest rank of all adapters to come; vLLM knows 8, 16, 32, 64, 128, 256, 320 and 512.
        max_adapters: that answer in one batch.
        context: tokens; the model's own if None.
        api_key: that callers must send.
        program: where vLLM is.
        more: arguments of one's own.

    Raises:
        ConfigError: there is no vLLM here, it would ask nobody for a key where others can reach it, or the rank is one
            that it does not know.
    """
    ranks = (8, 16, 32, 64, 128, 256, 320, 512)
    rank = next((known for known in ranks if known >= max_rank), None)
    if rank is None:
        raise ConfigError(f"vLLM has no adapters of rank {max_rank}.", f"Train with a rank of at most {ranks[-1]}.")
    if host not in ("localhost", "::1") and not host.startswith("127.") and not api_key:
        raise ConfigError(
            f"vLLM would listen on {host} and ask nobody for a key: whoever reaches it could load any adapter.",
            "Give an API key, or listen on 127.0.0.1.",
        )
    if shutil.which(program) is None:
        raise ConfigError(
            f"There is no program {program!r}.",
            "Install vLLM in an environment of its own (`pip install vllm`) and name its `vllm`, or start it on its "
            "machine by hand and set [students.server] url.",
        )
    command = [program, "serve", str(base), "--served-model-name", name, "--host", host, "--port", str(port)]
    command += ["--enable-lora", "--max-lora-rank", str(rank), "--max-loras", str(max_adapters)]
    command += ["--max-model-len", str(context)] if context else []
    if adapters:
        command += ["--lora-modules", *(f"{adapter}={folder}" for adapter, folder in adapters.items())]
    environment = {ALLOW_LOADING: "True", "HF_HUB_OFFLINE": "1"}
    if api_key:
        environment[_API_KEY] = api_key
    return Launch([*command, *more], environment)


class _Models(msgspec.Struct):
    class Model(msgspec.Struct):
        id: str

    data: list[Model] = []


class VllmServer:
    """A vLLM that runs: started here (`start`), or by somebody else. Safe to use from several threads."""

    def __init__(self, url: str, api_key: str = "", timeout: float = 30.0) -> None:
        """`url`: its root, with or without `/v1`; `timeout`: seconds for one request."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"{url!r} is no URL of a server.", "Write it as http://HOST:PORT.")
        self.url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/v1')}"
        self._parts = urlsplit(self.url)
        self._headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._timeout = timeout
        self.process: subprocess.Popen[bytes] | None = None
        """Of the server that was started here."""
        self._log: Path | None = None

    @classmethod
    def start(cls, how: Launch, url: str, log: Path, timeout: float = 30.0) -> VllmServer:
        """Start vLLM; what it says goes to the file `log`. Then `wait`, and `stop` in the end.

        Raises:
            ConfigError: it cannot be started.
        """
        server = cls(url, how.environment.get(_API_KEY, ""), timeout)
        try:
            with log.open("ab") as file:
                server.process = subprocess.Popen(
                    how.command,
                    env={**os.environ, **how.environment},
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            raise ConfigError(f"{how.command[0]} cannot be started: {error.strerror}.", "See its path.") from error
        server._log = log
        return server

    def healthy(self) -> bool:
        """Whether it answers `/health` with 200: its engine runs."""
        try:
            return self._ask("GET", "/health")[0] == 200
        except UpstreamError:
            return False

    def wait(self, seconds: float, stopped: threading.Event | None = None) -> None:
        """Wait until it is well; loading a large model takes minutes.

        Raises:
            UpstreamUnreachable: it ended; the message has what it said last.
            UpstreamTimeout: it is not well after `seconds`, or `stopped` was set.
        """
        pause, deadline = stopped or threading.Event(), time.monotonic() + seconds
        while not self.healthy():
            if self.process is not None and self.process.poll() is not None:
                raise UpstreamUnreachable(
                    f"vLLM ended with code {self.process.returncode} before it was ready: {self._last_words()}",
                    f"See {self._log}; often the model does not fit into the GPU's memory, or needs a newer vLLM.",
                )
            if pause.wait(_POLL_SECONDS) or time.monotonic() > deadline:
                raise UpstreamTimeout(
                    f"{self.url}/health did not say that it is ready within {seconds:g} seconds.",
                    f"See {self._log or 'its own log'}, or wait longer.",
                )

    def models(self) -> tuple[str, ...]:
        """Names of what it serves: the base and its adapters.

        Raises:
            UpstreamError: it cannot be asked.
        """
        status, body = self._ask("GET", "/v1/models")
        if status != 200:
            raise self._failed(status, body, "list its models")
        try:
            return tuple(model.id for model in msgspec.json.decode(body, type=_Models).data)
        except msgspec.DecodeError as error:
            raise UpstreamError(f"{self.url}/v1/models is no list of models: {error}.", "Is it a vLLM?") from error

    def load(self, name: str, folder: Path) -> None:
        """Make an adapter answer under `name`; one that is there already under this name stays as it is.

        Names are ids of students, whose files never change; so two servers never mean other weights by one name.

        Raises:
            StudentError: it does not take the adapter: another base, too high a rank, no such folder on its machine.
            ConfigError: it was started without leave to load adapters.
            AuthError: it asks for another key.
            UpstreamError: it cannot be asked, or fails.
        """
        status, body = self._ask("POST", "/v1/load_lora_adapter", {"lora_name": name, "lora_path": str(folder)})
        if status == 200 or (status == 400 and "already been loaded" in _message(body)):
            return
        if status in (400, 404, 422) and not _no_route(status, body):
            raise StudentError(
                f"vLLM at {self.url} does not take the adapter {name}: {_message(body)}",
                "See that the folder is at the same path on its machine, that it serves the adapter's base, and that "
                "its --max-lora-rank is high enough.",
            )
        raise self._failed(status, body, f"load {name}")

    def unload(self, name: str) -> None:
        """Answer no longer under `name`; what is being answered is answered to its end. None of that name: nothing.

        Raises:
            ConfigError, AuthError, UpstreamError: see `load`.
        """
        status, body = self._ask("POST", "/v1/unload_lora_adapter", {"lora_name": name})
        gone = status in (400, 404) and not _no_route(status, body) and "cannot be found" in _message(body)
        if status != 200 and not gone:
            raise self._failed(status, body, f"unload {name}")

    def swap(self, new: str, folder: Path, old: str = "") -> None:
        """Load `new`, see that it is served, and only then unload `old`: no moment is without a student.

        Raises:
            StudentError, ConfigError, AuthError, UpstreamError: see `load`; `old` then stays.
        """
        self.load(new, folder)
        if new not in self.models():
            raise UpstreamError(f"vLLM at {self.url} took {new} and does not list it.", "See its log.")
        if old and old != new:
            self.unload(old)

    def stop(self, seconds: float = 20.0) -> None:
        """End the server that was started here; one that does not end in time is killed."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        assert self._parts.hostname is not None
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._parts.hostname, self._parts.port, timeout=self._timeout)
        headers = {**self._headers, "content-type": "application/json"} if body is not None else self._headers
        try:
            data = json.dumps(body) if body is not None else None
            connection.request(method, self._parts.path + path, data, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except TimeoutError as error:
            raise UpstreamTimeout(
                f"{self.url} did not answer {path} within {self._timeout:g} seconds.", "See its log."
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise UpstreamUnreachable(
                f"{self.url} cannot be reached: {error}.", "See that vLLM runs, and that the address is right."
            ) from error
        finally:
            connection.close()

    def _failed(self, status: int, body: bytes, what: str) -> ConfigError | AuthError | UpstreamError:
        if status in (401, 403):
            return AuthError(f"{self.url} asks for another API key.", "Set [students.server] api_key_env.")
        if _no_route(status, body):
            return ConfigError(
                f"vLLM at {self.url} has no way to {what}.",
                f"Start it with {ALLOW_LOADING}=True in its environment, and with --enable-lora.",
            )
        return UpstreamError(f"vLLM at {self.url} could not {what} ({status}): {_message(body)}", "See its log.")

    def _last_words(self) -> str:
        data = self._log.read_bytes()[-_LAST_LINES:] if self._log is not None and self._log.is_file() else b""
        lines = [line for line in data.decode("utf-8", "replace").splitlines() if line.strip()]
        return lines[-1] if lines else "it said nothing"


def _no_route(status: int, body: bytes) -> bool:
    """Whether the server does not know the address at all (FastAPI's answer), rather than what was asked about."""
    try:
        return status in (404, 405) and "error" not in json.loads(body) and "object" not in json.loads(body)
    except (ValueError, TypeError):
        return status in (404, 405)


def _message(body: bytes) -> str:
    """What an error says: vLLM's `{"error": {"message": …}}`, or, of older ones, `{"message": …}`."""
    try:
        said: Any = json.loads(body)
        found = said.get("error", said)
        return str(found.get("message") or found.get("detail") or found)[:500]
    except (ValueError, AttributeError):
        return body.decode("utf-8", "replace")[:500]
