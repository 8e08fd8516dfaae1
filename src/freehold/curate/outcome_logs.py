"""JSON lines with recorded outcomes, in any of three forms, made into rows of one table.

A row: one answer of one model to one prompt, a JSON object with the table's columns (`freehold.curate.outcome_rows`):

    {"prompt": "…", "model": "gpt-4o", "score": 1, "cost_usd": 0.004}

A request: everything that several models made of one prompt. An answer is an object with `score` and, where known,
`response`, `input_tokens`, `output_tokens`, `cost_usd`, `is_open_weight`; or it is the text alone, or the score alone:

    {"prompt": "…", "answers": {"gpt-4o": {"score": 1, "response": "…"}, "qwen3-8b": 0.5}}
    {"messages": [{"role": "user", "content": "…"}], "scores": {"gpt-4o": 1, "qwen3-8b": 0.5}}

A log line: a chat completion as it went over the wire, with the score that somebody gave it:

    {"request": {"model": "gpt-4o", "messages": […]}, "response": {"choices": […], "usage": {…}}, "score": 1}

`task` and `prompt_id` may stand in every form. Lines with the same `prompt_id`, or without one and with the same
prompt, belong together. Of `messages` the prompt is what a router sees in service: all but the instructions.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, TypeAlias, cast

import msgspec

from freehold.domain.chat import ChatRequest, Message, student_input
from freehold.domain.errors import RequestError

Row: TypeAlias = dict[str, Any]
_SHARED = ("prompt_id", "task", "is_open_weight")
_NUMBERS = ("score", "input_tokens", "output_tokens", "cost_usd")
_FORMS = "a row (`prompt`, `model`, `score`), a request (`prompt`, `answers`), or a log line (`request`, `response`)"


def rows_of_line(line: bytes) -> list[Row]:
    """The rows that one line of JSON stands for, one per answer.

    Raises:
        RequestError: it is not JSON, or has none of the three forms; the message does not name the line.
    """
    record = _object(line)
    if isinstance(record.get("request"), dict):
        return [_from_exchange(record)]
    if "answers" in record or "scores" in record:
        return _from_request(record)
    if "model" in record:
        return [_row(record, _prompt(record), record["model"], record)]
    raise RequestError(
        f"it has the fields {', '.join(f'`{name}`' for name in sorted(record)) or 'none at all'}.",
        f"Give {_FORMS} per line.",
    )


def _object(line: bytes) -> Mapping[str, Any]:
    try:
        record: object = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        record = _lenient(line)
    if not isinstance(record, dict):
        raise RequestError("it is JSON, but not an object.", f"Give {_FORMS} per line.")
    return cast("dict[str, Any]", record)


def _lenient(line: bytes) -> object:
    """Many programs write NaN, which is not JSON."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"it is not JSON: {error}.", "Give one JSON object per line (JSONL).") from error


def _from_request(record: Mapping[str, Any]) -> list[Row]:
    answers, scores = _by_model(record, "answers"), _by_model(record, "scores")
    prompt = _prompt(record)
    models = dict.fromkeys((*answers, *scores))
    return [_row(record, prompt, model, _answer(answers.get(model), scores.get(model))) for model in models]


def _by_model(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    given: object = record.get(name)
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise RequestError(f"`{name}` is not an object.", f"Give `{name}` as an object: model → answer or score.")
    return cast("dict[str, Any]", given)


def _answer(answer: Any, score: Any) -> Mapping[str, Any]:
    if isinstance(answer, dict):
        return cast("dict[str, Any]", answer) if score is None else {**answer, "score": score}
    if isinstance(answer, str):
        return {"response": answer, "score": score}
    return {"score": answer if score is None else score}


def _from_exchange(record: Mapping[str, Any]) -> Row:
    request = cast("dict[str, Any]", record["request"])
    given = record.get("response")
    response = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
    usage = response.get("usage")
    usage = cast("dict[str, Any]", usage) if isinstance(usage, dict) else {}
    found: Row = {
        "response": _text_of_choices(response) if response else given,
        "input_tokens": usage.get("prompt_tokens", usage.get("input_tokens")),
        "output_tokens": usage.get("completion_tokens", usage.get("output_tokens")),
    }
    model = record.get("model") or request.get("model") or response.get("model")
    # What stands beside request and response was put there by whoever made the log: it goes before what was counted.
    return _row(record, _prompt(request), model, {**found, **record, "response": found["response"]})


def _text_of_choices(response: Mapping[str, Any]) -> str | None:
    choices = response.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return None
    first = cast("dict[str, Any]", choices[0])
    message = first.get("message")
    content = cast("dict[str, Any]", message).get("content") if isinstance(message, dict) else first.get("text")
    return content if isinstance(content, str) else None


def _row(shared: Mapping[str, Any], prompt: str | None, model: object, answer: Mapping[str, Any]) -> Row:
    response = answer.get("response")
    row: Row = {"prompt": prompt, "model": None if model is None else str(model)}
    row["response"] = response if response is None or isinstance(response, str) else json.dumps(response)
    for name in _SHARED:
        value = answer.get(name, shared.get(name))
        row[name] = None if value is None else str(value)
    for name in _NUMBERS:
        row[name] = _number(answer.get(name))
    return row


def _number(value: object) -> float | None:
    if isinstance(value, bool | int | float | str):
        try:
            return float(value)
        except (ValueError, OverflowError):
            return None if isinstance(value, str) else math.inf
    return None


def _prompt(record: Mapping[str, Any]) -> str | None:
    """`prompt`, or of `messages` the text that a router sees in service; None if some of it is not text."""
    prompt = record.get("prompt", record.get("input"))
    messages: object = record.get("messages", prompt if isinstance(prompt, list) else None)
    if messages is None:
        return prompt if prompt is None or isinstance(prompt, str) else json.dumps(prompt)
    try:
        turns = msgspec.convert(messages, list[Message])
    except msgspec.ValidationError as error:
        raise RequestError(f"its messages are not a list of {{role, content}}: {error}.", "Mend them.") from error
    return student_input(ChatRequest("", turns))
