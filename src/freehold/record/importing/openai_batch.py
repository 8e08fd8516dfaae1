"""OpenAI's Batch API: input files and output (or error) files, joined by `custom_id`.

Source: OpenAI's API reference, "Batch": the request input object (`custom_id`, `method`, `url`, `body`) and the
request output object (`id`, `custom_id`, `response.status_code`, `response.body`, `error`), as of 2026.
"""

from __future__ import annotations

from collections.abc import Iterator

from freehold.domain.errors import RowError
from freehold.domain.traces import Api
from freehold.record.importing.chat import without_secrets
from freehold.record.importing.exchange import Exchange
from freehold.record.importing.format import Format, Read, Shelf
from freehold.record.importing.values import Row, count_of, object_of, text_of, time_ns

_APIS: dict[str, Api] = {
    "/v1/chat/completions": "chat",
    "/v1/responses": "responses",
    "/v1/completions": "completions",
    "/v1/embeddings": "embeddings",
}


def _role(row: Row) -> str | None:
    if "custom_id" not in row:
        return None
    if "url" in row and isinstance(row.get("body"), dict):
        return "input"
    return "output" if "response" in row and "result" not in row else None


def _read(role: str, row: Row, shelf: Shelf) -> Iterator[Read]:
    name = text_of(row, "custom_id")
    if not name:
        raise RowError("Its custom_id is empty.", "Give the one of the request.")
    if role == "input":
        put_request(shelf, name, {"url": row["url"], "body": row["body"]})
    else:
        yield _exchange(row, get_request(shelf, name))


def put_request(shelf: Shelf, name: str, row: Row) -> None:
    """Put a batch's request aside; of two different ones with one name neither can be told to be meant."""
    known = shelf.get("input", name)
    shelf.put("input", name, row if known in (None, row) else {})


def get_request(shelf: Shelf, name: str) -> Row:
    """The request of this name.

    Raises:
        RowError: there is none, or several.
    """
    asked = shelf.get("input", name)
    if asked is None:
        raise RowError("No request has its custom_id.", "Import the batch's input file together with its output.")
    if not asked:
        raise RowError("Several requests have its custom_id.", "Import each batch by itself.")
    return asked


def _exchange(row: Row, asked: Row) -> Exchange:
    url, body = text_of(asked, "url"), object_of(asked.get("body"))
    response = object_of(row.get("response"))
    answer = object_of(response.get("body"))
    failure = object_of(row.get("error")) or object_of(answer.get("error"))
    return Exchange(
        request=without_secrets(body),
        response=answer or None,
        api=_APIS.get(url, "other"),
        own_id=text_of(row, "id") or text_of(answer, "id"),
        at_ns=time_ns(answer.get("created") or answer.get("created_at")),
        model=text_of(body, "model"),
        answered=text_of(answer, "model"),
        provider="openai",
        status=count_of(response, "status_code") or (500 if failure else 200),
        error=f"batch_failed: {text_of(failure, 'code', 'type') or 'unknown'}" if failure else None,
        subject=text_of(body, "safety_identifier", "user"),
    )


FORMAT = Format("openai-batch", "OpenAI Batch API (input and output JSONL)", ("input", "output"), _role, _read)
