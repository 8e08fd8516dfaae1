"""OpenAI's fine-tuning files: one chat per line, its last message the answer to learn.

Source: OpenAI's API reference, "Fine-tuning", the chat format of training files (as of 2026); its fields are
`messages`, `tools`, `functions` and `parallel_tool_calls`. A message's `weight` says what to train on and is no part of
the exchange. Files of this kind say neither when it was nor which model answered: give `--model` and `--upstream`.
"""

from __future__ import annotations

from collections.abc import Iterator

from freehold.record.importing.chat import chat_messages, completion, parameters, split_answer
from freehold.record.importing.exchange import Exchange
from freehold.record.importing.format import Format, Read, Shelf
from freehold.record.importing.values import Row, objects_of

_FIELDS = frozenset(("messages", "tools", "functions", "parallel_tool_calls"))


def _role(row: Row) -> str | None:
    turns = objects_of(row.get("messages"))
    return "chat" if turns and "role" in turns[0] and _FIELDS.issuperset(row) else None


def _read(_role: str, row: Row, _shelf: Shelf) -> Iterator[Read]:
    asked, answer = split_answer(chat_messages(row.get("messages")))
    yield Exchange(request={"messages": asked, **parameters(row)}, response=completion(answer, model=""))


FORMAT = Format("openai-chat", "OpenAI fine-tuning files (JSONL of chats)", ("chat",), _role, _read)
