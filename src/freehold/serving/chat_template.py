"""Chat templates: the Jinja text that a model's folder says how a conversation becomes one text by.

Rendered as transformers, vLLM and llama.cpp render them, in a sandbox: a template is somebody else's program.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn, cast

import msgspec
from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from freehold.domain.errors import TrainingError

TEMPLATE_FILE = "chat_template.jinja"
CONFIG_FILE = "tokenizer_config.json"
SPECIAL = ("bos_token", "eos_token", "pad_token", "unk_token")
"""Names by which templates know a tokenizer's special tokens."""

_FAULTS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What a template raises beside its own errors where it meets what it was not written for."""


class ChatTemplate:
    """A chat template with the special tokens that it may name."""

    def __init__(self, text: str, special: Mapping[str, str], day: datetime.datetime | None = None) -> None:
        """A template.

        Args:
            text: the Jinja source.
            special: of `SPECIAL`, those that the tokenizer has.
            day: what templates that tell the model the day take for today; None: today. Training fixes one, so that
                the same rows give the same bytes tomorrow.
        """
        self.text = text
        self.day = day
        self.special = {name: special[name] for name in SPECIAL if name in special}

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        answer_next: bool,
        tools: Sequence[Mapping[str, Any]] = (),
        **more: Any,
    ) -> str:
        """The conversation as one text.

        Args:
            messages: in OpenAI's form, without what is no text.
            answer_next: end with what stands before the model's answer (`add_generation_prompt`).
            tools: in OpenAI's form.
            more: what else a template may ask for.

        Raises:
            TrainingError: the template is broken, or does not take such a conversation.
        """
        try:
            return _compiled(self.text).render(
                messages=list(messages),
                tools=list(tools) or None,
                documents=None,
                add_generation_prompt=answer_next,
                strftime_now=self._now,
                **self.special,
                **more,
            )
        except (TemplateError, *_FAULTS) as error:
            roles = ", ".join(str(message.get("role")) for message in messages)
            raise TrainingError(
                f"The chat template does not take a conversation of {roles}: {error}.",
                "Use a base model whose template does, or change its chat_template.jinja.",
            ) from error

    def _now(self, form: str) -> str:
        return (self.day or datetime.datetime.now()).strftime(form)


def read_chat_template(folder: Path, day: datetime.datetime | None = None) -> ChatTemplate | None:
    """The chat template of a model's folder; None if it has none.

    Args:
        folder: the model's.
        day: see `ChatTemplate`.

    Raises:
        TrainingError: a file cannot be read.
    """
    try:
        path = folder / CONFIG_FILE
        config: dict[str, Any] = msgspec.json.decode(path.read_bytes(), type=dict[str, Any]) if path.is_file() else {}
        apart = folder / TEMPLATE_FILE
        text = apart.read_text(encoding="utf-8") if apart.is_file() else _in_config(config)
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"The tokenizer in {folder} cannot be read: {error}.", "Fetch the model again, or name another."
        ) from error
    return None if text is None else ChatTemplate(text, special_tokens(config), day)


def special_tokens(config: Mapping[str, Any]) -> dict[str, str]:
    """The special tokens that a `tokenizer_config.json` names, by `SPECIAL`; a token may be a text or an object."""
    found: dict[str, str] = {}
    for name in SPECIAL:
        token = config.get(name)
        if isinstance(token, dict):
            token = cast("dict[str, Any]", token).get("content")
        if isinstance(token, str):
            found[name] = token
    return found


def _in_config(config: Mapping[str, Any]) -> str | None:
    """A config holds one template, or several by name."""
    given = config.get("chat_template")
    if isinstance(given, list):
        named = {one.get("name"): one.get("template") for one in cast("list[dict[str, Any]]", given)}
        given = named.get("default")
    return given if isinstance(given, str) else None


class _Generation(Extension):
    """`{% generation %}…{% endgeneration %}` marks what a model wrote; here it is nothing but its body."""

    tags = {"generation"}  # noqa: RUF012  # as jinja2 wants it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """The body between the tags."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


@lru_cache(maxsize=16)
def _compiled(text: str) -> Template:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    functions: dict[str, Any] = {"raise_exception": _refuse}
    cast("dict[str, Any]", environment.globals).update(functions)
    return environment.from_string(text)


def _tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None, **more: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **more)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)
