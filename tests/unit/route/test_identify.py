"""The same application call made with other data is the same task; names go first; memory stays bounded."""

import json

import pytest

from freehold.domain.chat import ChatRequest, parse_chat
from freehold.domain.errors import RequestError
from freehold.domain.fingerprint import (
    Template,
    TemplateIndex,
    shape_of,
    task_id_of_fingerprint,
    task_id_of_name,
)
from freehold.route import Identifier
from freehold.route.identify import GENERATION, header_task_name, task_name

NONE = TemplateIndex(())


def request(system: str, text: str = "hello", **more: object) -> ChatRequest:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
    return parse_chat(json.dumps({"model": "m", "messages": messages, **more}).encode())


def test_identity_is_that_of_the_shape_however_often_and_in_whatever_order() -> None:
    asked = [
        request("Classify. Today is 2024-05-01."),
        request("Classify. Today is 1999-12-31.", "other"),
        request("Classify. Today is 2024-05-01.", tools=[{"type": "function", "function": {"name": "f"}}]),
        request("x" * 5000 + " 17"),
        request("x" * 5000 + " and something else"),
        parse_chat(b'{"model":"m","messages":[{"role":"user","content":"Translate the following: dog"}]}'),
        parse_chat(b'{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"Translate: cat"}]}]}'),
        parse_chat(b'{"model":"m","messages":[{"role":"user","content":"' + b"long " * 500 + b'"}]}'),
    ]
    identifier = Identifier()
    for one in [*asked, *reversed(asked)]:
        identity = identifier.identify(one, "", NONE)
        assert identity.fingerprint == shape_of(one).fingerprint
        assert identity.task == task_id_of_fingerprint(identity.fingerprint)
    tasks = [identifier.identify(one, "", NONE).task for one in asked]
    assert tasks[0] == tasks[1] and len(set(tasks)) == len(tasks) - 1


def test_memory_is_bounded_and_forgetting_changes_nothing() -> None:
    identifier = Identifier()
    first = identifier.identify(request("Call number one two"), "", NONE)
    for number in range(3 * GENERATION):
        identifier.identify(request("word " + "ab" * (number % 97) + " cd" * (number // 97)), f"task {number}", NONE)
    held = (identifier._new, identifier._old, identifier._named, identifier._matches)
    assert all(len(memory) <= GENERATION for memory in held)
    assert identifier.identify(request("Call number one two"), "", NONE) == first


def test_names_come_before_templates_and_templates_before_fingerprints() -> None:
    asked = request("You write for Anna Berg today")
    shape = shape_of(asked)
    words = tuple(None if word in ("Anna", "Berg") else word for word in shape.masked.split())
    template = Template(task="task_writers", context=shape.context, words=(*words[:3], None, *words[5:]))
    index = TemplateIndex([template])
    identifier = Identifier()
    assert identifier.identify(asked, "", NONE).fingerprint == shape.fingerprint
    found = identifier.identify(asked, "", index)
    assert (found.task, found.fingerprint) == ("task_writers", template.fingerprint)
    other = identifier.identify(request("You write for Bo today"), "", index)
    assert (other.task, other.fingerprint) == (found.task, found.fingerprint)
    named = identifier.identify(asked, "letters", index)
    assert (named.task, named.name, named.fingerprint) == (task_id_of_name("letters"), "letters", shape.fingerprint)


def test_names_are_checked() -> None:
    assert header_task_name(" Tri-age é ".encode()) == "Tri-age é"
    for bad in (b"", b"  ", b"a" * 129, b"\xff", "a\u200bb".encode()):
        with pytest.raises(RequestError, match="x-freehold-task"):
            header_task_name(bad)
    assert task_name(request("s", metadata={"task": "m"}), "header") == "header"
    assert task_name(request("s", metadata={"task": "m"}), "") == "m"
    for metadata in (None, {}, {"task": 1}, {"task": "x" * 500}, {"task": ""}):
        assert task_name(request("s", metadata=metadata), "") == ""


def test_numbers_of_any_length_have_a_shape() -> None:
    """JSON's numbers have no bounds: a schema with a long one is passed through like any other."""
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "integer", "maximum": 10**30}}}
    body = {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "hi", "n": 10**30}]}]}
    asked = parse_chat(json.dumps({**body, "response_format": schema}).encode())
    assert Identifier().identify(asked, "", NONE).fingerprint == shape_of(asked).fingerprint
