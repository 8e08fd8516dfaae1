"""Runs the server under uvicorn."""

from __future__ import annotations

import socket
from collections.abc import Callable

from freehold.domain.errors import ConfigError
from freehold.serving.server.app import create_server
from freehold.serving.server.asking import Limits
from freehold.serving.server.models import ModelSource
from freehold.serving.server.worker import Worker

_GRACE_SECONDS = 10


def serve(
    models: ModelSource,
    worker: Worker,
    *,
    host: str = "127.0.0.1",
    port: int = 8485,
    api_key: str = "",
    limits: Limits | None = None,
    on_listening: Callable[[str], None] | None = None,
    log_level: str = "warning",
) -> None:
    """Serve until SIGINT or SIGTERM; running requests have ten seconds to end.

    Args:
        models: what can be asked for.
        worker: computes.
        host: address to listen at.
        port: 0: any free one.
        api_key: that callers must send; empty: none.
        limits: of requests.
        on_listening: called with the URL when requests can be answered.
        log_level: uvicorn's.

    Raises:
        ConfigError: the address cannot be listened at.
    """
    import uvicorn

    listening = _listen(host, port)
    name = f"[{host}]" if ":" in host else host
    url = f"http://{name}:{listening.getsockname()[1]}"

    def ready() -> None:
        if on_listening is not None:
            on_listening(url)

    app = create_server(models, worker, api_key=api_key, limits=limits, on_ready=ready)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        log_level=log_level,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    with listening:
        uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(1024)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"{host}:{port} cannot be listened at: {error.strerror}.", "Choose another --port."
        ) from error
    return listening
