"""Between text and tokens: a folder's tokenizer, and answers that become text token by token."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from freehold.domain.errors import RequestError, StudentError, TrainingError
from freehold.serving.chat_template import ChatTemplate, read_chat_template

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_RESTORE = "Put the model's folder back, with the tokenizer it was trained with."


class Words:
    """A model's tokenizer and chat template."""

    def __init__(self, folder: Path) -> None:
        """Read them.

        Raises:
            StudentError: tokenizer.json is missing or not readable, or the template is not.
        """
        from tokenizers import Tokenizer

        path = folder / "tokenizer.json"
        try:
            self.json = path.read_text(encoding="utf-8")
            self._tokenizer: Tokenizer = Tokenizer.from_str(self.json)
            self._template: ChatTemplate | None = read_chat_template(folder)
        except TrainingError as error:
            raise StudentError(error.message, error.hint) from error
        except (OSError, ValueError) as error:
            raise StudentError(f"{path} cannot be read: {error}.", _RESTORE) from error
        except Exception as error:  # the library raises nothing narrower
            raise StudentError(f"{path} is not a tokenizer: {error}.", _RESTORE) from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.folder = folder
        self.pieces, self._strips = _pieces(self._tokenizer, self.json)
        added = self._tokenizer.get_added_tokens_decoder()
        self.special = frozenset(number for number, token in added.items() if token.special)

    def encode(self, text: str, *, special: bool) -> list[int]:
        """Tokens of `text`; `special`: with what the tokenizer sets around a text by itself."""
        return self._tokenizer.encode(text, add_special_tokens=special).ids

    def conversation(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> list[int]:
        """Tokens of a conversation, up to where the model's answer begins.

        Raises:
            RequestError: the model has no chat template, or it does not take this conversation.
        """
        if self._template is None:
            raise RequestError("This model has no chat template.", "Use /v1/completions, or a model with a template.")
        try:
            text = self._template.render(messages, answer_next=True, tools=tools)
        except TrainingError as error:
            raise RequestError(error.message, error.hint) from error
        return self.encode(text, special=False)

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of tokens; special ones have none."""
        text = b"".join(self.pieces[token] for token in tokens if token not in self.special).decode("utf-8", "replace")
        return text.removeprefix(" ") if self._strips else text

    def piece(self, token: int) -> bytes:
        """A token's bytes, special ones' included; empty for numbers that no token has."""
        return self.pieces[token] if token < len(self.pieces) else b""

    def speech(self, stops: Sequence[str]) -> Speech:
        """For an answer that becomes text token by token."""
        return Speech(self, stops, self._strips)


class Speech:
    """Text as its tokens come: whole characters only, and nothing that a stop string may turn out to have begun in."""

    def __init__(self, words: Words, stops: Sequence[str], strips: bool) -> None:
        self._words = words
        self._stops = stops
        self._strips = strips
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._said: list[str] = []
        self.stopped = False

    def add(self, token: int) -> None:
        """Take one more token."""
        words = self._words
        if token not in words.special:
            self._take(self._decoder.decode(words.piece(token)))

    def end(self) -> None:
        """Nothing follows: what was held back is said."""
        if not self.stopped:
            self._take(self._decoder.decode(b"", final=True))
            self._say(self._held)
            self._held = ""

    def new(self) -> str:
        """What was said since this was last asked."""
        said, self._said = "".join(self._said), []
        return said

    def _take(self, text: str) -> None:
        if self._strips and text:
            text, self._strips = text.removeprefix(" "), False
        if not self._stops:
            self._say(text)
            return
        self._held += text
        found = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        if found:
            self.stopped = True
            self._say(self._held[: min(found)])
            self._held = ""
            return
        keep = max(_begun(self._held, stop) for stop in self._stops)
        self._say(self._held[: len(self._held) - keep])
        self._held = self._held[len(self._held) - keep :]

    def _say(self, text: str) -> None:
        if text:
            self._said.append(text)


def _begun(text: str, stop: str) -> int:
    """Length of the longest end of `text` that `stop` begins with."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:size])), 0)


class _Step(msgspec.Struct):
    type: str = ""
    decoders: list[dict[str, Any]] = []
    content: Any = None


class _Json(msgspec.Struct):
    decoder: _Step | None = None


def _pieces(tokenizer: Tokenizer, text: str) -> tuple[list[bytes], bool]:
    """Each token's bytes, by its number; and whether a space that begins an answer is none of it."""
    decoder = msgspec.json.decode(text, type=_Json).decoder or _Step()
    kinds = {decoder.type, *(str(one.get("type")) for one in decoder.decoders)}
    letters = _letters()
    added = tokenizer.get_added_tokens_decoder()
    pieces: list[bytes] = []
    for number in range(tokenizer.get_vocab_size(with_added_tokens=True)):
        token = tokenizer.id_to_token(number) or ""
        if number in added:
            pieces.append(token.encode())
        elif "ByteLevel" in kinds:
            pieces.append(bytes(letters[letter] for letter in token if letter in letters))
        elif match := _BYTE.fullmatch(token):
            pieces.append(bytes([int(match[1], 16)]))
        else:
            pieces.append(token.replace("▁", " ").encode())
    return pieces, "Strip" in kinds or "Metaspace" in kinds


def _letters() -> dict[str, int]:
    """The letters that byte-level tokenizers write bytes as (Radford et al. 2019, GPT-2's `bytes_to_unicode`)."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + place): byte for place, byte in enumerate(others)}
