"""The provider's HTTP server: a table of endpoints, every request kept as it came."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import uvicorn

from . import chat, messages, others, responses
from .script import Ask, Refused, Said, answer, digest

Json = dict[str, Any]
JSON = "application/json"
EVENTS = "text/event-stream; charset=utf-8"
SOUND = b"RIFF\x00\x01\x02\xff sound"
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}


@dataclass(frozen=True)
class Seen:
    """A request as it came: the target with its query, headers in order, names in lower case."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of a header; None where it did not come."""
        return next((value for found, value in self.headers if found == name), None)

    @property
    def json(self) -> Json:
        """The body, read."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """An answer on its way: a body, or events one by one."""

    status: int
    content_type: str
    body: bytes = b""
    events: tuple[bytes, ...] = ()


class Provider:
    """Runs in a thread; `openai_url` and `anthropic_url` are what clients are told."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.gate = threading.Event()
        """Closed: a stream waits after its first event until it opens."""
        self.gate.set()
        listener = socket.create_server(("127.0.0.1", 0))
        self.anthropic_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.openai_url = f"{self.anthropic_url}/v1"
        config = uvicorn.Config(
            self._app,  # type: ignore[arg-type]
            http="h11",
            interface="asgi3",
            proxy_headers=False,
            ws="none",
            lifespan="off",
            log_config=None,
            server_header=False,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), daemon=True)
        self._thread.start()

    @property
    def last(self) -> Seen:
        """The newest request, lists of models aside: the gateway asks for these by itself."""
        return next(seen for seen in reversed(self.seen) if seen.target != "/v1/models")

    def stop(self) -> None:
        """Answer no more."""
        self.gate.set()
        self._server.should_exit = True
        self._thread.join(10)

    def __enter__(self) -> Provider:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    async def _app(self, scope: Json, receive: Callable[[], Any], send: Callable[[Json], Any]) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        query = scope["query_string"].decode("latin-1")
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        target = scope["raw_path"].decode("latin-1") + (f"?{query}" if query else "")
        seen = Seen(scope["method"], target, headers, body)
        self.seen.append(seen)
        found = reply(seen)
        head = [("content-type", found.content_type), *_headers(found.status)]
        if not found.events:
            head.append(("content-length", str(len(found.body))))
        raw = [(name.encode(), value.encode()) for name, value in head]
        await send({"type": "http.response.start", "status": found.status, "headers": raw})
        for number, event in enumerate(found.events):
            if number == 1:
                await asyncio.to_thread(self.gate.wait, 20)
            # In two parts, cut anywhere, letters of several bytes included: a reader may not rely on whole events.
            for part in (event[: len(event) // 2], event[len(event) // 2 :]):
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else found.body})


def reply(seen: Seen) -> Answer:
    """What the provider answers to a request; a function of the request alone."""
    path = seen.target.partition("?")[0]
    shape = _anthropic_error if _speaks_anthropic(seen) else _openai_error
    try:
        if _key(seen) in (None, "", "sk-wrong"):
            raise Refused(401, "Incorrect API key provided.")
        return _route(seen, path)
    except Refused as error:
        return _json(shape(error), error.status)


def _route(seen: Seen, path: str) -> Answer:
    method = seen.method
    if path.startswith("/v1/unknown/"):
        told = {"method": method, "target": seen.target, "length": len(seen.body), "digest": digest(seen.body)}
        return _json(told)
    if (method, path) in _GENERATED:
        return _generate(_GENERATED[method, path], _body(seen))
    if (method, path) in _FIXED:
        return _FIXED[method, path](seen)
    if method == "GET" and path.startswith("/v1/models/"):
        return _json(others.model(path.removeprefix("/v1/models/")))
    raise Refused(404, f"Unknown request URL: {method} {path}.")


@dataclass(frozen=True)
class _Generated:
    ask: Callable[[Json], Ask]
    whole: Callable[[Json, Said], Json]
    events: Callable[[Json, Said], list[Json | str]]
    named: bool


_GENERATED = {
    ("POST", "/v1/chat/completions"): _Generated(chat.ask_of, chat.whole, chat.events, False),
    ("POST", "/v1/responses"): _Generated(responses.ask_of, responses.whole, responses.events, True),
    ("POST", "/v1/messages"): _Generated(messages.ask_of, messages.whole, messages.events, True),
}


def _generate(kind: _Generated, body: Json) -> Answer:
    said = answer(kind.ask(body))
    if body.get("stream") is True:
        return _stream(kind.events(body, said), kind.named)
    return _json(kind.whole(body, said))


