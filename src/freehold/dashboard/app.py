"""The ASGI application: paths, and the one place where errors become pages."""

from __future__ import annotations

import functools
import http
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from freehold.config import Settings
from freehold.dashboard import pages
from freehold.dashboard.desk import Desk
from freehold.dashboard.guard import Guard
from freehold.dashboard.show import render
from freehold.domain.errors import FreeholdError, NotFound
from freehold.domain.ids import is_id

if TYPE_CHECKING:
    from freehold.store import Store

Page = Callable[["Store", pages.Asked], str]
_STATIC = Path(__file__).parent / "static"
_log = structlog.get_logger()


def create_dashboard(settings: Settings) -> ASGIApp:
    """The dashboard over the store that `settings` name, for paths that are not the gateway's.

    Opens nothing before the first page. A store that cannot be read gives a page that says so, with status 503.

    Raises:
        ConfigError: `gateway.api_key_env` or `access.admin_key_env` is set but the variable holds no key.
    """
    desk = Desk(settings)
    app = Starlette(
        routes=[
            Route("/", _endpoint(desk, pages.overview)),
            Route("/tasks/{task_id}", _endpoint(desk, pages.task)),
            Route("/tasks/{task_id}/evaluation", _endpoint(desk, pages.evaluation)),
            Route("/traces", _endpoint(desk, pages.traces)),
            Route("/traces/{trace_id}", _endpoint(desk, pages.trace)),
            Route("/episodes", _endpoint(desk, pages.episodes)),
            Route("/episode", _endpoint(desk, pages.episode)),
            Route("/events", _endpoint(desk, pages.events)),
            Route("/ledger", _endpoint(desk, pages.ledger)),
            Mount("/static", StaticFiles(directory=_STATIC)),
        ],
        exception_handlers={FreeholdError: _failed, HTTPException: _refused},
    )
    return Guard(app, settings)


def _endpoint(desk: Desk, page: Page) -> Callable[[Request], object]:
    async def endpoint(request: Request) -> Response:
        for name, value in request.path_params.items():
            if not is_id(value):
                raise NotFound(f"What stands in the address is not a {name.replace('_', ' ')}.", "Follow a link here.")
        asked = pages.Asked(
            settings=desk.settings,
            host=request.headers.get("host", ""),
            path=dict(request.path_params),
            query=dict(request.query_params),
        )
        return HTMLResponse(await desk.make(functools.partial(_call, page, asked)))

    return endpoint


def _call(page: Page, asked: pages.Asked, store: Store) -> str:
    return page(store, asked)


async def _failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, FreeholdError)
    if error.http_status >= 500:
        _log.warning("page-failed", path=request.url.path, code=error.code, error=error.message)
    return _error_page(error.http_status, error.message, error.hint)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = "There is no such page." if error.status_code == 404 else error.detail
    return _error_page(error.status_code, message, "The overview has a way to everything there is.")


def _error_page(status: int, message: str, hint: str) -> Response:
    title = http.HTTPStatus(status).phrase
    return HTMLResponse(render("error.html", title=title, status=status, message=message, hint=hint), status)
