"""Answers that must be JSON, or JSON of a schema: which tokens may come next, by llguidance.

A mask is computed for each token; what it forbids has no probability, so an answer that ends is always valid.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from threading import Lock
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from freehold.domain.errors import ConfigError, RequestError

MAX_SCHEMA_BYTES = 64 * 1024
_SPACES = r"[ \n\r\t]{0,20}"
"""Between JSON's parts: enough for indented answers, too few to go on for ever."""
_KEPT = 64


class Grammars:
    """Makes matchers for one model's tokens; schemas that were seen before are not compiled again."""

    def __init__(self, tokenizer_json: str, vocabulary: int, ends: tuple[int, ...]) -> None:
        self._json = tokenizer_json
        self._vocabulary = vocabulary
        self._ends = ends
        self._lock = Lock()
        self._library: Any = None
        self._tokenizer: Any = None
        self._known: dict[bytes, Any] = {}

    def matcher(self, schema: dict[str, Any]) -> Matcher:
        """For one answer; `schema`: JSON Schema, `{"type": "object"}` for any object.

        Raises:
            RequestError: the schema is too large, or cannot be kept to.
            ConfigError: the library is not installed, or the model has no token that ends an answer.
        """
        key = msgspec.json.encode(schema)  # in its own order, which is that of answers
        if len(key) > MAX_SCHEMA_BYTES:
            raise RequestError(f"The schema has {len(key)} bytes; {MAX_SCHEMA_BYTES} are allowed.", "Make it smaller.")
        with self._lock:
            known = self._known.get(key)
            if known is None:
                known = self._compile(schema)
                while len(self._known) >= _KEPT:
                    self._known.pop(next(iter(self._known)))
                self._known[key] = known
            return Matcher(known.deep_copy(), self._vocabulary)

    def allows(self, schema: dict[str, Any], tokens: Iterable[int]) -> bool:
        """Whether these tokens, the one that ends an answer among them, are an answer by the schema.

        Raises:
            RequestError, ConfigError: see `matcher`.
        """
        matcher = self.matcher(schema)
        try:
            for token in tokens:
                matcher.consume(token)
        except RuntimeError:
            return False
        return True

    def _compile(self, schema: dict[str, Any]) -> Any:
        self._prepare()
        kind = self._library.LLMatcher
        try:
            grammar = kind.grammar_from_json_schema(schema, overrides={"whitespace_pattern": _SPACES})
            matcher = kind(self._tokenizer, grammar, log_level=0)
        except (ValueError, RuntimeError) as error:
            raise RequestError(f"The schema cannot be used: {error}.", "Send a JSON Schema.") from error
        if matcher.is_error():
            problem = str(matcher.get_error()).strip().splitlines()[0][:300]
            raise RequestError(f"The schema cannot be kept to: {problem}.", "Leave out what it names.")
        return matcher

    def _prepare(self) -> None:
        if self._tokenizer is not None:
            return
        if not self._ends:
            raise ConfigError("The model has no token that ends an answer.", "Name it in generation_config.json.")
        try:
            self._library = import_module("llguidance")
        except ImportError as error:
            raise ConfigError(
                "Answers by schema need llguidance, which is not installed.", "pip install 'freehold[serve]'"
            ) from error
        self._tokenizer = self._library.LLTokenizer(self._json, n_vocab=self._vocabulary, eos_token=list(self._ends))


class Matcher:
    """Where one answer stands in its grammar."""

    def __init__(self, matcher: Any, vocabulary: int) -> None:
        self._matcher = matcher
        self._vocabulary = vocabulary
        self._bits = np.zeros((vocabulary + 31) // 32, np.int32)
        self._bytes = self._bits.view(np.uint8)

    def forbid(self, logits: npt.NDArray[np.float32]) -> None:
        """Set what may not come next to minus infinity, in place: (vocabulary,)."""
        self._matcher.unsafe_compute_mask_ptr(self._bits.ctypes.data, self._bits.nbytes)
        allowed = np.unpackbits(self._bytes, bitorder="little", count=self._vocabulary).view(np.bool_)
        logits[~allowed] = -np.inf

    def consume(self, token: int) -> None:
        """Go on by a token that was chosen.

        Raises:
            RuntimeError: it was not allowed, or the grammar grew too complex.
        """
        if not self._matcher.consume_token(token):
            raise RuntimeError(str(self._matcher.get_error()).strip()[:300] or "the grammar has ended")