def _completion(seen: Seen) -> Answer:
    body = _body(seen)
    whole, events = others.completion(body)
    return _stream(events, False) if body.get("stream") is True else _json(whole)


def _count(seen: Seen) -> Answer:
    messages.ask_of(_body(seen), counting=True)
    return _json({"input_tokens": 11})


def _stored(seen: Seen) -> Answer:
    body = {"model": "gpt-test"}
    return _json(responses.whole(body, Said(("stored",))))


def _items(seen: Seen) -> Answer:
    content = [{"type": "input_text", "text": "hello"}]
    item = {"id": "msg_0", "type": "message", "role": "user", "status": "completed", "content": content}
    return _json({"object": "list", "data": [item], "first_id": "msg_0", "last_id": "msg_0", "has_more": False})


def _upload(seen: Seen) -> Answer:
    return _json(others.uploaded(seen.header("content-type") or "", seen.body))


def _heard(seen: Seen) -> Answer:
    return _json(others.transcription(seen.header("content-type") or "", seen.body))


_FIXED: dict[tuple[str, str], Callable[[Seen], Answer]] = {
    ("POST", "/v1/completions"): _completion,
    ("POST", "/v1/embeddings"): lambda seen: _json(others.embeddings(_body(seen))),
    ("POST", "/v1/messages/count_tokens"): _count,
    ("GET", "/v1/models"): lambda seen: _json(others.models()),
    ("GET", f"/v1/responses/{responses.ID}"): _stored,
    ("GET", f"/v1/responses/{responses.ID}/input_items"): _items,
    ("POST", f"/v1/responses/{responses.ID}/cancel"): _stored,
    ("DELETE", f"/v1/responses/{responses.ID}"): lambda seen: _json(
        {"id": responses.ID, "object": "response", "deleted": True}
    ),
    ("POST", "/v1/files"): _upload,
    ("GET", "/v1/files"): lambda seen: _json({"object": "list", "data": [others.file_object()], "has_more": False}),
    ("GET", f"/v1/files/{others.FILE}"): lambda seen: _json(others.file_object()),
    ("GET", f"/v1/files/{others.FILE}/content"): lambda seen: Answer(200, "application/octet-stream", SOUND),
    ("DELETE", f"/v1/files/{others.FILE}"): lambda seen: _json({"id": others.FILE, "object": "file", "deleted": True}),
    ("POST", "/v1/audio/transcriptions"): _heard,
    ("POST", "/v1/audio/speech"): lambda seen: Answer(200, "audio/wav", SOUND),
}


def _body(seen: Seen) -> Json:
    try:
        found = json.loads(seen.body)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "We could not parse the JSON body of your request.") from error
    if not isinstance(found, dict):
        raise Refused(400, "The body must be an object.")
    return found


def _json(document: object, status: int = 200) -> Answer:
    return Answer(status, JSON, json.dumps(document, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass"))


def _stream(events: list[Json | str], named: bool) -> Answer:
    found: list[bytes] = []
    for event in events:
        data = event if isinstance(event, str) else json.dumps(event, ensure_ascii=False)
        name = f"event: {event['type']}\n" if named and isinstance(event, dict) else ""
        found.append(f"{name}data: {data}\n\n".encode("utf-8", "surrogatepass"))
    return Answer(200, EVENTS, events=tuple(found))


def _speaks_anthropic(seen: Seen) -> bool:
    return seen.header("anthropic-version") is not None or seen.target.startswith("/v1/messages")


def _key(seen: Seen) -> str | None:
    if _speaks_anthropic(seen) and seen.header("x-api-key") is not None:
        return seen.header("x-api-key")
    return (seen.header("authorization") or "").removeprefix("Bearer ")


def _headers(status: int) -> list[tuple[str, str]]:
    found = [("x-request-id", "req_1"), ("request-id", "req_1"), ("x-ratelimit-remaining-requests", "99")]
    found += [("openai-processing-ms", "5"), ("anthropic-ratelimit-requests-remaining", "99")]
    return [*found, ("retry-after", "7")] if status == 429 else found


def _openai_error(error: Refused) -> Json:
    kind = _ERROR_TYPES.get(error.status, "server_error")
    return {"error": {"message": error.message, "type": kind, "param": error.param, "code": None}}


def _anthropic_error(error: Refused) -> Json:
    kind = _ERROR_TYPES.get(error.status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": error.message}, "request_id": "req_1"}
