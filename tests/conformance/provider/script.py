"""What the provider's model says to what it is asked, in no protocol's words."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from typing import Any

IN_TOKENS, OUT_TOKENS = 11, 7
CREATED = 1_700_000_000
FORECAST = '{"city":"Paris","days":3}'
"""What it says where an answer must follow a schema."""
THOUGHT = "Let me think about it."
PIECE = 5
"""Characters per piece of a streamed text."""


class Refused(Exception):
    """The provider answers with an error."""

    def __init__(self, status: int, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.param = status, message, param


@dataclass(frozen=True)
class Ask:
    """What a request asks for."""

    text: str
    """The last thing the user said."""
    instructions: str = ""
    media: tuple[str, ...] = ()
    """Each picture or sound: its kind and the digest of its bytes."""
    results: tuple[str, ...] = ()
    """What tools gave, where the conversation ends with that."""
    tools: tuple[str, ...] = ()
    forced: str = ""
    """The tool that must be called."""
    parallel: bool = True
    structured: bool = False
    number: int = 1
    thinking: bool = False


@dataclass(frozen=True)
class Call:
    """A call of a tool."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Said:
    """What the model says: as many texts as were asked for, or calls."""

    texts: tuple[str, ...]
    calls: tuple[Call, ...] = ()
    thinking: str = ""


def answer(ask: Ask) -> Said:
    """The model: what arrived of the request can be read off its answer.

    Raises:
        Refused: the text is `error NNN`.
    """
    if ask.text.startswith("error "):
        raise Refused(int(ask.text.removeprefix("error ")), f"You asked for {ask.text!r}.")
    thinking = THOUGHT if ask.thinking else ""
    if ask.results:
        return Said(("Tools say: " + "; ".join(ask.results),), thinking=thinking)
    if ask.tools and ask.text.startswith("Weather in "):
        cities = ask.text.removeprefix("Weather in ").rstrip("?").split(", ")
        asked = cities if ask.parallel else cities[:1]
        calls = [Call(f"call_{n}", ask.tools[0], _compact({"city": city})) for n, city in enumerate(asked)]
        return Said((), tuple(calls), thinking)
    if ask.forced:
        return Said((), (Call("call_0", ask.forced, FORECAST),), thinking)
    if ask.structured:
        return Said((FORECAST,) * ask.number, thinking=thinking)
    about = f" with {', '.join(ask.media)}" if ask.media else ""
    first = f"{ask.instructions}Grüße zu «{ask.text}»{about} 👋"
    return Said((first, *(f"{first} ({n})" for n in range(1, ask.number))), thinking=thinking)


def pieces(text: str) -> list[str]:
    """A text as a stream gives it."""
    return [text[start : start + PIECE] for start in range(0, len(text), PIECE)]


def digest(data: bytes) -> str:
    """A short name of bytes."""
    return hashlib.sha256(data).hexdigest()[:12]


def decoded(kind: str, data: object) -> str:
    """Kind and digest of base64 data.

    Raises:
        Refused: it is no base64 text.
    """
    try:
        return f"{kind} {digest(base64.b64decode(text_of(data, 'data'), validate=True))}"
    except (binascii.Error, ValueError) as error:
        raise Refused(400, "This is not base64.", "data") from error


def from_data_url(url: object) -> str:
    """Kind and digest of a `data:` URL; any other address is named as it is."""
    text = text_of(url, "url")
    if not text.startswith("data:"):
        return text
    kind, _, data = text.removeprefix("data:").partition(";base64,")
    return decoded(kind, data)


def object_of(value: object, name: str) -> dict[str, Any]:
    """`value`, which must be an object."""
    if not isinstance(value, dict):
        raise Refused(400, f"{name} must be an object.", name)
    return value


def items_of(value: object, name: str) -> list[Any]:
    """`value`, which must be an array."""
    if not isinstance(value, list):
        raise Refused(400, f"{name} must be an array.", name)
    return value


def text_of(value: object, name: str) -> str:
    """`value`, which must be a string."""
    if not isinstance(value, str):
        raise Refused(400, f"{name} must be a string.", name)
    return value


def number_of(value: object, name: str, most: int = 8) -> int:
    """`value`, which must be a whole number from 1 to `most`."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise Refused(400, f"{name} must be a whole number from 1 to {most}.", name)
    return value


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
