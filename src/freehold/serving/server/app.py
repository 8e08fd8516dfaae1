"""The server's endpoints as an ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from freehold.domain.errors import AuthError, FreeholdError
from freehold.serving.server.asking import Asking, Limits, now
from freehold.serving.server.chat import chat
from freehold.serving.server.completions import completions
from freehold.serving.server.counts import CONTENT_TYPE, Counts
from freehold.serving.server.models import ModelSource, Served
from freehold.serving.server.protocol import LoadAdapter, UnloadAdapter, read_body
from freehold.serving.server.replies import Json, error_reply, status_of
from freehold.serving.server.worker import Worker

REFRESH_SECONDS = 0.5
"""Between two looks at which models should be ready: half of what a swap may take is left for loading."""
_log = structlog.get_logger(__name__)
_Endpoint = Callable[[Asking, Request, float], Awaitable[tuple[Response, str]]]


def create_server(
    models: ModelSource,
    worker: Worker,
    *,
    api_key: str = "",
    limits: Limits | None = None,
    on_ready: Callable[[], None] | None = None,
) -> Starlette:
    """The application; while it runs, `worker` computes, and `models` is told twice a second to look around.

    Args:
        models: what can be asked for.
        worker: not started yet.
        api_key: that callers must send as a bearer token; empty: none.
        limits: of requests.
        on_ready: called when requests can be answered.
    """
    counts = Counts(worker)
    asking = Asking(worker, models, counts, limits or Limits())

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None, None]:
        worker.start()
        await _look(models)
        watching = asyncio.create_task(_watch(models))
        if on_ready is not None:
            on_ready()
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.to_thread(worker.stop)

    def guarded(endpoint: _Endpoint) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            return await _handle(endpoint, asking, request, api_key)

        return handle

    async def health(request: Request) -> Response:
        failed = models.failures()
        alive = worker.failure is None
        document = {"status": "ok" if alive else "failed", "models": [one.name for one in models.listed()]}
        return Json({**document, "failed": failed}, 200 if alive else 503)

    routes = [
        Route("/v1/chat/completions", guarded(chat), methods=["POST"]),
        Route("/v1/completions", guarded(completions), methods=["POST"]),
        Route("/v1/models", guarded(_models)),
        Route("/v1/load_lora_adapter", guarded(_load), methods=["POST"]),
        Route("/v1/unload_lora_adapter", guarded(_unload), methods=["POST"]),
        Route("/metrics", guarded(_metrics)),
        Route("/health", health),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


async def _handle(endpoint: _Endpoint, asking: Asking, request: Request, api_key: str) -> Response:
    """Check the key, answer, count; every error becomes OpenAI's form."""
    began, model, status = now(), "", 0
    try:
        if api_key:
            _check_key(request, api_key)
        response, model = await endpoint(asking, request, began)
        status = response.status_code
        return response
    except FreeholdError as error:
        status = status_of(error)
        return error_reply(error)
    except ClientDisconnect:
        return Response(status_code=499)  # nobody reads it
    except Exception as error:  # noqa: BLE001  # a bug ends one request, not the server
        _log.exception("request_failed", path=request.url.path)
        status = 500
        return error_reply(FreeholdError(f"The server failed: {type(error).__name__}.", "See its log."))
    finally:
        asking.counts.request(model, status, now() - began)


def _check_key(request: Request, api_key: str) -> None:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), api_key.encode()):
        raise AuthError("The API key is missing or wrong.", "Send Authorization: Bearer KEY.")


async def _models(asking: Asking, request: Request, began: float) -> tuple[Response, str]:
    return Json({"object": "list", "data": [_model(one) for one in asking.models.listed()]}), ""


def _model(one: Served) -> dict[str, Any]:
    return {
        "id": one.name,
        "object": "model",
        "created": 0,
        "owned_by": "freehold",
        "parent": one.parent,
        "max_model_len": min(one.engine.context, one.context or one.engine.context),
    }


async def _load(asking: Asking, request: Request, began: float) -> tuple[Response, str]:
    read = read_body(await asking.body(request), LoadAdapter)
    load, replace = asking.models.load_adapter, read.load_inplace
    await asyncio.to_thread(lambda: load(read.lora_name, read.lora_path, replace=replace))
    return Response(f"Success: LoRA adapter '{read.lora_name}' added successfully.", media_type="text/plain"), ""


async def _unload(asking: Asking, request: Request, began: float) -> tuple[Response, str]:
    read = read_body(await asking.body(request), UnloadAdapter)
    await asyncio.to_thread(asking.models.unload_adapter, read.lora_name)
    return Response(f"Success: LoRA adapter '{read.lora_name}' removed successfully.", media_type="text/plain"), ""


async def _metrics(asking: Asking, request: Request, began: float) -> tuple[Response, str]:
    return Response(asking.counts.page(len(asking.models.listed())), media_type=CONTENT_TYPE), ""


async def _watch(models: ModelSource) -> None:
    while True:
        await asyncio.sleep(REFRESH_SECONDS)
        await _look(models)


async def _look(models: ModelSource) -> None:
    try:
        await asyncio.to_thread(models.refresh)
    except Exception as error:  # noqa: BLE001  # whatever it is, what is loaded goes on being served
        _log.warning("models_not_refreshed", error=str(error))
