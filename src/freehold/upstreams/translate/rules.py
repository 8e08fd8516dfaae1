"""What the tables are made of, and the one walk that carries them out.

A `Table` has a `Rule` for every field of one object of one protocol: the field's counterpart in the other protocol and
how it is converted, or why it cannot be. `walk` reads an object by its table: fields the table does not know are
refused in requests. Values that need no reading travel as `msgspec.Raw`: their bytes, and so their numbers, are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, NoReturn, TypeVar, cast

import msgspec

from freehold.domain.errors import AnswerNotTranslatable, RequestError, TranslationError

Fields = dict[str, msgspec.Raw]
"""A JSON object whose values have not been read."""

Out = dict[str, Any]
"""A JSON object being written; its leaves may be `msgspec.Raw`."""

T = TypeVar("T")

FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
OBJECTS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
TEXT = msgspec.json.Decoder(str)
TEXTS = msgspec.json.Decoder(list[str])
TEXT_OR_TEXTS = msgspec.json.Decoder(str | list[str])
FLAG = msgspec.json.Decoder(bool)
COUNT = msgspec.json.Decoder(int)
NUMBER = msgspec.json.Decoder(float)
ANY = msgspec.json.Decoder()

_NAMES = {"openai": "OpenAI's chat completions", "anthropic": "Anthropic's Messages"}
Protocol = Literal["openai", "anthropic"]
Fate = Literal["same", "convert", "refuse", "drop"]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What an upstream's operator may set."""

    max_tokens: int = 16_384
    """Sent to Anthropic's protocol, which needs a limit, when the caller set none."""
    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    """The name under which an OpenAI-compatible upstream takes the limit; some know only the older one."""
    extensions: bool = False
    """The OpenAI-compatible upstream takes `top_k`, which OpenAI's own API does not have."""


class Job:
    """One translation: where it goes, and what it left out on the way."""

    __slots__ = ("dropped", "include_usage", "options", "to", "whole")

    def __init__(self, to: Protocol, whole: Literal["request", "answer"], options: Options | None = None) -> None:
        self.to: Protocol = to
        self.whole: Literal["request", "answer"] = whole
        self.options = options or Options()
        self.dropped: dict[str, str] = {}
        """Paths of fields that were left out, and why that does no harm."""
        self.include_usage = False


class At:
    """A place in the document being read: it names itself in errors."""

    __slots__ = ("job", "path")

    def __init__(self, job: Job, path: str = "") -> None:
        self.job = job
        self.path = path

    def child(self, name: str) -> At:
        """A field of the object here."""
        return At(self.job, f"{self.path}.{name}" if self.path else name)

    def item(self, index: int) -> At:
        """An item of the list here."""
        return At(self.job, f"{self.path}[{index}]")

    def drop(self, why: str) -> None:
        """Leave out what is here, and remember that."""
        self.job.dropped[self.path or "the document"] = why

    def refuse(self, why: str, do: str) -> NoReturn:
        """Say that what is here cannot be said in the other protocol.

        Raises:
            TranslationError: in a request. AnswerNotTranslatable: in an answer.
        """
        target = _NAMES[self.job.to]
        message = f"`{self.path or 'the document'}` cannot be translated to {target}: {why}"
        if self.job.whole == "request":
            raise TranslationError(message, do)
        raise AnswerNotTranslatable(message, do)

    def malformed(self, why: str) -> NoReturn:
        """Say that what is here is not what its own protocol demands.

        Raises:
            RequestError: in a request. AnswerNotTranslatable: in an answer.
        """
        if self.job.whole == "request":
            raise RequestError(f"`{self.path or 'the body'}` {why}.", "Send what the API's reference asks for.")
        raise AnswerNotTranslatable(f"`{self.path or 'the body'}` of the answer {why}.", "Ask another upstream.")

    def read(self, raw: msgspec.Raw | bytes | str, decoder: msgspec.json.Decoder[T]) -> T:
        """Decode what is here."""
        try:
            return decoder.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self.malformed(f"cannot be read: {error}")
        except RecursionError:
            self.malformed("is nested too deeply")


Convert = Callable[[msgspec.Raw, Out, At], None]
"""Reads one value and writes its counterpart into the object being written."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of one field (or of one `type`, in a table of types)."""

    field: str
    fate: Fate
    to: str = ""
    """The counterpart's path in the other protocol; empty if there is none."""
    why: str = ""
    """How it is converted, why it cannot be, or why leaving it out does no harm."""
    do: str = ""
    """Refused fields: what the caller can do instead."""
    neutral: tuple[Any, ...] = ()
    """Refused fields: values that ask for nothing, which are left out."""
    convert: Convert | None = None
    lossless: bool = True
    """Translated back it is the same, in normal form."""


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """One object of one protocol."""

    protocol: Protocol
    name: str
    rules: dict[str, Rule]
    required: tuple[str, ...] = ()
    unknown: Literal["refuse", "drop"] = "refuse"
    """Requests refuse fields that no rule names. Answers drop them: providers add fields to answers all the time, and
    an answer that has been paid for is not thrown away for one. Unknown *content* is always refused."""


