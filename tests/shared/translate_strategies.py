"""Documents of both protocols for property tests: everything that the tables call lossless, not only in normal form."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st
from translate_documents import PDF, PNG, Json, completion, message, typed

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
names = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_-]{0,8}", fullmatch=True)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(texts, values, max_size=3)
schemas = st.fixed_dictionaries({"type": st.just("object")}, optional={"properties": objects, "title": texts})


def _content(part: st.SearchStrategy[Json]) -> st.SearchStrategy[Any]:
    return texts | st.lists(part, min_size=1, max_size=3)


def _text_part(**more: Any) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries({"type": st.just("text"), "text": texts}, optional=more)


# OpenAI's requests

_o_text = _text_part()
_o_part = (
    _o_text
    | st.sampled_from([PNG, "https://example.com/a.png"]).map(lambda url: typed("image_url", image_url={"url": url}))
    | st.sampled_from(["a.pdf", "document.pdf"]).map(
        lambda name: typed("file", file={"file_data": PDF, "filename": name})
    )
)
_o_user = st.fixed_dictionaries({"role": st.just("user"), "content": _content(_o_part)})
_o_system = st.fixed_dictionaries({"role": st.sampled_from(["system", "developer"]), "content": _content(_o_text)})
_arguments = objects.map(json.dumps) | st.sampled_from(
    ["", " ", "{}", '{"a" : 1.10}', '{"n":\n12345678901234567890123}']
)


@st.composite
def _o_exchange(draw: st.DrawFn) -> list[Json]:
    """A turn of the assistant and what follows it."""
    names_of_calls = draw(st.lists(names, max_size=3))
    calls = [
        {"id": f"call_{index}", "type": "function", "function": {"name": name, "arguments": draw(_arguments)}}
        for index, name in enumerate(names_of_calls)
    ]
    if not calls:
        return [{"role": "assistant", "content": draw(_content(_o_text))}, draw(_o_user)]
    said = draw(st.sampled_from([{}, {"content": None}, {"content": ""}]) | st.fixed_dictionaries({"content": texts}))
    marks = st.sampled_from(["", "[is_error: true] "])
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": draw(marks) + draw(texts | st.just(""))}
        for call in calls
    ]
    return [
        {"role": "assistant", **said, "tool_calls": calls},
        *results,
        *draw(st.lists(_o_user | _o_system, max_size=2)),
    ]


@st.composite
def _o_messages(draw: st.DrawFn) -> list[Json]:
    led = draw(st.lists(_o_system, max_size=2))
    return [*led, draw(_o_user), *(turn for turns in draw(st.lists(_o_exchange(), max_size=3)) for turn in turns)]


_o_tool = st.fixed_dictionaries(
    {"name": names}, optional={"description": texts, "parameters": schemas, "strict": st.booleans()}
)
openai_requests = st.fixed_dictionaries(
    {"model": texts, "messages": _o_messages()},
    optional={
        "max_completion_tokens": st.integers(1, 10**6),
        "temperature": st.none() | st.floats(0, 1),
        "top_p": st.floats(0, 1),
        "top_k": st.integers(1, 100),
        "stop": texts | st.lists(texts, min_size=1, max_size=4),
        "stream": st.booleans(),
        "user": texts,
        "reasoning_effort": st.sampled_from(["none", "low", "medium", "high", "xhigh", "max"]),
        "service_tier": st.sampled_from(["auto", "default"]),
        "response_format": st.just({"type": "text"})
        | schemas.map(
            lambda schema: typed("json_schema", json_schema={"name": "response", "schema": schema, "strict": True})
        ),
        "tools": st.lists(_o_tool.map(lambda tool: typed("function", function=tool)), max_size=2),
        "tool_choice": st.sampled_from(["auto", "required", "none", typed("function", function={"name": "f"})]),
        "parallel_tool_calls": st.booleans(),
        "n": st.just(1),
        "logprobs": st.just(False),
        "frequency_penalty": st.just(0),
        "metadata": st.none(),
        "verbosity": st.just("medium"),
    },
)


# Anthropic's requests

_cache = {"cache_control": st.just({"type": "ephemeral"})}
_a_text = _text_part(**_cache, citations=st.none())
_a_source = st.sampled_from(
    [typed("base64", media_type="image/png", data="AA=="), typed("url", url="https://example.com/a.png")]
)
_a_pdf = st.just(typed("base64", media_type="application/pdf", data="AA=="))
_a_block = (
    _a_text
    | st.fixed_dictionaries({"type": st.just("image"), "source": _a_source}, optional=_cache)
    | st.fixed_dictionaries(
        {"type": st.just("document"), "source": _a_pdf}, optional={"title": texts | st.just("document.pdf"), **_cache}
    )
)
_a_user = st.fixed_dictionaries({"role": st.just("user"), "content": _content(_a_block)})
_a_system = st.fixed_dictionaries({"role": st.just("system"), "content": _content(_a_text)})
_a_thinking = st.just(typed("thinking", thinking="hm", signature="s"))


@st.composite
def _a_exchange(draw: st.DrawFn) -> list[Json]:
    calls = [
        typed("tool_use", id=f"toolu_{index}", name=name, input=draw(objects))
        for index, name in enumerate(draw(st.lists(names, max_size=3)))
    ]
    thought = draw(st.lists(_a_thinking, max_size=1))
    said = draw(st.lists(_a_text, min_size=0 if calls else 1, max_size=2))
    turn = {"role": "assistant", "content": [*thought, *said, *calls]}
    if not calls:
        return [turn, draw(_a_user)]
    result = {"content": texts | st.lists(_a_text, max_size=2), "is_error": st.booleans()}
    results = [
        {"type": "tool_result", "tool_use_id": call["id"], **draw(st.fixed_dictionaries({}, optional=result))}
        for call in calls
    ]
    words = draw(st.lists(_a_block, max_size=2))
    return [turn, {"role": "user", "content": [*results, *words]}, *draw(st.lists(_a_user | _a_system, max_size=2))]


@st.composite
def _a_messages(draw: st.DrawFn) -> list[Json]:
    led = draw(st.lists(_a_system, max_size=1))
    return [*led, draw(_a_user), *(turn for turns in draw(st.lists(_a_exchange(), max_size=3)) for turn in turns)]


_choices = st.sampled_from([typed("auto"), typed("any"), typed("tool", name="f")])
_a_choice = st.just(typed("none")) | st.builds(
    lambda choice, more: {**choice, **more},
    _choices,
    st.fixed_dictionaries({}, optional={"disable_parallel_tool_use": st.booleans()}),
)
_a_tool = st.fixed_dictionaries(
    {"name": names, "input_schema": schemas},
    optional={"type": st.sampled_from([None, "custom"]), "description": texts, "strict": st.booleans(), **_cache},
)
_a_format = schemas.map(lambda schema: typed("json_schema", schema=schema))
_a_efforts = st.fixed_dictionaries({}, optional={"effort": st.sampled_from(["low", "max"]), "format": _a_format})
_a_fields = st.fixed_dictionaries(
    {"model": texts, "messages": _a_messages(), "max_tokens": st.integers(1, 10**6)},
    optional={
        "system": texts | st.lists(_a_text, min_size=1, max_size=2),
        "temperature": st.floats(0, 1),
        "top_p": st.floats(0, 1),
        "top_k": st.integers(1, 100),
        "stop_sequences": st.lists(texts, max_size=3),
        "stream": st.booleans(),
        "metadata": st.fixed_dictionaries({}, optional={"user_id": texts}),
        "service_tier": st.sampled_from(["auto", "standard_only"]),
        "tools": st.lists(_a_tool, max_size=2),
        "tool_choice": _a_choice,
        "speed": st.just("standard"),
        **_cache,
    },
)
_a_thinking_or_effort = st.sampled_from([{}, {"thinking": typed("disabled")}]) | st.fixed_dictionaries(
    {"output_config": _a_efforts}, optional={"thinking": st.just(typed("adaptive", display="omitted"))}
)
anthropic_requests = st.builds(lambda fields, more: {**fields, **more}, _a_fields, _a_thinking_or_effort)


# Answers, in normal form


_counts = st.integers(0, 10**6)


@st.composite
def openai_answers(draw: st.DrawFn) -> Json:
    said: Json = {"content": draw(st.none() | texts)}
    calls = [
        {
            "id": f"call_{index}",
            "type": "function",
            "function": {"name": name, "arguments": draw(objects.map(json.dumps))},
        }
        for index, name in enumerate(draw(st.lists(names, max_size=3)))
    ]
    choice: Json = {"finish_reason": draw(st.sampled_from(["length", "tool_calls" if calls else "stop"]))}
    if calls:
        said["tool_calls"] = calls
    elif choice["finish_reason"] == "stop" and draw(st.booleans()):
        choice["stop_reason"] = draw(texts)
    elif draw(st.booleans()):
        said["refusal"], choice["finish_reason"] = draw(texts), "content_filter"
    thought = draw(st.none() | texts)
    if thought:
        said["reasoning_content"] = thought
        said["thinking_blocks"] = [typed("thinking", thinking=thought, signature=draw(texts))]
    read, written, fresh, output, reasoning = (draw(_counts) for _ in range(5))
    prompt = read + written + fresh
    usage = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}
    usage |= {"prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": written}}
    return completion(said, choice, usage=usage | {"completion_tokens_details": {"reasoning_tokens": reasoning}})


@st.composite
def anthropic_answers(draw: st.DrawFn) -> Json:
    thought = st.builds(lambda words, sign: typed("thinking", thinking=words, signature=sign), texts, texts)
    blocks = draw(st.lists(thought | texts.map(lambda data: typed("redacted_thinking", data=data)), max_size=2))
    said = draw(st.none() | texts)
    if said:
        blocks.append(typed("text", text=said))
    names_of_calls = draw(st.lists(names, max_size=3))
    blocks += [
        typed("tool_use", id=f"toolu_{index}", name=name, input=draw(objects))
        for index, name in enumerate(names_of_calls)
    ]
    stop: Json = {"stop_reason": draw(st.sampled_from(["max_tokens", "tool_use" if names_of_calls else "end_turn"]))}
    if stop["stop_reason"] == "end_turn" and draw(st.booleans()):
        stop = {"stop_reason": "stop_sequence", "stop_sequence": draw(texts)}
    elif not names_of_calls and draw(st.booleans()):
        details = {"type": "refusal", "category": None, "explanation": draw(texts)}
        stop = {"stop_reason": "refusal", "stop_details": details}
    kinds = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    usage: Json = {kind: draw(_counts) for kind in kinds}
    usage["output_tokens_details"] = {"thinking_tokens": draw(_counts)}
    document = message(usage=usage, **stop)
    return {**document, "content": blocks}
