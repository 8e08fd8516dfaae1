"""OpenAI's fine-tuning files: one chat per line, its last message the answer to learn.

Source: OpenAI's API reference, "Fine-tuning", the chat format of training files (as of 2026); its fields are
`messages`, `tools`, `functions` and `parallel_tool_calls`. A message's `weight` says what to train on and is no part of
the exchange. Requests of the chat completions API that were logged with their answer appended are of the same form:
their `model` and parameters are kept. Where no model is named, give `--model`; when it was, no such file says.
"""

from __future__ import annotations

from collections.abc import Iterator

from freehold.record.importing.chat import PARAMETERS, chat_messages, completion, parameters, split_answer
from freehold.record.importing.exchange import Exchange
from freehold.record.importing.format import Format, Read, Shelf
from freehold.record.importing.values import Row, objects_of, text_of

_FIELDS = frozenset((*PARAMETERS, "messages", "model", "metadata", "store", "stream", "user"))


def _role(row: Row) -> str | None:
    turns = objects_of(row.get("messages"))
    return "chat" if turns and "role" in turns[0] and _FIELDS.issuperset(row) else None


def _read(_role: str, row: Row, _shelf: Shelf) -> Iterator[Read]:
    asked, answer = split_answer(chat_messages(row.get("messages")))
    model = text_of(row, "model")
    request = {"messages": asked, **parameters(row)}
    yield Exchange(request=request, response=completion(answer, model=model), model=model)


FORMAT = Format("openai-chat", "OpenAI fine-tuning files (JSONL of chats)", ("chat",), _role, _read)
