"""HTTP/1.1 towards callers: bytes in, a `Request` to the application, a `Reply` back.

Public names: `HttpProtocol` (one connection), `Request`, `Reply`, `Listener`, `Application`, `serve_asgi`.
"""

from freehold.gateway.http.asgi import serve_asgi
from freehold.gateway.http.protocol import Application, HttpProtocol
from freehold.gateway.http.reply import Listener, Reply
from freehold.gateway.http.request import Request

__all__ = ["Application", "HttpProtocol", "Listener", "Reply", "Request", "serve_asgi"]
