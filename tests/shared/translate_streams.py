"""Streams for tests: a whole answer cut into events, and events put together to a whole answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from translate_documents import Json

Draw = Callable[[st.SearchStrategy[Any]], Any]


def cut(draw: Draw, whole: Any) -> list[Any]:
    """Text or bytes in pieces, some of them empty."""
    places = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=4)))
    return [whole[start:end] for start, end in zip([0, *places], [*places, len(whole)], strict=True)]


def sse(draw: Draw, events: list[Json | str], *, named: bool) -> bytes:
    """The events' bytes, with any line end and a comment here and there."""
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    lines: list[str] = []
    for event in events:
        if draw(st.integers(0, 9)) == 0:
            lines += [": still here", ""]
        if isinstance(event, str):
            lines += [f"data: {event}", ""]
            continue
        if named:
            lines.append(f"event: {event['type']}")
        lines += [f"data: {json.dumps(event, ensure_ascii=False)}", ""]
    return "".join(line + end for line in lines).encode()


def parsed(stream: bytes) -> list[Any]:
    """The data of every event of a stream as this package writes it."""
    events = [event for event in stream.decode().split("\n\n") if event and not event.startswith(":")]
    found: list[Any] = []
    for event in events:
        lines = event.split("\n")
        data = lines[-1].removeprefix("data: ")
        document: Any = data if data == "[DONE]" else json.loads(data)
        if len(lines) == 2:
            assert lines[0] == f"event: {document['type']}"
        found.append(document)
    return found


def anthropic_events(draw: Draw, whole: Json) -> list[Json | str]:
    """An Anthropic answer as its stream."""
    usage = whole["usage"]
    started = {**usage, "output_tokens": 1, "output_tokens_details": None}
    empty = {"content": [], "stop_reason": None, "stop_sequence": None, "stop_details": None, "usage": started}
    events: list[Json | str] = [{"type": "message_start", "message": {**whole, **empty}}, {"type": "ping"}]
    for index, block in enumerate(whole["content"]):
        start, deltas = _pieces(draw, block)
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    ended = {name: whole[name] for name in ("stop_reason", "stop_sequence", "stop_details")}
    counted = {name: usage[name] for name in ("output_tokens", "output_tokens_details")}
    events += [{"type": "message_delta", "delta": ended, "usage": counted}, {"type": "message_stop"}]
    return events


def _pieces(draw: Draw, block: Json) -> tuple[Json, list[Json]]:
    if block["type"] == "text":
        return {**block, "text": ""}, [{"type": "text_delta", "text": piece} for piece in cut(draw, block["text"])]
    if block["type"] == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in cut(draw, block["thinking"])]
        signed = {"type": "signature_delta", "signature": block["signature"]}
        return {**block, "thinking": "", "signature": ""}, [*deltas, signed]
    if block["type"] == "tool_use" and (block["input"] or draw(st.booleans())):
        pieces = cut(draw, json.dumps(block["input"]))
        return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    return block, []


def openai_chunks(draw: Draw, whole: Json) -> list[Json | str]:
    """An OpenAI answer as its stream; the pieces of its calls may come mixed."""
    choice = whole["choices"][0]
    said = choice["message"]
    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    for name in ("reasoning_content", "content", "refusal"):
        deltas += [{name: piece} for piece in cut(draw, said.get(name) or "")]
        if name == "reasoning_content" and "thinking_blocks" in said:
            deltas += [
                {"thinking_blocks": [{"index": place, **block}]} for place, block in enumerate(said["thinking_blocks"])
            ]
    deltas += _calls(draw, said.get("tool_calls", []))
    head = {name: whole[name] for name in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    ended = {name: choice[name] for name in ("finish_reason", "stop_reason") if name in choice}
    chunks: list[Json | str] = [
        {**head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}]} for delta in deltas
    ]
    chunks.append({**head, "choices": [{"index": 0, "delta": {}, "logprobs": None, **ended}]})
    chunks.append({**head, "choices": [], "usage": whole["usage"]})
    return [*chunks, "[DONE]"]


def _calls(draw: Draw, calls: list[Json]) -> list[Json]:
    queues: list[list[Json]] = [
        [{"index": index, "function": {"arguments": piece}} for piece in cut(draw, call["function"]["arguments"])]
        for index, call in enumerate(calls)
    ]
    for index, call in enumerate(calls):
        first: Json = {"index": index, "id": call["id"], "type": "function"}
        queues[index].insert(0, {**first, "function": {"name": call["function"]["name"], "arguments": ""}})
    found: list[Json] = []
    begun = 0
    while any(queues):
        ready = [place for place, queue in enumerate(queues) if queue and place <= begun]
        place = draw(st.sampled_from(ready))
        begun = max(begun, place + 1)
        found.append({"tool_calls": [queues[place].pop(0)]})
    return found


def openai_whole(stream: bytes) -> Json:
    """What a client of OpenAI's protocol makes of a stream."""
    documents = parsed(stream)
    assert documents.pop() == "[DONE]"
    said: Json = {"role": "assistant", "content": None, "refusal": None}
    choice: Json = {"index": 0, "message": said, "logprobs": None, "finish_reason": None}
    whole = {**documents[0], "object": "chat.completion", "choices": [choice], "usage": None}
    for chunk in documents:
        assert chunk["object"] == "chat.completion.chunk"
        assert choice["finish_reason"] is None or not chunk["choices"], "nothing comes after the reason"
        whole["usage"] = chunk.get("usage") or whole["usage"]
        for part in chunk["choices"]:
            choice["finish_reason"] = part["finish_reason"]
            if "stop_reason" in part:
                choice["stop_reason"] = part["stop_reason"]
            for name, piece in part["delta"].items():
                _add(said, name, piece)
    return whole


def _add(said: Json, name: str, piece: Any) -> None:
    if name == "tool_calls":
        for call in piece:
            calls = said.setdefault("tool_calls", [])
            if call["index"] == len(calls):
                named = {"name": call["function"]["name"], "arguments": ""}
                calls.append({"id": call["id"], "type": call["type"], "function": named})
            calls[call["index"]]["function"]["arguments"] += call["function"]["arguments"]
    elif name == "thinking_blocks":
        blocks = said.setdefault(name, [])
        assert [block.pop("index") for block in piece] == [len(blocks)]
        blocks += piece
    elif name != "role" and piece:
        said[name] = piece if said.get(name) is None else said[name] + piece


def anthropic_whole(stream: bytes) -> Json:
    """What a client of Anthropic's protocol makes of a stream, which must be in order."""
    events = [event for event in parsed(stream) if event["type"] != "ping"]
    assert [event["type"] for event in (events[0], *events[-2:])] == ["message_start", "message_delta", "message_stop"]
    whole = events[0]["message"]
    live: int | None = None
    texts = ""
    for event in events[1:-2]:
        if event["type"] == "content_block_start":
            assert live is None
            assert event["index"] == len(whole["content"])
            live, texts = event["index"], ""
            whole["content"].append(event["content_block"])
            continue
        assert event["index"] == live
        block = whole["content"][live]
        if event["type"] == "content_block_stop":
            live = None
            if block["type"] == "tool_use":
                block["input"] = json.loads(texts or "{}")
            continue
        kind, piece = event["delta"].values()
        if kind == "input_json_delta":
            texts += piece
        else:
            name = kind.removesuffix("_delta")
            block[name] = block[name] + piece
    assert live is None
    whole.update(events[-2]["delta"])
    whole["usage"].update(events[-2]["usage"])
    return whole
