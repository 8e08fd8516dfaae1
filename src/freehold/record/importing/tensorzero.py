"""TensorZero: its tables as JSON lines, CSV or Parquet, of ClickHouse or of PostgreSQL; episodes and feedback included.

Source: tensorzero/tensorzero, the ClickHouse migrations (`crates/tensorzero-core/src/db/clickhouse/migration_manager/
migrations/`), the PostgreSQL ones (`…/db/postgres/migrations/`, with the payloads in tables of their own since
2026-02-13), and `ui/fixtures/*_examples.jsonl`. ClickHouse keeps JSON as text; PostgreSQL's is read as it is.

Where a model was called once for an inference, its call (ModelInference) gives the prompt as the model saw it,
templates filled in; otherwise the inference's own input stands, with a template's arguments as JSON. A float metric
outside of [0, 1] is kept as a comment, as is every metric's name: whether less is better stands in TensorZero's
configuration, not in its tables, so all scores are taken for «more is better».
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from freehold.domain.errors import RowError
from freehold.record.importing import chat
from freehold.record.importing.exchange import Exchange, Judgement
from freehold.record.importing.format import Format, Read, Shelf
from freehold.record.importing.values import (
    Row,
    count_of,
    list_of,
    number_of,
    object_of,
    objects_of,
    opened,
    said,
    text_of,
    time_ns,
    uuid7_ns,
)


def _role(row: Row) -> str | None:
    if "inference_id" in row and "model_name" in row:
        return "model-inference"
    if "function_name" in row and "episode_id" in row and "variant_name" in row and "id" in row:
        return "inference"
    if "raw_request" in row and "raw_response" in row and "input_messages" in row and "id" in row:
        return "model-data"
    if "input" in row and "output" in row and "inference_params" in row and "id" in row:
        return "data"
    if "inference_id" in row and "value" in row:
        return "demonstration"
    if "target_id" in row and "value" in row:
        return "comment" if "target_type" in row else "metric" if "metric_name" in row else None
    return None


def _read(role: str, row: Row, shelf: Shelf) -> Iterator[Read]:
    match role:
        case "model-data" | "data":
            shelf.put(role, text_of(row, "id"), row)
        case "model-inference":
            _keep_call(row, shelf)
        case "inference":
            yield _inference(row, shelf)
        case "demonstration":
            yield _judgement(row, shelf, text_of(row, "inference_id"), edit=_demonstrated(row.get("value")))
        case "comment":
            whole = text_of(row, "target_type") == "episode"
            target = text_of(row, "target_id")
            yield _judgement(row, shelf, target, episode=whole, comment=said(row.get("value")))
        case _:
            yield _metric(row, shelf)


def _keep_call(row: Row, shelf: Shelf) -> None:
    """Of several calls for one inference the last; there may have been others that failed, or that were candidates."""
    inference = text_of(row, "inference_id")
    kept = shelf.get("call", inference)
    others = set(list_of((kept or {}).get("ids"))) | {text_of(row, "id")}
    newest = row if kept is None or text_of(row, "id") >= text_of(kept["row"], "id") else kept["row"]
    slim = {name: value for name, value in newest.items() if name not in ("raw_request", "raw_response")}
    shelf.put("call", inference, {"row": slim, "ids": sorted(others)})


def _inference(row: Row, shelf: Shelf) -> Exchange:
    inference = text_of(row, "id")
    kept = shelf.get("call", inference) or {}
    call = object_of(kept.get("row"))
    call = {**call, **(shelf.get("model-data", text_of(call, "id")) or {})} if call else {}
    row = {**(shelf.get("data", inference) or {}), **row}
    if "input" not in row:
        raise RowError("It has no input.", "Import the table with its data (chat_inference_data …) together with it.")
    shelf.put("inference", inference, {})
    model, provider = text_of(call, "model_name"), text_of(call, "model_provider_name")
    message = _answer(row.get("output"))
    used = chat.usage(count_of(call, "input_tokens"), count_of(call, "output_tokens"))
    tags = object_of(row.get("tags"))
    return Exchange(
        request={"messages": _messages(row, call, single=len(kept.get("ids", ())) == 1), **_parameters(row)},
        response=chat.completion(message, model=model, finish=text_of(call, "finish_reason"), used=used),
        own_id=inference,
        at_ns=uuid7_ns(inference) or time_ns(row.get("timestamp") or row.get("created_at")),
        model=model,
        answered=text_of(call, "response_model_name"),
        provider=provider,
        task=text_of(row, "function_name"),
        episode=text_of(row, "episode_id"),
        subject=text_of(tags, "user_id", "user"),
        cached=call.get("cached") in (True, 1, "true", "1"),
        first_byte_us=(count_of(row, "ttft_ms") or 0) * 1000,
        duration_us=(count_of(row, "processing_time_ms") or 0) * 1000,
    )


def _messages(row: Row, call: Row, *, single: bool) -> list[Row]:
    """What was asked: as the model saw it if that is known, else as the function was called."""
    seen = list_of(call.get("input_messages")) if single else []
    given = object_of(row.get("input"))
    if seen:
        system, turns = call.get("system"), objects_of(seen)
    else:
        system, turns = given.get("system"), objects_of(given.get("messages"))
    asked = [{"role": "system", "content": said(system)}] if system else []
    asked += [made for turn in turns for made in _turns(turn)]
    if not asked:
        raise RowError("It has no messages.", "Export its `input`.")
    return asked


def _turns(turn: Row) -> list[Row]:
    """The messages of one message with blocks: results of tools are messages of their own."""
    role, content = text_of(turn, "role"), turn.get("content")
    if isinstance(content, str):
        return [{"role": role, "content": content}]
    texts: list[str] = []
    others: list[Any] = []
    calls: list[Row] = []
    results: list[Row] = []
    for block in objects_of(content):
        match text_of(block, "type"):
            case "text" | "raw_text" | "template":
                texts.append(said(block.get("text", block.get("value", block.get("arguments")))))
            case "tool_call":
                calls.append(_call(block))
            case "tool_result":
                result = said(block.get("result"))
                results.append({"role": "tool", "tool_call_id": text_of(block, "id"), "content": result})
            case "thought":
                pass
            case _:
                others.append(block)
    if not (texts or others or calls):
        return results
    text = "\n".join(texts)
    made: Row = {"role": role, "content": [{"type": "text", "text": text}, *others] if others else text or None}
    return [*results, {**made, "tool_calls": calls} if calls else made]


def _call(block: Row) -> Row:
    name = text_of(block, "raw_name", "name")
    return chat.tool_call(text_of(block, "id"), name, block.get("raw_arguments") or block.get("arguments"))


def _answer(output: Any) -> Row:
    found = opened(output)
    if isinstance(found, list):
        turns = _turns({"role": "assistant", "content": found})
        return turns[0] if turns else chat.assistant("")
    document = object_of(found)
    if "raw" in document:
        return chat.assistant(said(document["raw"]) or said(document.get("parsed")))
    raise RowError("Its output is neither blocks nor an object with `raw`.", "Export the table as it is.")


def _demonstrated(value: Any) -> str:
    message = _answer(value)
    return said(message["content"]) or said(message.get("tool_calls"))


def _parameters(row: Row) -> Row:
    own = object_of(object_of(row.get("inference_params")).get("chat_completion"))
    given = object_of(row.get("tool_params"))
    offered = objects_of(given.get("tools_available")) or objects_of(row.get("dynamic_tools"))
    found: Row = {name: value for name, value in own.items() if value is not None}
    if offered:
        found["tools"] = [_tool(item) for item in offered]
    schema = opened(row.get("output_schema"))
    if isinstance(schema, dict) and schema:
        found["response_format"] = {"type": "json_schema", "json_schema": {"name": "output", "schema": schema}}
    return chat.parameters({("stop" if name == "stop_sequences" else name): value for name, value in found.items()})


def _tool(given: Row) -> Row:
    function = {name: given[name] for name in ("name", "description", "parameters", "strict") if name in given}
    return {"type": "function", "function": function}


def _metric(row: Row, shelf: Shelf) -> Judgement:
    name, given = text_of(row, "metric_name"), row.get("value")
    value = {"true": 1.0, "false": 0.0}.get(str(given).lower(), number_of(row, "value"))
    if value is None:
        raise RowError("Its value is neither true, false nor a number.", "Export the table as it is.")
    comment = name if 0 <= value <= 1 else f"{name}: {value:g}"
    score = value if 0 <= value <= 1 else None
    return _judgement(row, shelf, text_of(row, "target_id"), episode=None, score=score, comment=comment)


def _judgement(row: Row, shelf: Shelf, target: str, episode: bool | None = False, **said_of_it: Any) -> Judgement:
    """`episode`: whether the target is one; None: it is if no inference with its id came before."""
    own = text_of(row, "id")
    if not own or not target:
        raise RowError("It has no id or no target.", "Export the table as it is.")
    if episode is None:
        episode = shelf.get("inference", target) is None
    return Judgement(
        own_id=own,
        about="" if episode else target,
        episode=target if episode else None,
        at_ns=uuid7_ns(own) or time_ns(row.get("timestamp") or row.get("created_at")),
        **said_of_it,
    )


FORMAT = Format(
    "tensorzero",
    "TensorZero tables (JSONL, CSV or Parquet)",
    ("model-data", "model-inference", "data", "inference", "metric", "comment", "demonstration"),
    _role,
    _read,
)