def same(field: str, to: str = "", why: str = "") -> Rule:
    """The value travels as it is, byte for byte."""
    return Rule(field=field, fate="same", to=to or field, why=why)


def convert(field: str, to: str, by: Convert, why: str = "", *, lossless: bool = True) -> Rule:
    """The value is converted."""
    return Rule(field=field, fate="convert", to=to, why=why, convert=by, lossless=lossless)


def settled(field: str, to: str, why: str = "") -> Rule:
    """The value is settled by the code around the table: a `type` that chose the table, a field read beside another."""
    return Rule(field=field, fate="convert", to=to, why=why, convert=_nothing)


def _nothing(raw: msgspec.Raw, out: Out, at: At) -> None:
    """The value has been read elsewhere."""


def refuse(field: str, why: str, do: str = "Leave it out.", neutral: tuple[Any, ...] = ()) -> Rule:
    """The other protocol has nothing for it."""
    return Rule(field=field, fate="refuse", why=why, do=do, neutral=neutral, lossless=False)


def drop(field: str, why: str) -> Rule:
    """The other protocol has nothing for it, and the answer is the same without."""
    return Rule(field=field, fate="drop", why=why, lossless=False)


def table(
    protocol: Protocol,
    name: str,
    rules: Iterable[Rule],
    required: tuple[str, ...] = (),
    unknown: Literal["refuse", "drop"] = "refuse",
) -> Table:
    """A table of these rules, in this order: they are carried out in it."""
    by_field = {rule.field: rule for rule in rules}
    return Table(protocol=protocol, name=name, rules=by_field, required=required, unknown=unknown)


def is_null(raw: msgspec.Raw) -> bool:
    """Whether the value is `null`, which means the same as leaving the field out."""
    return len(memoryview(raw)) == 4 and bytes(raw) == b"null"


def is_text(raw: msgspec.Raw) -> bool:
    """Whether the value is a string."""
    return memoryview(raw)[0] == ord('"')


def walk(rules: Table, fields: Fields, out: Out, at: At) -> None:
    """Translate an object field by field, in the table's order.

    Raises:
        RequestError, TranslationError: a field is missing, malformed, unknown or refused (in a request).
        AnswerNotTranslatable: the same in an answer.
    """
    for name in rules.required:
        if name not in fields or is_null(fields[name]):
            at.child(name).malformed("is missing")
    for name in fields:
        if name not in rules.rules and not is_null(fields[name]):
            _unknown(rules, at.child(name))
    for rule in rules.rules.values():
        raw = fields.get(rule.field)
        if raw is None or is_null(raw) or rule.convert is _nothing:
            continue
        if rule.fate == "same":
            out[rule.to] = raw
        else:
            _apply(rule, raw, out, at.child(rule.field))


def walked(rules: Table, fields: Fields, at: At) -> Out:
    """What `walk` makes of an object, by itself."""
    out: Out = {}
    walk(rules, fields, out, at)
    return out


def by_type(rules: Table, raw: msgspec.Raw, at: At) -> Out:
    """Translate an object by the rule of its `type`; empty if that type is dropped."""
    kind = at.read(at.read(raw, FIELDS).get("type", msgspec.Raw(b"null")), TEXT)
    rule = rules.rules.get(kind)
    out: Out = {}
    if rule is None:
        at.child(kind).refuse(f"no counterpart is known for this type of {rules.name}.", "Leave it out.")
    _apply(rule, raw, out, at if rule.fate == "convert" else at.child(kind))
    return out


def _unknown(rules: Table, at: At) -> None:
    if rules.unknown == "drop":
        at.drop("unknown in an answer")
        return
    at.refuse(
        f"no counterpart is known for this field of a {rules.name}.",
        "Leave it out, or ask a model whose upstream speaks the protocol of your request.",
    )


def _apply(rule: Rule, raw: msgspec.Raw, out: Out, at: At) -> None:
    if rule.fate == "same":
        out[rule.to] = raw
    elif rule.convert is not None:
        rule.convert(raw, out, at)
    elif rule.fate == "drop":
        at.drop(rule.why)
    elif not (rule.neutral and at.read(raw, ANY) in rule.neutral):
        at.refuse(rule.why, rule.do)


def nested(out: Out, name: str) -> Out:
    """The object `out[name]`, made if absent."""
    return cast("Out", out.setdefault(name, {}))


def as_text(value: msgspec.Raw) -> str:
    """The JSON of a value, as it was written."""
    return bytes(value).decode()


def encode(out: Out) -> bytes:
    """The document as JSON."""
    return msgspec.json.encode(out)


def parse(body: bytes, at: At) -> Fields:
    """The top-level object of a body."""
    try:
        body.decode()  # what travels unread must be UTF-8 too
    except UnicodeDecodeError as error:
        at.malformed(f"is not UTF-8: {error}")
    return at.read(body, FIELDS)
