"""Chat datasets of Hugging Face, from local files: JSON lines, Parquet, or a folder that `datasets` saved.

Source: the column names that Hugging Face's TRL takes ("Dataset formats and types": `messages`; `prompt` and
`completion`, as text or as messages), ShareGPT's `conversations` of `{from, value}`, and Alpaca's `instruction`,
`input`, `output`. Files of this kind seldom say when an answer was given or which model gave it: give `--model` and
`--upstream`; a column `model` goes before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from freehold.domain.errors import RowError
from freehold.record.importing import chat
from freehold.record.importing.exchange import Exchange
from freehold.record.importing.format import Format, Read, Shelf
from freehold.record.importing.values import Row, list_of, objects_of, said, text_of

_CHATS = ("messages", "conversations", "conversation")
_ANSWERS = ("completion", "response")


def _role(row: Row) -> str | None:
    for name in _CHATS:
        turns = objects_of(row.get(name))
        if turns and ("role" in turns[0] or "from" in turns[0]):
            return "chat"
    if "prompt" in row and any(name in row for name in _ANSWERS):
        return "pair"
    return "instruction" if "instruction" in row and "output" in row else None


def _read(role: str, row: Row, _shelf: Shelf) -> Iterator[Read]:
    if role == "chat":
        given = next(objects_of(row[name]) for name in _CHATS if objects_of(row.get(name)))
        asked, answer = chat.split_answer(chat.chat_messages([_present(turn) for turn in given]))
    elif role == "pair":
        asked = _turns(row.get("prompt"), "user")
        answer = _turns(next(row[name] for name in _ANSWERS if name in row), "assistant")[-1]
    else:
        task, about = said(row.get("instruction")), said(row.get("input"))
        asked = _turns(f"{task}\n\n{about}" if about else task, "user")
        answer = _turns(row.get("output"), "assistant")[-1]
    system = text_of(row, "system", "system_prompt")
    if system and asked[0]["role"] != "system":
        asked = [{"role": "system", "content": system}, *asked]
    tools = list_of(row.get("tools"))
    model = text_of(row, "model")
    yield Exchange(
        request={"messages": asked, **(chat.parameters({"tools": tools}) if tools else {})},
        response=chat.completion(answer, model=model),
        model=model,
    )


def _present(turn: Row) -> Row:
    """Without the empty fields that a table adds to each message."""
    return {name: value for name, value in turn.items() if value is not None}


def _turns(given: Any, role: str) -> list[Row]:
    if isinstance(given, str) and given:
        return [{"role": role, "content": given}]
    if not given:
        raise RowError("It has an empty prompt or an empty answer.", "Leave such rows out.")
    return chat.chat_messages([_present(turn) for turn in objects_of(given)])


FORMAT = Format(
    "huggingface", "Hugging Face chat datasets (local files)", ("chat", "pair", "instruction"), _role, _read
)
