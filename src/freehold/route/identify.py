"""Which task a request belongs to: as its caller says, else by its fingerprint."""

from __future__ import annotations

import hashlib

import msgspec

from freehold.domain.chat import ChatRequest, instructions
from freehold.domain.errors import RequestError
from freehold.domain.fingerprint import Shape, TemplateIndex, shape_of, task_id_of_fingerprint, task_id_of_name

MAX_NAME = 128
GENERATION = 2048
"""Shapes remembered before the oldest are forgotten (twice as many at most)."""
LONGEST_KEY = 2048
"""Longer instructions are remembered by their hash, so that memory is bounded (8 MB at most)."""


class Identity(msgspec.Struct, frozen=True):
    """A request's task, its caller's name for it (empty if none was given) and its fingerprint."""

    task: str
    name: str
    fingerprint: str


class Identifier:
    """Remembers shapes, because masking long instructions costs far more than a request may.

    Two generations make a bounded memory of what was used last: what is found in the older moves to the newer, and
    when the newer is full the older is forgotten. One event loop uses it; it is not thread-safe.
    """

    def __init__(self) -> None:
        self._new: dict[object, Shape] = {}
        self._old: dict[object, Shape] = {}
        self._named: dict[str, str] = {}
        self._matches: dict[Shape, tuple[str, str, str]] = {}
        self._index: TemplateIndex | None = None

    def identify(self, request: ChatRequest, name: str, index: TemplateIndex) -> Identity:
        """The identity of `request`. `name`: what the caller calls the task (see `task_name`), or empty.

        A template of the policy that matches gives task and fingerprint; a name goes before it.
        """
        shape = self._shape(request)
        task, fingerprint, own = self._match(shape, index)
        if not name:
            return Identity(task, "", fingerprint)
        named = self._task_of(name)
        return Identity(named, name, fingerprint if task == named else own)

    def _shape(self, request: ChatRequest) -> Shape:
        key = _key(request)
        shape = self._new.get(key)
        if shape is None:
            shape = self._old.get(key) or shape_of(request)
            if len(self._new) >= GENERATION:
                self._old, self._new = self._new, {}
            self._new[key] = shape
        return shape

    def _match(self, shape: Shape, index: TemplateIndex) -> tuple[str, str, str]:
        """Task, fingerprint, and the fingerprint that the shape has on its own."""
        if index is not self._index:  # another policy: its templates may match otherwise
            self._index = index
            self._matches = {}
        found = self._matches.get(shape)
        if found is None:
            template = index.match(shape)
            own = shape.fingerprint
            if template is None:
                found = (task_id_of_fingerprint(own), own, own)
            else:
                found = (template.task, template.fingerprint, own)
            if len(self._matches) >= GENERATION:
                self._matches = {}
            self._matches[shape] = found
        return found

    def _task_of(self, name: str) -> str:
        task = self._named.get(name)
        if task is None:
            if len(self._named) >= GENERATION:
                self._named = {}
            task = self._named[name] = task_id_of_name(name)
        return task


def _key(request: ChatRequest) -> object:
    """What the shape of a request depends on; long texts by their hash."""
    text = instructions(request)
    first = None if text else request.messages[0].content
    extras = (request.tools, request.functions, request.response_format)
    rest = None if extras == (None, None, None) else _digest(msgspec.json.encode(extras))
    if isinstance(first, list):
        first = _digest(msgspec.json.encode(first))
    elif first is not None and len(first) > LONGEST_KEY:
        first = _digest(first.encode(errors="surrogatepass"))
    held = text if len(text) <= LONGEST_KEY else _digest(text.encode(errors="surrogatepass"))
    return (request.model, held, first, rest)


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def header_task_name(value: bytes) -> str:
    """The task name in an `x-freehold-task` header.

    Raises:
        RequestError: it is not 1 to 128 printable characters of UTF-8.
    """
    try:
        name = value.decode().strip()
    except UnicodeDecodeError:
        name = ""
    if not _is_name(name):
        raise RequestError(
            "The header x-freehold-task is not a task name.", f"Send 1 to {MAX_NAME} printable characters."
        )
    return name


def task_name(request: ChatRequest, header: str) -> str:
    """What the caller calls the task: the header, else `metadata.task` where it can be a name, else empty."""
    if header:
        return header
    named = request.metadata.get("task") if request.metadata else None
    return named.strip() if isinstance(named, str) and _is_name(named.strip()) else ""


def _is_name(text: str) -> bool:
    return 0 < len(text) <= MAX_NAME and text.isprintable()
